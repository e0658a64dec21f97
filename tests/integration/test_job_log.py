"""The lines of a job: the original's format, SageMaker's metrics, and their counts."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ipinsights.testing import PlantedNetworks

from .small_job import train_on

DATA = Path(__file__).parents[1] / "data"
IPINSIGHTS = [sys.executable, "-m", "ipinsights"]
# The job whose log the original's formats are kept in.
SETTINGS = {"batch_metrics_publish_interval": "10", "epochs": "2", "learning_rate": "0.01", "mini_batch_size": "100",
            "num_entity_vectors": "50", "vector_dim": "8"}  # fmt: skip
NUM_ROWS = 1000
# What SageMaker attaches to the algorithm, copied from a job's description.
METRIC_DEFINITIONS = {
    "validation:discriminator_auc": r"#quality_metric: host=\S+, epoch=\S+, validation discriminator_auc <score>=(\S+)",
    "train:binary_classification_cross_entropy:epoch":
        r"#quality_metric: host=\S+, epoch=\S+, train binary_classification_cross_entropy <loss>=(\S+)",
    "train:binary_classification_accuracy:epoch":
        r"#quality_metric: host=\S+, epoch=\S+, train binary_classification_accuracy <score>=(\S+)",
    "train:binary_classification_cross_entropy":
        r"#quality_metric: host=\S+, epoch=\S+, batch=\S+ train binary_classification_cross_entropy <loss>=(\S+)",
    "train:binary_classification_accuracy":
        r"#quality_metric: host=\S+, epoch=\S+, batch=\S+ train binary_classification_accuracy <score>=(\S+)",
    "train:progress": r"#progress_metric: host=\S+, completed (\S+) %",
    "train:throughput": r"#throughput_metric: host=\S+, train throughput=(\S+) records/second",
}  # fmt: skip
# Lines of the original that we do not write, by how they begin once masked.
LEFT_OUT = (
    "Docker entrypoint", "Running default environment", "TIME Loggers have already", "TIME nvidia-smi",
    "TIME Loaded iterator creator application/x-ndarray", "[05:06:08]", "TIME Already bound", "/opt/amazon/lib",
    "  allow_missing", "TIME optimizer already",
)  # fmt: skip


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the standard output lines of a job with the golden settings."""
    folder = tmp_path_factory.mktemp("golden")
    rows = PlantedNetworks.draw(40, rng=np.random.default_rng(1)).csv(NUM_ROWS, rng=np.random.default_rng(2))
    (folder / "rows.csv").write_text(rows)
    given = [word for name, value in SETTINGS.items() for word in ("-H", f"{name}={value}")]
    command = [*IPINSIGHTS, "train", "--train", "rows.csv", "--validation", "rows.csv", "--model-dir", "model", *given]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.split("\n")


def masked(line: str) -> str:
    """Return a line with measurements and paths masked, except for the number of decimals."""
    line = line.replace("#011", "\t")
    line = re.sub(r"^\[\d\d/\d\d/\d{4} \d\d:\d\d:\d\d (INFO|WARNING) \d+\]", "TIME", line)
    line = re.sub(
        r"(Time cost=|Speed: |\t\w+=|Train-\w+=)\d+\.(\d+)", lambda match: match[1] + len(match[2]) * "#", line
    )
    line = re.sub(r"(<score>=|<loss>=|throughput=)\d+\.\d+", r"\1#", line)
    line = re.sub(r'("(?:Start|End)Time": )\d+\.\d+', r"\1#", line)
    line = re.sub(r'(time": )\{"sum": [\d.]+, "count": 1, "min": [\d.]+, "max": [\d.]+\}', r"\1#", line)
    line = re.sub(r"(Reading default configuration from ).*", r"\1#", line)
    line = re.sub(r"(configuration from )[^:]+", r"\1#", line)
    return re.sub(r'(Process )\d+|(Saved checkpoint to ")[^"]+', r"\1\2#", line)


class TestLog:
    """The lines of a job."""

    def test_it_is_the_original_s_line_by_line(self, log: list[str]) -> None:
        """Every line is the original's, except for measured values and lines that we do not write."""
        text = (DATA / "logs" / "sagemaker-python3.7.log").read_text(encoding="utf-8")
        original = [line for line in map(masked, text.split("\n")) if not line.startswith(LEFT_OUT)]
        ours = [masked(line) for line in log]
        # The default of mini_batch_size is the documented one, not the container's (see the fidelity table).
        assert ours == original

    def test_measured_values_have_the_original_s_digits(self, log: list[str]) -> None:
        """All that a float has, not the six of %f: SageMaker's metrics are read from these."""
        values = re.findall(r"<(?:score|loss)>=(\S+)", "\n".join(log))
        assert len(values) == 18
        assert all(repr(float(value)) == value for value in values)


class TestMetricDefinitions:
    """The seven expressions by which SageMaker reads metrics."""

    def test_each_finds_its_lines_and_no_others(self, log: list[str]) -> None:
        """A line is one metric's at most, and every line that is meant for a metric is found."""
        found = {
            line: [name for name, pattern in METRIC_DEFINITIONS.items() if re.search(pattern, line)] for line in log
        }
        assert max(map(len, found.values())) == 1
        meant = [line for line in log if re.search(r"#(quality|progress|throughput)_metric", line)]
        assert [line for line, names in found.items() if names] == meant
        names = [name for names in found.values() for name in names]
        assert {name: names.count(name) for name in METRIC_DEFINITIONS} == {
            "validation:discriminator_auc": 2,
            "train:binary_classification_cross_entropy:epoch": 2,
            "train:binary_classification_accuracy:epoch": 2,
            "train:binary_classification_cross_entropy": 6,
            "train:binary_classification_accuracy": 6,
            "train:progress": 2,
            "train:throughput": 2,
        }


class TestCounters:
    """What is counted, in the shape of real jobs."""

    def test_the_small_real_job_is_counted_as_the_original_counted_it(self, tmp_path: Path) -> None:
        """The counts of a small real job are those of the original's log of 2020.

        With N = 23,524, B = 1000, R = 5 and S = 1 an epoch has 164,668 records and 168 batches.
        """
        rows = PlantedNetworks.draw(100, rng=np.random.default_rng(1)).csv(23_524, rng=np.random.default_rng(2))
        done = train_on(tmp_path, rows, vector_dim="4", mini_batch_size="1000", random_negative_sampling_rate="5")
        lines = [json.loads(line[len("#metrics ") :]) for line in done.stdout.splitlines() if line[:8] == "#metrics"]
        counters = [
            {name: value["sum"] for name, value in line["Metrics"].items()}
            for line in lines
            if line["Dimensions"].get("Meta") == "training_data_iter"
        ]
        assert counters == [
            {
                "Total Records Seen": 164_668.0 * (1 + epoch),
                "Total Batches Seen": 168.0 * (1 + epoch),
                "Max Records Seen Between Resets": 164_668.0,
                "Max Batches Seen Between Resets": 168.0,
                "Reset Count": 2.0 * (1 + epoch),
                "Number of Records Since Last Reset": 0.0,
                "Number of Batches Since Last Reset": 0.0,
            }
            for epoch in range(2)
        ]
        # The padding counts in the metrics: an accuracy times 168,000, and not times 164,668, is whole.
        accuracies = re.findall(r"epoch=\d, train binary_classification_accuracy <score>=(\S+)", done.stdout)
        assert [float(accuracy) * 168_000 for accuracy in accuracies] == pytest.approx(
            [round(float(accuracy) * 168_000) for accuracy in accuracies], abs=1e-6
        )
        # Throughput is records over the duration in the line before.
        durations = [line["Metrics"]["update.time"]["sum"] for line in lines if "update.time" in line["Metrics"]]
        throughputs = re.findall(r"train throughput=(\S+) records/second", done.stdout)
        assert [float(value) for value in throughputs] == [1000 * 164_668 / duration for duration in durations]

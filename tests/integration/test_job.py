"""Training by the command line: on files, in a container's tree, and with user errors."""

from __future__ import annotations

import gzip
import json
import re
import resource
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from ipinsights.testing import make_container_tree, run_command

from .small_job import CLEANING, ROWS, SMALL, given, refusal_of, train_on

if TYPE_CHECKING:
    from pathlib import Path

IPINSIGHTS = [sys.executable, "-m", "ipinsights"]
TRAIN = [*IPINSIGHTS, "train", "--train", "rows.csv", "--model-dir", "model"]


def masked(log: str) -> list[str]:
    """Return the lines of a log with times, speeds, processes and paths masked."""
    log = re.sub(r"(?m)^\[\d\d/\d\d/\d{4} \d\d:\d\d:\d\d ([A-Z]+) \d+\]", r"[MM/DD/YYYY HH:MM:SS \1 THREAD]", log)
    log = re.sub(r"Process \d+", "Process PID", log)
    log = re.sub(r'(Speed: |Time cost=|throughput=|"(?:Start|End)Time": )\d+\.\d+', r"\1TIME", log)
    log = re.sub(r'(time": )\{"sum": [\d.]+, "count": 1, "min": [\d.]+, "max": [\d.]+\}', r"\1TIME", log)
    log = re.sub(r'(configuration from |Saved checkpoint to ")[^:"]+', r"\1PLACE", log)
    return log.splitlines()


class TestLocalRun:
    """From files to a model that scores."""

    def test_a_model_is_trained_shown_and_used(self, tmp_path: Path) -> None:
        """Train with validation, inspect, score: each reads what the one before has written."""
        (tmp_path / "validation.csv").write_text(ROWS[: ROWS.index("\n", 400) + 1])
        (tmp_path / "more.json").write_text(json.dumps({"epochs": "7", "weight_decay": 1e-5}))
        done = train_on(tmp_path, ROWS, "--validation", "validation.csv", "--hyperparameters", "more.json", "--seed", 5)
        assert done.returncode == 0
        assert "validation discriminator_auc <score>=0." in done.stdout

        shown = run_command("inspect", tmp_path / "model", "--json")
        facts = json.loads(shown.stdout)
        assert facts["hyperparameters"]["epochs"] == "2"  # -H goes before the file
        assert facts["training"]["num_rows"] == 99
        assert facts["training"]["seed"] == 5
        assert 0 < facts["training"]["validation_auc"] < 1
        assert facts["num_known_entities"] == pytest.approx(20, abs=1)
        assert run_command("inspect", tmp_path / "model").stdout.startswith("IP Insights model, format 1: ")

        scores = run_command("score", tmp_path / "rows.csv", "--model-dir", tmp_path / "model")
        lines = scores.stdout.splitlines()
        assert lines[0] == "entity,ip,dot_product"
        assert [line.rpartition(",")[0] for line in lines[1:]] == ROWS.splitlines()

    def test_a_folder_of_every_kind_of_file_trains(self, tmp_path: Path) -> None:
        """A folder of files in all accepted formats can be trained on.

        Files are plain or gzip, with byte order mark, Windows line ends, blanks, line breaks in quotes, or no last
        line end.
        """
        folder = tmp_path / "channel"
        folder.mkdir()
        (folder / "b.csv").write_bytes(b'\xef\xbb\xbfalice, 1.2.3.4\r\n"bob, the\nbuilder",1.2.3.5\r\n')
        (folder / "a.csv.gz").write_bytes(gzip.compress("\u00fc\u4e2d,9.9.9.9\n".encode()))
        (folder / "c").write_bytes(b"carol,5.6.7.8")
        (folder / "_SUCCESS").touch()
        done = run_command("train", "--train", folder, "--model-dir", tmp_path / "model", *given(SMALL), "--quiet")
        assert (done.returncode, done.stdout) == (0, "")
        facts = json.loads(run_command("inspect", tmp_path / "model", "--json").stdout)
        assert facts["training"]["num_rows"] == 4
        assert facts["num_known_entities"] == 4


class TestSeed:
    """Randomness."""

    def test_one_seed_gives_one_model_to_the_byte(self, tmp_path: Path) -> None:
        """Two processes with the same seed write the same file; another seed writes another."""
        models = []
        for number, seed in enumerate((3, 3, 4)):
            folder = tmp_path / str(number)
            folder.mkdir()
            (folder / "rows.csv").write_text(ROWS)
            subprocess.run([*TRAIN, *given(SMALL), "--seed", str(seed), "--quiet"], cwd=folder, check=True)
            models.append((folder / "model" / "model_algo-1").read_bytes())
        assert models[0] == models[1] != models[2]


class TestContainer:
    """The training side of the container's contract."""

    def test_it_goes_the_way_of_a_local_run(self, tmp_path: Path) -> None:
        """A container's job has the model and log of a local run, without any content type.

        The model is equal to the byte, and the log except for paths.
        """
        texts = {"train": ROWS, "validation": ROWS}
        base = make_container_tree(tmp_path / "ml", hyperparameters=SMALL, channels=texts, content_type=None)
        in_container = run_command("train", "--base-dir", base)
        local = train_on(tmp_path, ROWS, "--validation", "rows.csv")
        assert (in_container.returncode, local.returncode) == (0, 0)
        assert masked(in_container.stdout) == masked(local.stdout)
        model = (base / "model" / "model_algo-1").read_bytes()
        assert model == (tmp_path / "model" / "model_algo-1").read_bytes()
        assert [path.name for path in (base / "model").iterdir()] == ["model_algo-1"]
        assert not (base / "output" / "failure").exists()

    def test_hidden_and_platform_names_are_accepted(self, tmp_path: Path) -> None:
        """Names of the console or a tuning job change nothing, and possible mistakes are logged."""
        hidden = {"_kvstore": "auto_gpu", "_log_level": "info", "_num_gpus": "auto", "_num_kv_servers": "auto",
                  "_tuning_objective_metric": "validation:discriminator_auc", "sagemaker_job_name": '"x"',
                  "feature_dim": "2"}  # fmt: skip
        base = make_container_tree(tmp_path, hyperparameters={**SMALL, **hidden}, channels={"train": ROWS})
        done = run_command("train", "--base-dir", base)
        assert done.returncode == 0
        assert "WARNING" in done.stdout
        assert "These hyperparameters change nothing: feature_dim." in done.stdout


class TestFailures:
    """The user's fault: one sentence, exit code 2, and the failure file in a container."""

    def test_the_failure_file_has_what_was_printed(self, tmp_path: Path) -> None:
        """The failure file begins with the message, which becomes the platform's FailureReason."""
        base = make_container_tree(tmp_path, hyperparameters=SMALL, channels={"Training": ROWS})
        message = refusal_of(run_command("train", "--base-dir", base))
        assert message == (
            "The job has no channel 'train'; its channels are 'Training'. "
            "Did you mean 'Training'? Rename it to 'train'."
        )
        assert (base / "output" / "failure").read_text() == f"ClientError: {message}\n"

    def test_the_failure_file_of_an_earlier_job_goes(self, tmp_path: Path) -> None:
        """A job that succeeds leaves no failure file, also where the job before it failed."""
        base = make_container_tree(tmp_path, hyperparameters=SMALL, channels={"Training": ROWS})
        refusal_of(run_command("train", "--base-dir", base))
        (base / "input" / "data" / "Training").rename(base / "input" / "data" / "train")
        (base / "input" / "config" / "inputdataconfig.json").unlink()
        assert run_command("train", "--base-dir", base).returncode == 0
        assert not (base / "output" / "failure").exists()

    def test_options_next_to_a_tree_are_no_failure_of_the_job(self, tmp_path: Path) -> None:
        """Options that contradict --base-dir are the command's error, and no failure is written."""
        base = make_container_tree(tmp_path, hyperparameters=SMALL, channels={"train": ROWS})
        done = run_command("train", "--base-dir", base, "-H", "epochs=1")
        assert done.returncode == 2
        assert done.stderr.endswith(
            "Error: --base-dir brings its own data, hyperparameters and model directory: give nothing else.\n"
        )
        assert not (base / "output" / "failure").exists()

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                "entity,ip\nu,1.2.3.4\n",
                "rows.csv:1: 'ip' is no IPv4 address: it must be four numbers from 0 to 255, separated by dots. "
                "It looks like a header: remove it, the file must have none.",
            ),
            ("u,1.2.3.4,x\n", "rows.csv:1: a row must have 2 columns (entity,ip), this one has 3 columns."),
            ("\n\n", "rows.csv: there is no row in it; it must hold at least one row of entity,ip."),
            (
                "u,::1\n",
                "rows.csv:1: '::1' is no IPv4 address: it looks like IPv6; leave such rows out.",
            ),
            (
                "u,1.2.3.04\n",
                "rows.csv:1: '1.2.3.04' is no IPv4 address: 04 has a leading zero, which some read as octal.",
            ),
            ("u,1.2.3.4\nu,1.2.3.256\n", "rows.csv:2: '1.2.3.256' is no IPv4 address: 256 is more than 255."),
            (
                "".join(f"u,1.2.3.{400 + number}\n" for number in range(7)),
                "7 rows cannot be used; the first 5:"
                + "".join(
                    f"\n  - rows.csv:{1 + number}: '1.2.3.{400 + number}' is no IPv4 address: {400 + number} is more "
                    "than 255."
                    for number in range(5)
                ),
            ),
        ],
    )
    def test_bad_data_is_told(self, tmp_path: Path, text: str, message: str) -> None:
        """The message has file, line, reason and cure of the first five errors and the total.

        The message names the command that cleans files.
        """
        assert refusal_of(train_on(tmp_path, text, "--quiet")) == message + CLEANING

    def test_an_empty_file_is_told(self, tmp_path: Path) -> None:
        """The error about an empty file asks for rows, and proposes no cleaning."""
        message = "rows.csv is empty: it must hold at least one row of entity,ip."
        assert refusal_of(train_on(tmp_path, "", "--quiet")) == message

    def test_an_empty_channel_is_told(self, tmp_path: Path) -> None:
        """A folder without a file."""
        base = make_container_tree(tmp_path, hyperparameters=SMALL, channels={"train": ROWS})
        (base / "input" / "data" / "train" / "part-00000.csv").unlink()
        message = f"The folder {base}/input/data/train holds no file with data. It must hold at least one such file."
        assert refusal_of(run_command("train", "--base-dir", base)) == message

    def test_a_place_that_cannot_be_written_is_told_before_training(self, tmp_path: Path) -> None:
        """Nobody trains for hours to learn it."""
        (tmp_path / "rows.csv").write_text("no row at all")
        done = run_command(
            "train", "--train", "rows.csv", "--model-dir", "/proc/model", *given(SMALL), "--quiet", folder=tmp_path
        )
        assert refusal_of(done) == "The model cannot be written to /proc/model: No such file or directory."

    def test_too_little_memory_is_told(self, tmp_path: Path, mx: Any) -> None:  # noqa: ARG002
        """The message has the size of the model and the cure, without a traceback of the engine.

        This holds at the failure and when Python ends. MXNet has the whole entity table in memory.
        """
        (tmp_path / "rows.csv").write_text(ROWS)
        limit, sizes = 6 * 10**9, {"num_entity_vectors": "16000000", "vector_dim": "128"}
        done = subprocess.run(
            [*TRAIN, "--quiet", "--engine", "gluon", *given({**SMALL, **sizes})],
            cwd=tmp_path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        # Known beforehand where the machine has less, else from the allocation that failed.
        told = (
            r"(There is not enough memory.* 16000000 .* 24\.6 GB|The model does not fit into memory.* 16000000 .* "
            r"24\.7 GB).*use a larger machine"
        )
        assert re.fullmatch(rf"ClientError: {told}\.", done.stderr.splitlines()[-1])

    def test_a_missing_model_is_told(self, tmp_path: Path) -> None:
        """Every command that uses a model names the missing path."""
        message = f"There is no model at {tmp_path}/no: give a model directory, a model_algo-1 file or a model.tar.gz."
        assert refusal_of(run_command("inspect", tmp_path / "no")) == message
        assert refusal_of(run_command("score", "-", "--model-dir", tmp_path / "no", stdin="")) == message


class TestHyperparameters:
    """Hyperparameters on the command line."""

    def test_all_that_is_wrong_is_told_at_once(self, tmp_path: Path) -> None:
        """All errors are reported at once, before the data is looked for."""
        wrong = {"epoch": "3", "epochs": "1.5", "learning_rate": "nan", "mini_batch_size": "inf", "vector_dim": "3",
                 "weight_decay": "", "random_negative_sampling_rate": "0",
                 "shuffled_negative_sampling_rate": "0"}  # fmt: skip
        done = run_command("train", "--train", tmp_path / "no.csv", "--model-dir", tmp_path, *given(wrong))
        assert refusal_of(done) == (
            "8 hyperparameters are wrong:\n"
            "  - Hyperparameter 'epoch' is unknown. Did you mean 'epochs'?\n"
            "  - Hyperparameter 'epochs' must be an integer, at least 1; it is '1.5'.\n"
            "  - Hyperparameter 'learning_rate' must be a number from 1e-06 to 10.0; it is 'nan'.\n"
            "  - Hyperparameter 'mini_batch_size' must be an integer from 1 to 500000; it is 'inf'.\n"
            "  - Hyperparameter 'num_entity_vectors' is required and missing: give an integer from 1 to 250000000. "
            "Rows of the table that entities are hashed into; twice the number of distinct entities is a good start.\n"
            "  - Hyperparameter 'vector_dim' must be an integer from 4 to 4096; it is '3'.\n"
            "  - Hyperparameter 'weight_decay' must be a number from 0.0 to 10.0; it is ''.\n"
            "  - random_negative_sampling_rate + shuffled_negative_sampling_rate must be from 1 to 500; it is 0 + 0.\n"
            "Let the data decide: -H num_entity_vectors=auto"
        )

    def test_a_model_beyond_the_engine_is_refused_before_anything_is_read(self, tmp_path: Path) -> None:
        """The error has the largest number of vectors that fits."""
        sizes = {"num_entity_vectors": "20000000", "vector_dim": "128"}
        done = run_command("train", "--train", tmp_path / "no.csv", "--model-dir", tmp_path, *given(sizes))
        assert refusal_of(done) == (
            "num_entity_vectors x vector_dim must be below 2^31 (8 GB of float32, the most that one array holds); it "
            "is 20000000 x 128. The largest num_entity_vectors for vector_dim 128 is 16777215."
        )

"""Training logs of every generation, in every wrapping."""

from __future__ import annotations

import gzip
import json
import logging
import re
from typing import TYPE_CHECKING

import pytest

from ipinsights.errors import ClientError
from ipinsights.runs.parse_line import Kind
from ipinsights.runs.reader import read_run
from ipinsights.runs.run import ACCURACY, AUC, CROSS_ENTROPY, SPEED, THROUGHPUT, Note

from .training_logs import LINES, LOGS, PREFIX, TEXT, as_page, read_text, same

if TYPE_CHECKING:
    from pathlib import Path

GENERATIONS = ("sagemaker-python2.7.log", "sagemaker-python3.7.log", "sagemaker-python3.8.log")
QUALITY, HOST = "#quality_metric", r"host=\S+"
METRIC_DEFINITIONS = {
    "validation:discriminator_auc": rf"{QUALITY}: {HOST}, epoch=\S+, validation discriminator_auc <score>=(\S+)",
    "train:progress": rf"#progress_metric: {HOST}, completed (\S+) %",
    "train:throughput": rf"#throughput_metric: {HOST}, train throughput=(\S+) records/second",
}
for _name, _kind in (("binary_classification_cross_entropy", "loss"), ("binary_classification_accuracy", "score")):
    _value = rf"train {_name} <{_kind}>=(\S+)"
    METRIC_DEFINITIONS[f"train:{_name}:epoch"] = rf"{QUALITY}: {HOST}, epoch=\S+, {_value}"
    METRIC_DEFINITIONS[f"train:{_name}"] = rf"{QUALITY}: {HOST}, epoch=\S+, batch=\S+ {_value}"


class TestGenerations:
    """One job as three generations of the container would tell it."""

    @pytest.mark.parametrize("name", GENERATIONS)
    def test_every_line_is_understood(self, name: str) -> None:
        """No line is left over, and every line is counted."""
        run = read_run(LOGS / name)
        assert run.unknown == ()
        assert run.errors == ()
        assert sum(run.counts.values()) == len((LOGS / name).read_text(encoding="utf-8").splitlines())

    @pytest.mark.parametrize("name", GENERATIONS)
    def test_the_values_are_those_in_the_log(self, name: str) -> None:
        """Metrics have all their digits, counters and durations their values."""
        run = read_run(LOGS / name)
        assert run.hosts == ("algo-1",)
        assert run.per_epoch()[ACCURACY].tolist() == [0.84375, 0.90625]
        assert run.per_epoch()[CROSS_ENTROPY].tolist() == [0.40625, 0.28125]
        assert run.per_epoch()[AUC].tolist() == [0.9375, 0.953125]
        assert run.per_epoch()[THROUGHPUT].tolist() == [1500.5, 1499.5]
        assert run.per_epoch()["time_cost"].tolist() == [1.5, 2.5]
        assert run.per_epoch()["update.time"].tolist() == [2000.0, 2001.0]
        assert run.per_epoch()["Total Records Seen"].tolist() == [3000.0, 6000.0]
        assert run.timings == {"initialize.time": 2.5, "setuptime": 50.5, "finalize.time": 0.25, "totaltime": 6500.0}
        assert run.start == 1646370367.0
        assert run.throughput == 1500.0

    @pytest.mark.parametrize("name", GENERATIONS)
    def test_inside_epochs_the_values_are_those_in_the_log(self, name: str) -> None:
        """Batch 0 has metrics and no speed; the others have both."""
        run = read_run(LOGS / name)
        batches = run.within_epochs()
        assert batches.index.tolist() == [(0, 0), (0, 10), (0, 20), (1, 0), (1, 10), (1, 20)]
        assert batches[ACCURACY].tolist() == [0.5, 0.75, 0.8125, 0.88, 0.890625, 0.8984375]
        assert batches[SPEED].dropna().tolist() == [11000.5, 21000.5, 11000.5, 21000.5]

    @pytest.mark.parametrize("name", GENERATIONS)
    def test_the_configuration_is_the_final_one(self, name: str) -> None:
        """What was provided goes over the defaults; Python 2's texts are texts."""
        run = read_run(LOGS / name)
        assert run.configuration["epochs"] == "2"
        assert run.configuration["weight_decay"] == "0.00001"
        assert run.configuration["_tuning_objective_metric"] == ""
        assert run.is_complete

    def test_ours_is_understood_too(self) -> None:
        """A log that `ipinsights train` wrote has no line left over."""
        run = read_run(LOGS / "ours.log")
        assert run.unknown == ()
        assert run.is_complete
        assert run.wanted_epochs == run.num_epochs == 2
        # 99 rows, R = S = 1: three records a row; batches of 20, so five base batches.
        assert run.last("Total Records Seen") == 2 * 3 * 99 + 6
        assert run.last("Total Batches Seen") == 2 * 3 * 5

    def test_rounded_metrics_stand_in_where_nothing_better_is_told(self, tmp_path: Path) -> None:
        """An export without #quality_metric lines still has six digits."""
        run = read_text(tmp_path, "\n".join(line for line in LINES if "#quality" not in line))
        assert run.per_epoch()[ACCURACY].tolist() == [0.84375, 0.90625]
        assert run.within_epochs()[CROSS_ENTROPY].tolist() == [0.5, 0.4375, 0.3125, 0.296875]

    def test_provided_hyperparameters_stand_in_for_final_ones(self, tmp_path: Path) -> None:
        """A log cut at its beginning tells what it can."""
        run = read_text(tmp_path, "\n".join(line for line in LINES if "Final configuration" not in line))
        assert run.configuration["vector_dim"] == "8"
        assert "weight_decay" not in run.configuration

    @pytest.mark.parametrize("name", [*GENERATIONS, "ours.log"])
    def test_sagemaker_s_metric_definitions_match(self, name: str) -> None:
        """SageMaker's metric definitions match our log as they match the original's log."""
        text = (LOGS / name).read_text(encoding="utf-8")
        found = {metric: re.findall(pattern, text) for metric, pattern in METRIC_DEFINITIONS.items()}
        assert {metric: len(values) for metric, values in found.items()} == {
            "validation:discriminator_auc": 2,
            "train:binary_classification_cross_entropy:epoch": 2,
            "train:binary_classification_accuracy:epoch": 2,
            "train:binary_classification_cross_entropy": 6,
            "train:binary_classification_accuracy": 6,
            "train:progress": 2,
            "train:throughput": 2,
        }
        assert found["validation:discriminator_auc"] == [repr(value) for value in read_run(LOGS / name).epochs[AUC]]
        assert [float(value) for value in found["train:progress"]] == [50, 100]


class TestFailures:
    """What went wrong is told, and nothing is made up."""

    def test_errors_are_found(self) -> None:
        """Lines of level ERROR, the end of a traceback, and what the platform says."""
        run = read_run(LOGS / "failed.log")
        assert [note.text for note in run.errors] == [
            "Training data is not what it was.",
            "MemoryError: 1 terabyte is a lot",
            "AlgorithmError: Out of memory, exit code: 1",
        ]
        assert run.unknown == ()
        assert not run.is_complete

    def test_a_metric_that_is_no_number_is_an_error(self, tmp_path: Path) -> None:
        """A run that diverged did not go well."""
        line = PREFIX + "#quality_metric: host=algo-1, epoch=1, train binary_classification_cross_entropy <loss>=nan"
        run = read_text(tmp_path, f"{TEXT}{line}\n")
        assert run.errors == (Note(len(LINES) + 1, line),)

    def test_unknown_lines_are_listed_with_their_number(self, tmp_path: Path) -> None:
        """What is not understood is said so."""
        run = read_text(tmp_path, f"Hello\n{TEXT}")
        assert run.unknown == (Note(1, "Hello"),)

    def test_notes_are_bounded(self, tmp_path: Path) -> None:
        """A thousand are kept, cut to a thousand characters; the count is whole."""
        run = read_text(tmp_path, TEXT + f"{'x' * 2000}\n" * 1500)
        assert len(run.unknown) == 1000
        assert set(map(len, (note.text for note in run.unknown))) == {1000}
        assert run.counts[Kind.UNKNOWN] == 1500

    def test_the_last_start_counts(self, tmp_path: Path) -> None:
        """A job that was interrupted and began anew has the metrics of the second start."""
        first = "\n".join(LINES[:-20]).replace("0.84375", "0.125")
        run = read_text(tmp_path, f"{first}\n{TEXT}")
        assert run.num_starts == 2
        assert same(run, read_run(LOGS / "sagemaker-python3.7.log"))

    def test_a_later_start_of_ours_counts_too(self, tmp_path: Path) -> None:
        """Our log begins with the default configuration."""
        text = (LOGS / "ours.log").read_text(encoding="utf-8")
        run = read_text(tmp_path, text + text)
        assert run.num_starts == 2
        assert same(run, read_run(LOGS / "ours.log"))

    def test_timings_have_a_fixed_order(self, tmp_path: Path) -> None:
        """A report looks the same whatever order a line has them in."""
        line = next(line for line in LINES if '"setuptime"' in line)
        metrics = json.loads(line[line.index("{") :])
        metrics["Metrics"] = dict(reversed(metrics["Metrics"].items()))
        run = read_text(tmp_path, TEXT.replace(line, f"{line[: line.index('{')]}{json.dumps(metrics)}"))
        assert list(run.timings) == ["initialize.time", "setuptime", "finalize.time", "totaltime"]

    def test_a_log_of_very_many_hosts_is_refused(self, tmp_path: Path) -> None:
        """Every start of a host looks at all of them."""
        lines = (
            f"{PREFIX}#quality_metric: host=algo-{host}, epoch=0, train binary_classification_accuracy <score>=0.5"
            for host in range(1001)
        )
        with pytest.raises(ClientError) as caught:
            read_text(tmp_path, "\n".join(lines))
        assert str(caught.value) == "The log names more than 1,000 hosts and streams. Give the log of one job."

    def test_a_run_that_went_on_is_one_run(self, tmp_path: Path) -> None:
        """Killed twice, each time some batches after its checkpoint: as if nothing had happened."""
        lines = (LOGS / "ours.log").read_text(encoding="utf-8").splitlines()
        begin = lines[:9]
        first = [*lines[:19], f'{PREFIX}Wrote checkpoint "ck/a" in 0.010 seconds.']
        second = [*begin, f'{PREFIX}Resuming from checkpoint "ck/a": epoch 0, after batch 8.', *lines[16:38]]
        third = [*begin, f'{PREFIX}Resuming from checkpoint "ck/b": epoch 1, after batch 5.', *lines[35:]]
        run = read_text(tmp_path, "\n".join([*first, *second, *third]).replace("0.5863636", "0.125", 1))
        assert run.num_starts == 3
        assert run.num_epochs_before == 0
        assert run.unknown == ()
        assert same(run, read_run(LOGS / "ours.log"))

    def test_epochs_of_another_log_are_counted(self, tmp_path: Path) -> None:
        """The log of the second half alone tells how much of the run lies before it."""
        lines = (LOGS / "ours.log").read_text(encoding="utf-8").splitlines()
        resumption = f'{PREFIX}Resuming from checkpoint "ck/a": epoch 1, after batch -1.'
        run = read_text(tmp_path, "\n".join([*lines[:9], resumption, *lines[30:]]))
        assert (run.num_epochs_before, run.num_epochs) == (1, 2)
        assert run.is_complete

    def test_a_log_without_metrics_is_refused(self, tmp_path: Path) -> None:
        """The sentence says what was looked for."""
        with pytest.raises(ClientError) as caught:
            read_text(tmp_path, "Hello\n")
        assert str(caught.value) == (
            f"{tmp_path}/run.log holds no training metrics: none of its 1 lines is a #quality_metric line. Give the "
            "log of a training job, as CloudWatch, a notebook or `ipinsights train` shows it."
        )

    def test_an_empty_log_is_refused(self, tmp_path: Path) -> None:
        """The sentence says what leaves such a one."""
        with pytest.raises(ClientError) as caught:
            read_text(tmp_path, "")
        assert str(caught.value) == (
            f"{tmp_path}/run.log has no line in it: `ipinsights train --quiet` logs nothing. Train without it."
        )

    def test_a_reference_to_no_character(self, tmp_path: Path) -> None:
        """A web page may hold a number that Python refuses to read."""
        run = read_text(tmp_path, as_page("<html><head>").replace("<pre>", f"<pre>&#{'9' * 5000};\n"))
        assert [note.text[:4] for note in run.unknown] == ["&#99"]

    @pytest.mark.parametrize("outputs", [[], [{"output_type": "display_data", "data": {"image/png": "x"}}]])
    def test_a_notebook_without_output_is_refused(self, outputs: list[object], tmp_path: Path) -> None:
        """The sentence says how to save it."""
        cells = [{"cell_type": "code", "source": ["fit()"], "outputs": outputs}, {"cell_type": "markdown"}]
        with pytest.raises(ClientError) as caught:
            read_text(tmp_path, json.dumps({"nbformat": 4, "cells": cells}))
        assert str(caught.value) == (
            f"{tmp_path}/run.log is a notebook without saved output. Run its cells and save it, or use the job's log."
        )

    def test_the_log_of_another_algorithm_is_refused(self, tmp_path: Path) -> None:
        """The sentence names what it measures instead."""
        line = PREFIX + "#quality_metric: host=algo-1, epoch={}, {} <loss>=1.5\n"
        log = line.format(0, "train loss") + line.format(1, "validation rmse")
        log += PREFIX + "#throughput_metric: host=algo-1, train throughput=7 records/second\n"
        with pytest.raises(ClientError) as caught:
            read_text(tmp_path, log)
        assert str(caught.value) == (
            f"{tmp_path}/run.log is the log of another algorithm: it has train:loss, validation:rmse, and no metric of "
            "IP Insights."
        )

    def test_a_job_that_failed_early_tells_why(self, tmp_path: Path) -> None:
        """The reason in the log is more useful than its emptiness."""
        with pytest.raises(ClientError) as caught:
            read_text(tmp_path, "Hello\nClientError: No data, exit code: 2\n")
        assert str(caught.value) == (
            f"{tmp_path}/run.log holds no training metrics: none of its 2 lines is a #quality_metric line. Line 2 "
            "tells why: ClientError: No data, exit code: 2"
        )

    @pytest.mark.parametrize(
        ("content", "sentence"),
        [
            (gzip.compress(TEXT.encode(), mtime=0)[:-9], "is a damaged gzip file"),
            (b'{"cells": 5}', "begins like a notebook and cannot be read as one."),
            (
                b'timestamp,message\n1,"' + b"x" * 200_000,
                "is no CSV download of CloudWatch: field larger than field limit",
            ),
        ],
    )
    def test_damaged_files_are_refused(self, content: bytes, sentence: str, tmp_path: Path) -> None:
        """The sentence says what the file seemed to be."""
        with pytest.raises(ClientError) as caught:
            read_text(tmp_path, content)
        assert str(caught.value).startswith(f"{tmp_path}/run.log {sentence}")

    def test_a_file_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        """The sentence names it."""
        with pytest.raises(ClientError) as caught:
            read_run(tmp_path / "none.log")
        assert str(caught.value) == f"{tmp_path}/none.log cannot be read: No such file or directory."

    def test_reading_logs_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        """A reader is silent."""
        with caplog.at_level(logging.DEBUG):
            read_run(LOGS / "ours.log")
        assert caplog.records == []

"""Training logs of every generation, in every wrapping."""

from __future__ import annotations

import csv
import gzip
import html
import io
import json
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ipinsights.errors import ClientError
from ipinsights.runs.parse_line import Kind, parse_line
from ipinsights.runs.reader import read_run
from ipinsights.runs.run import ACCURACY, AUC, CROSS_ENTROPY, SPEED, THROUGHPUT, Note, RunLog
from ipinsights.runs.unwrap import LogLine, read_lines, unwrap

if TYPE_CHECKING:
    from collections.abc import Callable

LOGS = Path(__file__).parents[1] / "data" / "logs"
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
PREFIX = "[03/04/2022 05:06:07 INFO 140000000000001] "
STREAM = "job-2022/algo-1-1646370367"
TEXT = (LOGS / "sagemaker-python3.7.log").read_text(encoding="utf-8")
LINES = TEXT.splitlines()


def read_text(folder: Path, text: str | bytes) -> RunLog:
    """Read a log of this text."""
    path = folder / "run.log"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_run(path)


def same(one: RunLog, other: RunLog) -> bool:
    """Whether two logs tell the same."""
    pd.testing.assert_frame_equal(one.epochs, other.epochs, check_like=True)
    pd.testing.assert_frame_equal(one.batches, other.batches, check_like=True)
    return (one.configuration, one.timings, one.start) == (other.configuration, other.timings, other.start)


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
        assert run.is_saved

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
        """The expressions that SageMaker attaches to the algorithm find in our log what they find in its."""
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


def as_text_events(stream: str) -> str:
    """Give what `aws logs` prints with --output text."""
    return "\n".join(f"EVENTS\t1646370399000\t{stream}{line}\t1646370367000" for line in LINES)


def as_csv(*, columns: tuple[str, ...], stream: str | None) -> str:
    """Give a CSV download of CloudWatch's console."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(columns)
    writer.writerows([1646370367000, line, *([stream] if stream else [])] for line in LINES)
    return file.getvalue()


def as_notebook() -> str:
    """Give a notebook with SageMaker's status texts and colours among the container's lines."""
    coloured = [f"\x1b[34m{line}\x1b[0m\n" for line in LINES]
    status = ["2022-03-04 05:00:00 Starting - Starting the training job...\n", "2022-03-04 05:03:00 Training - "
              "Training the image......"]  # fmt: skip
    end = ["\n", "2022-03-04 05:09:00 Completed - Training job completed\n", "Training seconds: 100\n"]
    outputs = [{"output_type": "stream", "name": "stdout", "text": [*status, *coloured, *end]}]
    cells = [{"cell_type": "code", "source": ["fit()"], "outputs": outputs}, {"cell_type": "markdown", "source": "x"}]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}, indent=1)


def as_displayed() -> str:
    """Return a notebook that displays the log as a value, with its keys in another order."""
    data = {"text/html": "<pre>no</pre>", "text/plain": [f"{line}\n" for line in LINES]}
    outputs = [{"output_type": "execute_result", "execution_count": 1, "data": data, "metadata": {}}]
    cells = [{"cell_type": "code", "metadata": {}, "source": [], "outputs": outputs}]
    return json.dumps(
        {"metadata": {"kernelspec": {"name": "conda"}}, "nbformat": 4, "nbformat_minor": 5, "cells": cells}
    )


def as_page(opening: str) -> str:
    """Return the page that nbconvert makes of a notebook."""
    lines = "\n".join(f'<span class="ansi-blue-fg">{html.escape(line)}</span>' for line in LINES)
    return f'{opening}\n<meta charset="utf-8"/></head>\n<body><div>\n<pre>{lines}\n</pre>\n</div></body></html>\n'


def as_query_results() -> str:
    """Return what `aws logs get-query-results` prints."""
    rows = [[{"field": "@timestamp", "value": "2022-03-04 05:06:07.000"}, {"field": "@message", "value": line},
             {"field": "@ptr", "value": "x"}] for line in LINES]  # fmt: skip
    return json.dumps({"queryLanguage": "CWLI", "results": rows, "statistics": {"bytesScanned": 1.0}}, indent=4)


EVENTS = [{"timestamp": 1646370367000, "message": line, "ingestionTime": 1646370399000} for line in LINES]
WRAPPINGS: dict[str, Callable[[], str | bytes]] = {
    "tabs": lambda: TEXT.replace("#011", "\t"),
    "CRLF": lambda: TEXT.replace("\n", "\r\n"),
    "byte order mark": lambda: b"\xef\xbb\xbf" + TEXT.encode(),
    "gzip": lambda: gzip.compress(TEXT.encode()),
    "gzip of JSON": lambda: gzip.compress(json.dumps({"events": EVENTS}).encode()),
    "colours": lambda: "\n".join(f"\x1b[34m{line}\x1b[0m" for line in LINES),
    "colours whose escape was lost": lambda: "\n".join(f"[34m{line}[0m" for line in LINES),
    "aws logs tail": lambda: "\n".join(f"2022-03-04T05:06:07.123000+00:00 {STREAM} {line}" for line in LINES),
    "aws logs tail --format short": lambda: "\n".join(f"2022-03-04T05:06:07 {line}" for line in LINES),
    "awslogs": lambda: "\n".join(f"/aws/sagemaker/TrainingJobs {STREAM} {line}" for line in LINES),
    "get-log-events as text": lambda: as_text_events(""),
    "filter-log-events as text": lambda: "\n".join(
        f"EVENTS\t{10**55}\t1646370399000\t{STREAM}\t{line}\t1646370367000" for line in LINES
    ),
    "times and messages as text": lambda: "\n".join(f"1646370367000\t{line}" for line in LINES),
    "messages as text, all in one line": lambda: "\t".join(line for line in LINES if line),
    "CSV download": lambda: as_csv(columns=("timestamp", "message"), stream=None),
    "CSV download of Insights": lambda: as_csv(columns=("@timestamp", "@message", "@logStream"), stream=STREAM),
    "JSON": lambda: json.dumps({"events": EVENTS, "nextForwardToken": "f/1"}),
    "JSON, pretty": lambda: json.dumps({"nextToken": "f/1", "events": EVENTS}, indent=4),
    "JSON, pages one after another": lambda: "\n".join(
        json.dumps({"events": EVENTS[start : start + 20], "nextForwardToken": "]"}) for start in range(0, 100, 20)
    ),
    "JSON list": lambda: json.dumps(EVENTS, indent=2),
    "JSON Lines": lambda: "\n".join(map(json.dumps, EVENTS)),
    "Docker's JSON": lambda: "\n".join(json.dumps({"log": f"{line}\n", "stream": "stdout"}) for line in LINES),
    "docker compose": lambda: "\n".join(f"algo-1-x7k2p  | {line}" for line in LINES),
    "docker compose of the SDK": lambda: "\n".join(f"\x1b[36mk3v9-algo-1-x7k2p |\x1b[0m {line}" for line in LINES),
    "notebook": as_notebook,
    "notebook that displays": as_displayed,
    "web page": lambda: as_page("<!DOCTYPE html>\n<html><head>"),
    "web page with a comment": lambda: as_page('\n<!-- saved --><HTML lang="de"><head>'),
    "query results": as_query_results,
    "query results in a line": lambda: json.dumps(json.loads(as_query_results())),
    "JSON list of texts": lambda: json.dumps(LINES, indent=4),
    "JSON list of texts in a line": lambda: json.dumps(LINES),
    "UTF-16": lambda: TEXT.encode("utf-16"),
    "UTF-16 without a mark": lambda: TEXT.replace("\n", "\r\n").encode("utf-16-le"),
    "UTF-16, packed": lambda: gzip.compress(json.dumps({"events": EVENTS}, indent=2).encode("utf-16-be")),
}  # fmt: skip


class TestWrappings:
    """The same log, however it came here."""

    @pytest.mark.parametrize("name", WRAPPINGS)
    def test_the_wrapping_changes_nothing(self, name: str, tmp_path: Path) -> None:
        """The run is the same, and nothing of the wrapping is left over."""
        run = read_text(tmp_path, WRAPPINGS[name]())
        assert run.unknown == ()
        assert same(run, read_run(LOGS / "sagemaker-python3.7.log"))

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("", [(None, "")]),
            ("  indented", [(None, "  indented")]),
            ("2022-03-04 05:06:07 Starting - Launching", [(None, "2022-03-04 05:06:07 Starting - Launching")]),
            ("....#metrics {}", [(None, "...."), (None, "#metrics {}")]),
            (
                "2022-03-04 05:06:07 Training - In progress.[03/04/2022 05:06:07 INFO 1] Epoch",
                [(None, "2022-03-04 05:06:07 Training - In progress."), (None, "[03/04/2022 05:06:07 INFO 1] Epoch")],
            ),
            ("algo-2-ab12 |   indented", [("algo-2-ab12", "  indented")]),
            ("2022-03-04T05:06:07Z job/algo-3-1646370367 x", [("job/algo-3-1646370367", "x")]),
            ("a#011b", [(None, "a\tb")]),
        ],
    )
    def test_a_line_is_unwrapped_and_taken_apart(self, line: str, expected: list[tuple[str | None, str]]) -> None:
        """Prefixes go, indentation stays, and lines that share one are two."""
        assert unwrap(line) == expected

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
    @given(
        messages=st.lists(
            st.sampled_from(LINES) | st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=9
        )
    )
    def test_json_is_taken_off_whatever_is_inside(self, tmp_path: Path, messages: list[str]) -> None:
        """Lines of a dump of events are those of its messages, in order, whatever its layout."""
        path = tmp_path / "events.json"
        expected = [piece for message in messages for line in message.splitlines() or [""] for piece in unwrap(line)]
        events = [{"timestamp": 1, "message": message} for message in messages]
        for text in (json.dumps({"events": events}), json.dumps({"events": events}, indent=2, ensure_ascii=False)):
            path.write_text(text, encoding="utf-8")
            assert [(line.stream, line.text) for line in read_lines(path)] == expected

    def test_a_dump_larger_than_a_chunk_is_read_event_by_event(self, tmp_path: Path) -> None:
        """Events that lie across chunks are whole."""
        path = tmp_path / "events.json"
        messages = [f"{number}: {'x' * (number % 5000)}." for number in range(2000)]
        path.write_text(json.dumps({"events": [{"message": text} for text in messages]}), encoding="utf-8")
        assert [line.text for line in read_lines(path)] == messages

    def test_lines_know_their_number(self, tmp_path: Path) -> None:
        """Numbers are those of an editor, or of events."""
        path = tmp_path / "x.log"
        path.write_text("one\n..#metrics {}\n", encoding="utf-8")
        assert list(read_lines(path)) == [
            LogLine(1, None, "one"), LogLine(2, None, ".."), LogLine(2, None, "#metrics {}"),
        ]  # fmt: skip


class TestParseLine:
    """One line is what it is."""

    @example("[03/04/2022 05:06:07 INFO 1] Final configuration: " + "{" * 3000 + "}")
    @example("#metrics " + '{"a":' * 5000 + "}")
    @example(
        '#metrics {"Dimensions": {"Operation": "training", "Host": 1, "epoch": []}, "StartTime": 1, "Metrics": {}}'
    )
    @example(
        '#metrics {"Dimensions": {"Operation": "training", "Host": 1}, "StartTime": 1, "Metrics": {"a": {"sum": {}}}}'
    )
    @given(st.text(max_size=200))
    def test_it_never_raises(self, text: str) -> None:
        """Whatever the text, there is an answer."""
        for line in (text, PREFIX + text, PREFIX + "Final configuration: {" + text + "}", "#metrics {" + text + "}"):
            assert isinstance(parse_line(line).kind, Kind)

    @given(st.sampled_from(LINES), st.integers(0, 300), st.integers(0, 300), st.text(max_size=3))
    def test_it_never_raises_on_damaged_lines(self, line: str, start: int, length: int, text: str) -> None:
        """A piece cut out or put in makes a line unknown at worst."""
        assert isinstance(parse_line(line[:start] + text + line[start + length :]).kind, Kind)

    @pytest.mark.parametrize(
        ("line", "kind"),
        [
            (PREFIX + "Something new", Kind.UNKNOWN),
            ("Something new", Kind.UNKNOWN),
            (PREFIX.replace("INFO", "ERROR") + "Something new", Kind.ERROR),
            ("[10/16/2017 23:45:17 ERROR 139 train.py:48] Additional properties are not allowed", Kind.ERROR),
            ("ClientError: x, exit code: 2", Kind.ERROR),
            ("2022-03-04 05:06:07 Failed - Training job failed", Kind.ERROR),
            ("k3-algo-1-x7 exited with code 1", Kind.ERROR),
            ("k3-algo-1-x7 exited with code 0", Kind.STATUS),
            (PREFIX + "Epoch[0] Batch [10]\tSpeed: x samples/sec", Kind.UNKNOWN),
            (PREFIX + "#quality_metric: host=algo-1, epoch=x, train a <score>=1", Kind.UNKNOWN),
            ("#metrics {broken", Kind.UNKNOWN),
            ("x" * 300_000, Kind.UNKNOWN),
            ("\t", Kind.BLANK),
        ],
    )
    def test_kinds(self, line: str, kind: Kind) -> None:
        """A line that is not quite what it seems is not understood."""
        assert parse_line(line).kind is kind

    @pytest.mark.parametrize(
        "line",
        [
            PREFIX + "loaded entry point class algorithm.serve.server_config:config_api",
            PREFIX + "loading entry points",
            PREFIX + "loaded request iterator text/csv",
            PREFIX + "loaded response encoder application/jsonlines",
            PREFIX + "Number of server workers: 4",
            PREFIX + "loading model...",
            PREFIX + "...model loaded.",
            PREFIX + "Requesting context without setting the requested num of gpus. Using 'auto'",
            "[2022-03-04 05:06:07 +0000] [1] [INFO] Listening at: http://0.0.0.0:8080 (1)",
            "2022-03-04T05:06:07.048:[sagemaker logs]: MaxConcurrentTransforms=4, MaxPayloadInMB=6",
            '#metrics {"StartTime": 1.0, "EndTime": 2.0, "Dimensions": {"Algorithm": "IPInsightsModel", "Host": '
            '"UNKNOWN", "Operation": "scoring"}, "Metrics": {"invocations.count": {"sum": 1.0}}}',
        ],
    )
    def test_lines_of_serving_are_known(self, line: str) -> None:
        """A notebook's log goes on after training."""
        assert parse_line(line).kind is Kind.SERVING


class TestSeveralHosts:
    """A distributed job in one log."""

    def test_each_host_has_its_rows(self) -> None:
        """Lines without a host belong to the host of their thread."""
        run = read_run(LOGS / "two-hosts.log")
        assert run.unknown == ()
        assert run.hosts == ("algo-1", "algo-2")
        assert run.epochs.loc["algo-2", AUC].tolist() == [0.9, 0.95]
        assert run.epochs.loc["algo-2", "time_cost"].tolist() == [1.5, 2.5]
        assert run.num_starts == 1

    def test_together_they_average_and_add(self) -> None:
        """Metrics are averaged, records and speeds added, and the slowest is waited for."""
        run = read_run(LOGS / "two-hosts.log")
        assert run.per_epoch()[AUC].tolist() == [(0.9375 + 0.9) / 2, (0.953125 + 0.95) / 2]
        assert run.per_epoch()[THROUGHPUT].tolist() == [3001.0, 2999.0]
        assert run.per_epoch()["Total Records Seen"].tolist() == [6000.0, 12000.0]
        assert run.per_epoch()["time_cost"].tolist() == [1.5, 2.5]
        assert run.within_epochs()[SPEED].dropna().tolist() == [22001.0, 42001.0, 22001.0, 42001.0]

    def test_one_after_another_they_are_one_run(self, tmp_path: Path) -> None:
        """The streams of two hosts, put into one file, are no two starts."""
        text = (LOGS / "two-hosts.log").read_text(encoding="utf-8").splitlines()
        run = read_text(tmp_path, "\n".join([*text[0::2], *text[1::2]]))
        assert same(run, read_run(LOGS / "two-hosts.log"))
        assert run.num_starts == 1

    def test_stream_names_tell_the_host(self, tmp_path: Path) -> None:
        """Lines without a host belong to the host in their stream's name, even when no line names it."""
        lines = [line for line in LINES if "Epoch[" in line]
        run = read_text(tmp_path, "\n".join(f"algo-{host}-x | {line}" for line in lines for host in (1, 2)))
        assert run.hosts == ("algo-1", "algo-2")


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
        assert not run.is_saved

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
        """Of a job that was interrupted and began anew, the second attempt is shown."""
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

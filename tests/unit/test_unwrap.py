"""The same log in every wrapping."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipinsights.runs.reader import read_run
from ipinsights.runs.unwrap import LogLine, read_lines, unwrap

from .training_logs import LINES, LOGS, TEXT, as_page, read_text, same

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STREAM = "job-2022/algo-1-1646370367"


def as_text_events(stream: str) -> str:
    """Return lines as `aws logs` prints them with --output text."""
    return "\n".join(f"EVENTS\t1646370399000\t{stream}{line}\t1646370367000" for line in LINES)


def as_csv(*, columns: tuple[str, ...], stream: str | None) -> str:
    """Return a CSV download of CloudWatch's console."""
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(columns)
    writer.writerows([1646370367000, line, *([stream] if stream else [])] for line in LINES)
    return file.getvalue()


def as_notebook() -> str:
    """Return a notebook with SageMaker's status texts and colours among the container's lines."""
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


def as_query_results() -> str:
    """Return what `aws logs get-query-results` prints."""
    rows = [[{"field": "@timestamp", "value": "2022-03-04 05:06:07.000"}, {"field": "@message", "value": line},
             {"field": "@ptr", "value": "x"}] for line in LINES]  # fmt: skip
    return json.dumps({"queryLanguage": "CWLI", "results": rows, "statistics": {"bytesScanned": 1.0}}, indent=4)


def as_table(*, stream: str | None = None, escape: str = "", rule: str = "") -> str:
    """Return a table of Logs Insights as it is copied.

    Markdown, or text with a rule above and below.
    """
    names = ["@timestamp", "@message", *(["@logStream"] if stream else [])]
    width = max(map(len, LINES)) if rule else 0
    rows = [["2022-03-04 05:06:07.000", line.replace("|", f"{escape}|").ljust(width), *([stream] if stream else [])]
            for line in LINES]  # fmt: skip
    lines = [f"| {' | '.join(row)} |" for row in (names, ["---"] * len(names), *rows)]
    return "\n".join([*([rule] if rule else []), *lines, rule])


def as_zip(**files: str) -> bytes:
    """Return a zip download, with what macOS adds when it packs one again."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"logs/{name}.log", text)
        archive.writestr("__MACOSX/logs/._a.log", "no log")
    return packed.getvalue()


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
    "JSON with numbers of many digits": lambda: json.dumps({"events": EVENTS}).replace(
        '"ingestionTime": 1', '"ingestionTime": ' + "1" * 5000
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
    "copied Markdown": lambda: as_table(escape="\\"),
    "copied Markdown, with streams": lambda: as_table(stream=STREAM, escape="\\"),
    "copied text": lambda: as_table(rule="-" * 50),
    "copied rows of the page": lambda: "\n".join(
        f"{number}\t2022-03-04T05:06:07.000Z\t{line}" for number, line in enumerate(LINES, 1)
    ),
    "zip": lambda: as_zip(a=TEXT),
    "zip of a CSV download": lambda: as_zip(a=as_csv(columns=("timestamp", "message"), stream=None)),
    "zip of two pieces": lambda: as_zip(a="\n".join(LINES[:60]), b="\n".join(LINES[60:])),
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


def test_halves_of_surrogate_pairs(tmp_path: Path) -> None:
    """Messages and names of streams have escapes for them."""
    path = tmp_path / "log"
    path.write_text(json.dumps({"message": "a\ud800", "logStreamName": "algo-\udfff"}))
    (line,) = read_lines(path)
    assert (line.stream, line.text) == (r"algo-\udfff", r"a\ud800")

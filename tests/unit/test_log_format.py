"""Lines of the container's log, as SageMaker's regular expressions expect them."""

from __future__ import annotations

import io
import json
import logging
import re
from typing import TYPE_CHECKING

import pytest

from ipinsights.errors import ClientError
from ipinsights.log_format import ContainerHandler, bare, emit_metrics, logging_to, set_up_logging

if TYPE_CHECKING:
    from pathlib import Path


def logged(level: str = "info") -> io.StringIO:
    """Return the stream that the package's log goes to from now on."""
    stream = io.StringIO()
    set_up_logging(level, ContainerHandler(stream))
    return stream


def test_a_message_has_time_level_and_thread() -> None:
    """The format is that of the original's containers."""
    stream = logged()
    logging.getLogger("ipinsights.any").warning("%d rows", 3)
    assert re.fullmatch(r"\[\d\d/\d\d/\d{4} \d\d:\d\d:\d\d WARNING \d+\] 3 rows\n", stream.getvalue())


def test_a_bare_line_has_nothing_in_front() -> None:
    """A bare line has no prefix, because programs read such lines."""
    stream = logged()
    bare("Process 1 is a worker.")
    assert stream.getvalue() == "Process 1 is a worker.\n"


def test_messages_below_the_level_are_left_out() -> None:
    """A quiet job logs errors only."""
    stream = logged("error")
    logging.getLogger("ipinsights.any").warning("slow")
    bare("Process 1 is a worker.")
    logging.getLogger("ipinsights.any").error("broken")
    assert re.fullmatch(r"\[[^]]+ ERROR \d+\] broken\n", stream.getvalue())


def test_metrics_are_json_with_an_empty_line_behind() -> None:
    """Each value is a statistic of one sample."""
    stream = logged()
    emit_metrics({"epochs": 10, "update.time": 1.5}, start=1.0, end=2.5, dimensions={"Host": "algo-1"})
    head, _, text = stream.getvalue().partition(" ")
    assert head == "#metrics"
    assert text.endswith("}\n\n")
    assert json.loads(text) == {
        "StartTime": 1.0,
        "EndTime": 2.5,
        "Dimensions": {"Host": "algo-1"},
        "Metrics": {
            "epochs": {"sum": 10.0, "count": 1, "min": 10, "max": 10},
            "update.time": {"sum": 1.5, "count": 1, "min": 1.5, "max": 1.5},
        },
    }


class TestLogFile:
    """The log in a file, next to standard output or in its place."""

    def test_both_have_the_log(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The same lines go to both, control characters as escapes, and the file is written anew."""
        path = tmp_path / "train.log"
        path.write_text("of a run before\n")
        with logging_to(path):
            bare("Process 1 is a \x1bworker.")
        assert path.read_text() == capsys.readouterr().out == "Process 1 is a \\x1bworker.\n"

    def test_quiet_is_about_standard_output(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The file has all lines, standard output the errors."""
        path = tmp_path / "train.log"
        with logging_to(path, quiet=True):
            bare("Process 1 is a worker.")
            logging.getLogger("ipinsights.any").error("broken")
        assert path.read_text().splitlines()[0] == "Process 1 is a worker."
        assert re.fullmatch(r"\[[^]]+ ERROR \d+\] broken\n", capsys.readouterr().out)

    def test_a_terminal_sees_warnings_in_plain_words(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Warnings go to standard error, but not those that are copied from the original's log."""
        logger = logging.getLogger("ipinsights.any")
        with logging_to(None, shows_log=False):
            bare("Process 1 is a worker.")
            logger.warning("%g seconds are over: stopping.", 5)
            logger.warning("wait_for_all_workers", extra={"is_copied": True})
        assert capsys.readouterr() == ("", "warning: 5 seconds are over: stopping.\n")

    def test_a_file_that_cannot_be_written(self, tmp_path: Path) -> None:
        """The error names the file and the reason."""
        path = tmp_path / "none" / "train.log"
        with pytest.raises(ClientError) as caught, logging_to(path):
            pass
        assert str(caught.value) == f"The log file {path} cannot be written: No such file or directory."

"""Lines of the container's log, as SageMaker's regular expressions expect them."""

from __future__ import annotations

import io
import json
import logging
import re

from ipinsights.log_format import bare, emit_metrics, set_up_logging


def logged(level: str = "info") -> io.StringIO:
    """Return the stream that the package's log goes to from now on."""
    stream = io.StringIO()
    set_up_logging(level, stream)
    return stream


def test_a_message_has_time_level_and_thread() -> None:
    """The format is that of the original's containers."""
    stream = logged()
    logging.getLogger("ipinsights.any").warning("%d rows", 3)
    assert re.fullmatch(r"\[\d\d/\d\d/\d{4} \d\d:\d\d:\d\d WARNING \d+\] 3 rows\n", stream.getvalue())


def test_a_bare_line_has_nothing_in_front() -> None:
    """Programs read such lines."""
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

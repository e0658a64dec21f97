"""Names of parameters in messages of the library, as the command line calls them."""

from __future__ import annotations

import re

__all__ = ["with_option_names"]

_OPTIONS = {
    "calibration_from": "--calibration-at",
    "concurrency": "--concurrency",
    "early_stopping_patience": "--early-stopping-patience",
    "encoding": "--encoding",
    "entity": "--entity",
    "fractions": "--fraction",
    "ip": "--ip",
    "fields": "--fields",
    "line_format": "--log-format",
    "log_format": "--format",
    "max_payload_mb": "--max-payload-mb",
    "no_header": "--no-header",
    "no_timestamps": "--no-timestamps",
    "output": "--output",
    "path": "--path",
    "port": "--port",
    "status": "--status",
    "test_from": "--at",
    "Threshold.calibrate": "`ipinsights threshold`",
    "time_format": "--time-format",
    "timestamp": "--timestamp",
    "validation": "--validation",
    "where": "--where",
    "year": "--year",
}
# A name in backquotes. Values of users stand in quotes.
_NAME = re.compile(r"(?<!['\"])`(" + "|".join(map(re.escape, _OPTIONS)) + r")`(?!['\"])")


def with_option_names(message: str) -> str:
    """Return a message with options in place of names of parameters in backquotes.

    >>> with_option_names("`test_from` must be a date. Got '`path`'.")
    "--at must be a date. Got '`path`'."
    """
    return _NAME.sub(lambda found: _OPTIONS[found[1]], message)

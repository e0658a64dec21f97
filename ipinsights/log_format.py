"""Lines of the container's log: their format, their handler, and ``#metrics`` lines."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
import time
from typing import IO, TYPE_CHECKING

from tqdm import tqdm

from ipinsights.data.files import drop_unwritten
from ipinsights.data.remote_names import as_given
from ipinsights.errors import ClientError
from ipinsights.reporting.plain_text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["ContainerFormatter", "ContainerHandler", "bare", "emit_metrics", "logging_to", "set_up_logging"]

_logger = logging.getLogger(__name__)


class ContainerFormatter(logging.Formatter):
    """Formatter of ``[MM/DD/YYYY HH:MM:SS LEVEL thread] message``, without prefix for metrics."""

    def __init__(self) -> None:
        super().__init__("[%(asctime)s %(levelname)s %(thread)d] %(message)s", datefmt="%m/%d/%Y %H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, with control characters as escapes."""
        text = record.getMessage() if getattr(record, "bare", False) else super().format(record)
        return printable(as_given(text))


class ContainerHandler(logging.StreamHandler):  # type: ignore[type-arg]  # no parameter before Python 3.11
    """Handler that writes a line without cutting through a progress bar on the same terminal."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__(stream)
        self.setFormatter(ContainerFormatter())
        self._is_told = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of a record."""
        with tqdm.external_write_mode(file=self.stream):
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name that logging calls
        """Drop a line that cannot be written, and report the first such line.

        The job continues without its log.
        """
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        drop_unwritten(self.stream)
        if not self._is_told:
            self._is_told = True
            with contextlib.suppress(OSError, AttributeError):
                reason = error.strerror or error
                sys.stderr.write(f"The log cannot be written: {reason}. The job continues without it.\n")
                sys.stderr.flush()
            drop_unwritten(sys.stderr)


def set_up_logging(level: str = "info", handler: logging.Handler | None = None) -> None:
    """Send the package's log to a handler, by default one for standard output if that is open."""
    if handler is None:
        handler = logging.NullHandler() if sys.stdout is None else ContainerHandler(sys.stdout)
    logger = logging.getLogger("ipinsights")
    logger.handlers = [handler]
    logger.setLevel(level.upper())
    logger.propagate = False


@contextlib.contextmanager
def logging_to(
    log_file: Path | None, level: str = "info", *, quiet: bool = False, shows_log: bool = True
) -> Iterator[None]:
    """Send this package's log to standard output, to a file that is written anew, or to both.

    If ``quiet``, standard output gets errors only. Without ``shows_log``, standard error gets the warnings in plain
    words instead.
    """
    set_up_logging("error" if quiet and log_file is None else level)
    logger = logging.getLogger("ipinsights")
    if not shows_log:
        logger.handlers = [_PlainHandler()]
    if quiet:
        logger.handlers[0].setLevel("ERROR")
    with contextlib.ExitStack() as stack:
        if log_file is not None:
            logger.addHandler(ContainerHandler(stack.enter_context(_opened(log_file))))
        yield
    del logger.handlers[1:]


class _PlainHandler(logging.StreamHandler):  # type: ignore[type-arg]  # no parameter before Python 3.11
    """Handler for warnings on a terminal, except those that the original logs in every job."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setLevel("WARNING")
        self.addFilter(lambda record: not getattr(record, "is_copied", False))

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError), tqdm.external_write_mode(file=sys.stderr):
            sys.stderr.write(printable(as_given(f"{record.levelname.lower()}: {record.getMessage()}\n")))


def _opened(path: Path) -> IO[str]:
    try:
        return path.open("w", encoding="utf-8", errors="backslashreplace", buffering=1)
    except OSError as error:
        raise ClientError(f"The log file {path} cannot be written: {error.strerror}.") from None


def bare(line: str) -> None:
    """Log a line that has no timestamp."""
    _logger.info("%s", line, extra={"bare": True})


def emit_metrics(
    values: Mapping[str, float], *, start: float, dimensions: Mapping[str, object], end: float | None = None
) -> None:
    """Log a ``#metrics`` line, with an empty one after it as the original's.

    Durations are in milliseconds, times in seconds since 1970, ``end`` by default now. The dimensions are
    ``Algorithm``, ``Host``, ``Operation`` and more.
    """
    line = {
        "StartTime": start,
        "EndTime": time.time() if end is None else end,
        "Dimensions": dict(dimensions),
        "Metrics": {
            name: {"sum": float(value), "count": 1, "min": value, "max": value} for name, value in values.items()
        },
    }
    bare(f"#metrics {json.dumps(line)}\n")

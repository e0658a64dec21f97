"""Standard output of a server, which drops lines that cannot be written and never blocks."""

from __future__ import annotations

import os
import select
import stat
import sys

__all__ = ["LogStream"]


class LogStream:
    """Text stream that never blocks and never raises, by default to standard output.

    A disk may be full, the reader of a pipe may have gone, or it may have stopped reading. None of that may change or
    delay an answer.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = _standard_output() if descriptor is None else descriptor
        # A file takes every line at once.
        self._is_file = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLOUT)

    def write(self, text: str) -> None:
        """Write text if it can be written at once."""
        try:
            if self._is_file or self._poll.poll(0):
                os.write(self._descriptor, text.encode())
        except OSError:
            return

    def flush(self) -> None:
        """Do nothing, because nothing is buffered."""


def _standard_output() -> int:
    """Return the file descriptor of standard output, or of the null device if it is closed."""
    return sys.stdout.fileno() if sys.stdout else os.open(os.devnull, os.O_WRONLY)

"""Standard input that is still being written: what is there is read within half a second."""

from __future__ import annotations

import os
import select
import stat
import sys
import time
from typing import IO

from ipinsights.data.files import read_errors
from ipinsights.errors import ClientError

__all__ = ["LiveInput", "is_live"]

_MOST_SECONDS = 0.5


class LiveInput:
    """A pipe or terminal. A read returns what arrives within half a second of its first byte."""

    is_live = True
    name = "standard input"

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def of_standard_input(cls) -> LiveInput | None:
        """Return the live input of standard input, see :meth:`of`.

        A closed standard input is a ClientError.
        """
        if sys.stdin is None:
            raise ClientError("Standard input is closed.")
        return cls.of(sys.stdin.buffer)

    @classmethod
    def of(cls, stream: IO[bytes]) -> LiveInput | None:
        """Return the live input of a stream, None for a regular file or without a file descriptor."""
        try:
            descriptor = stream.fileno()
            mode = os.fstat(descriptor).st_mode
        except (OSError, AttributeError):
            return None
        return None if stat.S_ISREG(mode) else cls(descriptor)

    def seekable(self) -> bool:
        """Return False."""
        return False

    def read(self, size: int = -1) -> bytes:
        """Return at most ``size`` bytes, none at the end."""
        with read_errors(self.name):
            return self._read(size)

    def _read(self, size: int) -> bytes:
        piece = os.read(self._descriptor, size)
        pieces, length = [piece], len(piece)
        end = time.monotonic() + _MOST_SECONDS
        while piece and length < size and (rest := end - time.monotonic()) > 0:
            if not select.select([self._descriptor], [], [], rest)[0]:
                break
            piece = os.read(self._descriptor, size - length)
            pieces.append(piece)
            length += len(piece)
        return b"".join(pieces)


def is_live(stream: object) -> bool:
    """Return whether a short read of a stream means "nothing more yet" instead of the end."""
    return bool(getattr(stream, "is_live", False))

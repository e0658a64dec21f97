"""Logs without the zero bytes in front of lines.

A machine that stopped leaves them where it had not written yet, and so does a log that was cut while its writer kept
its place (``copytruncate`` of logrotate), by the gigabyte.
"""

from __future__ import annotations

import re
from typing import IO, Any

__all__ = ["WithoutZeros"]

_BEHIND_A_LINE = re.compile(rb"(?<=\n)\0+")


class WithoutZeros:
    r"""Stream of text without zero bytes at the beginning of lines.

    >>> import io
    >>> WithoutZeros(io.BytesIO(b"\0\0ann\n\0\0ben\n\0")).read(100)
    b'ann\nben\n'
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._begins_line = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def read(self, size: int = -1) -> bytes:
        """Return at most ``size`` bytes, none at the end."""
        while piece := self._stream.read(size):
            if b"\0" in piece:
                piece = _BEHIND_A_LINE.sub(b"", piece.lstrip(b"\0") if self._begins_line else piece)
            if piece:
                self._begins_line = piece.endswith(b"\n")
                return piece
        return b""

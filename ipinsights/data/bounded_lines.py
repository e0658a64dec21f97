"""Lines in bounded memory: a small compressed file may hold one line of gigabytes.

Readers that keep a line in memory read through this module. A line that is longer than the limit is skipped in pieces,
reported by its number, and stands there as two bytes that are neither UTF-8 nor a record of any format.
"""

from __future__ import annotations

import csv
import io
from typing import IO, TYPE_CHECKING, cast

from ipinsights.data.live_input import is_live

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "LONGEST_LINE", "LONGEST_ROW", "LONG_LINE", "LONG_LINE_SHOWN", "LONG_LINE_TEXT", "LongRowError", "WholeLines",
    "whole_lines",
]  # fmt: skip

LONGEST_LINE = 2**20
"""Bytes that a line may have, its end not counted."""
LONGEST_ROW = 2**25
"""Bytes that a row of CSV may have over all of its lines."""
LONG_LINE = b"\xff\xff"
"""Bytes that stand in the place of a longer line."""
LONG_LINE_TEXT = LONG_LINE.decode(errors="surrogateescape")
"""The same as readers of text see it that keep bytes which are not UTF-8 as lone surrogates."""
LONG_LINE_SHOWN = f"(a line of more than {LONGEST_LINE:,} bytes)"
"""What people are shown in its place."""

_BLOCK_BYTES = 4 * 2**20


class LongRowError(csv.Error):
    """A row of CSV over many lines has more than :data:`LONGEST_ROW` bytes."""


def whole_lines(
    stream: IO[bytes], *, longest: int = LONGEST_LINE, when_long: Callable[[int], None] | None = None
) -> Iterator[bytes]:
    """Yield blocks of whole lines, with their ends, of a few megabytes or ``longest`` bytes.

    A line of more than ``longest`` bytes is replaced by :data:`LONG_LINE`, and ``when_long`` is called with its
    number.
    """
    report = when_long or (lambda _: None)
    number, rest = 1, b""
    while chunk := _read_block(stream):
        data = rest + chunk
        if len(chunk) < _BLOCK_BYTES and not is_live(stream):
            # These are the last lines, of which the very last may have no end.
            yield _without_long_lines(data, number, longest, report)
            return
        end = data.rfind(b"\n") + 1
        if end:
            yield _without_long_lines(data[:end], number, longest, report)
            number += data.count(b"\n", 0, end)
        rest = data[end:]
        if len(rest) > longest:
            report(number)
            rest = LONG_LINE + _rest_after_line(stream)
    if rest:
        yield _without_long_lines(rest, number, longest, report)


class WholeLines(io.RawIOBase):
    """A stream of :func:`whole_lines`, for Python's readers of text and CSV.

    A row of CSV may go over many lines. A reader of rows calls :meth:`begin_row` after each of them, unless
    ``has_rows`` is False, and a row of more than :data:`LONGEST_ROW` bytes ends in a :class:`LongRowError`. Lines of
    old spreadsheets may end in a carriage return.
    """

    def __init__(
        self,
        stream: IO[bytes],
        *,
        longest: int = LONGEST_LINE,
        when_long: Callable[[int], None] | None = None,
        has_rows: bool = True,
    ) -> None:
        self._blocks = whole_lines(cast("IO[bytes]", _WithLineFeeds(stream)), longest=longest, when_long=when_long)
        self.is_live = is_live(stream)
        self._has_rows = has_rows
        self._row_bytes = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:  # noqa: ARG002 - readers of text take what they get
        """Return the next block, empty at the end."""
        if self._row_bytes > LONGEST_ROW:
            self._row_bytes = 0
            raise LongRowError(f"a row has more than {LONGEST_ROW:,} bytes (a closing quote may be missing)")
        block = next(self._blocks, b"")
        self._row_bytes += len(block) if self._has_rows else 0
        return block

    def begin_row(self) -> None:
        """Count the bytes of a row anew."""
        self._row_bytes = 0


class _WithLineFeeds:
    """Stream that replaces carriage returns by line feeds if it begins without line feeds."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.is_live = is_live(stream)
        self._is_replaced: bool | None = None

    def read(self, size: int) -> bytes:
        chunk = self._stream.read(size)
        if self._is_replaced is None:
            self._is_replaced = b"\r" in chunk and b"\n" not in chunk
        return chunk.replace(b"\r", b"\n") if self._is_replaced else chunk


def _read_block(stream: IO[bytes]) -> bytes:
    """Return a block, which is shorter than others only at the end, or if the stream is live."""
    block = stream.read(_BLOCK_BYTES)
    while 0 < len(block) < _BLOCK_BYTES and not is_live(stream) and (more := stream.read(_BLOCK_BYTES - len(block))):
        block += more
    return block


def _without_long_lines(block: bytes, number: int, longest: int, report: Callable[[int], None]) -> bytes:
    # A longer line has no end within some half of its length: a look at each half is enough for nearly all blocks.
    half = longest // 2 or 1
    if all(block.find(b"\n", start, start + half) >= 0 for start in range(0, len(block) - half, half)):
        return block
    lines = block.split(b"\n")
    for index, line in enumerate(lines):
        if len(line) > longest:
            report(number + index)
            lines[index] = LONG_LINE
    return b"\n".join(lines)


def _rest_after_line(stream: IO[bytes]) -> bytes:
    """Read to the end of the line, and return the end with what was read after it."""
    while chunk := stream.read(_BLOCK_BYTES):
        end = chunk.find(b"\n")
        if end >= 0:
            return chunk[end:]
    return b""

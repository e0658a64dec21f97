"""Log files as streams of bytes and blocks of lines, unpacked where needed, in bounded memory."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from ipinsights.files import read_errors, unpacked

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

__all__ = ["STANDARD_INPUT", "line_blocks", "opened"]

STANDARD_INPUT = Path("-")

_BLOCK_BYTES = 4 * 2**20
# No log has lines as long as this; what comes after is dropped, and the beginning is for the format to judge.
_LONGEST_LINE = 16 * 2**20
_KEPT_OF_LONG_LINE = 1000


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file (``-``: standard input), unpacked if its first bytes are gzip's, with a bar on a terminal.

    Raises
    ------
    ClientError
        It cannot be read, or is a damaged gzip file.
    """
    name = "standard input" if path == STANDARD_INPUT else str(path)
    with read_errors(name), _raw(path) as raw:
        begins = raw.peek(2)[:2]
        with _watched(raw, path) as stream:
            yield unpacked(stream, begins)


def _raw(path: Path) -> contextlib.AbstractContextManager[io.BufferedReader]:
    if path == STANDARD_INPUT:
        return contextlib.nullcontext(cast("io.BufferedReader", sys.stdin.buffer))
    return path.open("rb")


def _watched(raw: IO[bytes], path: Path) -> contextlib.AbstractContextManager[IO[bytes]]:
    size = None if path == STANDARD_INPUT else os.fstat(raw.fileno()).st_size
    bar = tqdm.wrapattr(
        raw, "read", total=size, desc=f"reading {path}", unit="B", unit_scale=True, leave=False, disable=None
    )
    return cast("contextlib.AbstractContextManager[IO[bytes]]", bar)


def line_blocks(stream: IO[bytes]) -> Iterator[pa.BinaryArray]:
    """Give the lines of a stream without their ends (LF or CRLF), shape (number of lines,), a few megabytes a block."""
    rest = b""
    while chunk := stream.read(_BLOCK_BYTES):
        whole, newline, rest = (rest + chunk).rpartition(b"\n")
        if newline:
            yield _lines(whole)
        elif len(rest) > _LONGEST_LINE:
            rest = rest[:_KEPT_OF_LONG_LINE] + _rest_after_line(stream)
    if rest:
        yield _lines(rest)


def _lines(text: bytes) -> pa.BinaryArray:
    if b"\r\n" in text:
        text = text.replace(b"\r\n", b"\n")
    return pc.split_pattern(pa.array([text], pa.binary()), b"\n").values


def _rest_after_line(stream: IO[bytes]) -> bytes:
    """Read on to the end of the line, and give what was read beyond it, the line's end included."""
    while chunk := stream.read(_BLOCK_BYTES):
        if b"\n" in chunk:
            return chunk[chunk.index(b"\n") :]
    return b""

"""Log files as unpacked UTF-8 byte streams and blocks of lines, in bounded memory."""

from __future__ import annotations

import codecs
import contextlib
import itertools
import logging
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from ipinsights.data.bounded_lines import LONGEST_LINE, whole_lines
from ipinsights.data.decoding import decoded_stream
from ipinsights.data.files import read_errors
from ipinsights.data.live_input import LiveInput
from ipinsights.data.remote_names import as_given
from ipinsights.data.wrapped_streams import beginning
from ipinsights.reporting.plain_text import one_line

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator

__all__ = ["STANDARD_INPUT", "line_blocks", "opened", "opened_stream", "warning_of", "watched", "with_first_line"]

STANDARD_INPUT = Path("-")

_logger = logging.getLogger(__name__)


@contextlib.contextmanager
def opened(path: Path, *, parquet: bool = False, encoding: str | None = None) -> Iterator[IO[bytes]]:
    """Open a file (``-``: standard input) as UTF-8 text, decoded, with a bar on a terminal.

    See :func:`ipinsights.data.decoding.decoded_stream` for what is decoded. ``parquet`` opens a Parquet file as it
    is.
    """
    name = "standard input" if path == STANDARD_INPUT else str(path)
    with read_errors(name), _raw(path) as raw:
        head, restored = beginning(raw)
        size = None if path == STANDARD_INPUT else path.stat().st_size
        with watched(restored, size, as_given(str(path))) as stream:
            yield decoded_stream(stream, head, name, parquet=parquet, encoding=encoding)


@contextlib.contextmanager
def opened_stream(stream: IO[bytes], name: str, *, parquet: bool, encoding: str | None) -> Iterator[IO[bytes]]:
    """Yield the content of a stream, which stays open, as :func:`opened` does for a file."""
    with read_errors(name):
        head, restored = beginning(stream)
        yield decoded_stream(restored, head, name, parquet=parquet, encoding=encoding)


def _raw(path: Path) -> contextlib.AbstractContextManager[io.BufferedReader]:
    if path == STANDARD_INPUT:
        live = LiveInput.of_standard_input()
        return contextlib.nullcontext(cast("io.BufferedReader", live or sys.stdin.buffer))
    return path.open("rb")


def watched(raw: IO[bytes], size: int | None, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
    """Return a stream with a progress bar on a terminal."""
    bar = tqdm.wrapattr(
        raw, "read", total=size, desc=f"reading {one_line(name)}", unit="B", unit_scale=True, leave=False, disable=None
    )
    return cast("contextlib.AbstractContextManager[IO[bytes]]", bar)


def line_blocks(stream: IO[bytes], *, longest: int = LONGEST_LINE) -> Iterator[pa.BinaryArray]:
    """Yield blocks of lines without their ends (LF or CRLF), shape (number of lines,) each.

    A line of more than ``longest`` bytes is no record of any format. The first of them is named in a warning.
    """
    for block in whole_lines(stream, longest=longest, when_long=warning_of(stream, longest=longest)):
        yield _lines(block)


def with_first_line(blocks: Iterator[pa.BinaryArray]) -> tuple[bytes, Iterator[pa.BinaryArray]]:
    """Return the first line that is not blank, or no bytes, and all blocks again."""
    read: list[pa.BinaryArray] = []
    for block in blocks:
        read.append(block)
        line: bytes = next((line for line in block.to_pylist() if line.strip()), b"")
        if line:
            return line, itertools.chain(read, blocks)
    return b"", iter(read)


def warning_of(stream: IO[bytes], *, longest: int = LONGEST_LINE) -> Callable[[int], None]:
    """Return a function that logs a warning with the number of the first line that is too long."""

    def warn_once(number: int) -> None:
        if not warned:
            name = one_line(as_given(str(getattr(stream, "name", "standard input"))))
            _logger.warning("%s:%d: the line is longer than %s bytes, and is not read.", name, number, f"{longest:,}")
        warned.append(number)

    warned: list[int] = []
    return warn_once


def _lines(text: bytes) -> pa.BinaryArray:
    if codecs.BOM_UTF8 in text:  # as files have it that were put behind one another
        text = b"\n".join(line.removeprefix(codecs.BOM_UTF8) for line in text.split(b"\n"))
    if b"\r\n" in text:
        text = text.replace(b"\r\n", b"\n")
    return pc.split_pattern(pa.array([text.removesuffix(b"\n")], pa.binary()), b"\n").values

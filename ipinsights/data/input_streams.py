"""Log files as streams of bytes in UTF-8 and blocks of lines, unpacked where needed, in bounded memory."""

from __future__ import annotations

import codecs
import contextlib
import io
import logging
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from ipinsights.data.bounded_lines import LONGEST_LINE, whole_lines
from ipinsights.data.file_kinds import text_encoding
from ipinsights.data.files import beginning, read_errors, unpacked_data
from ipinsights.errors import ClientError
from ipinsights.reporting.plain_text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["STANDARD_INPUT", "check_encoding", "line_blocks", "opened", "warning_of"]

STANDARD_INPUT = Path("-")

_logger = logging.getLogger(__name__)

_DECODED_BYTES = 2**20


@contextlib.contextmanager
def opened(path: Path, *, parquet: bool = False, encoding: str | None = None) -> Iterator[IO[bytes]]:
    """Open a file (``-``: standard input) as UTF-8 text, unpacked if it is gzip, with a bar on a terminal.

    Parameters
    ----------
    path
        Plain or gzip, in UTF-8, UTF-16 or UTF-32; byte order marks are dropped.
    parquet
        Open a Parquet file as it is instead.
    encoding
        Name of the text's encoding; None for what the first bytes show.

    Raises
    ------
    ClientError
        It cannot be read, is a damaged gzip file, or is not text.
    """
    name = "standard input" if path == STANDARD_INPUT else str(path)
    with read_errors(name), _raw(path) as raw:
        head, restored = beginning(raw)
        with _watched(restored, path) as watched:
            head, stream = unpacked_data(watched, head, name, parquet=parquet)
            yield stream if parquet else _in_utf8(stream, head, encoding)


def check_encoding(name: str) -> None:
    """Check that an encoding exists.

    Raises
    ------
    ClientError
        Python knows no text encoding of this name.
    """
    try:
        b"a".decode(name)
    except (LookupError, UnicodeDecodeError, ValueError):
        raise ClientError(f"Invalid encoding {name!r}: it must be a name such as cp1252 or utf-16.") from None


def _in_utf8(stream: IO[bytes], head: bytes, encoding: str | None) -> IO[bytes]:
    encoding = encoding or text_encoding(head)
    if encoding is not None:
        return io.BufferedReader(_Utf8(stream, encoding))
    if head.startswith(codecs.BOM_UTF8):
        stream.read(len(codecs.BOM_UTF8))
    return stream


class _Utf8(io.RawIOBase):
    """A text of another encoding in UTF-8. Bytes that have no meaning become escapes."""

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)("backslashreplace")
        self._ready = b""

    @property
    def name(self) -> str:
        return self._stream.name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # no Buffer before 3.12
        room = memoryview(buffer)
        piece = b"more"
        while piece and not self._ready:
            piece = self._stream.read(_DECODED_BYTES)
            self._ready = self._decoder.decode(piece, final=not piece).encode("utf-8", "backslashreplace")
        taken, self._ready = self._ready[: len(room)], self._ready[len(room) :]
        room[: len(taken)] = taken
        return len(taken)


def _raw(path: Path) -> contextlib.AbstractContextManager[io.BufferedReader]:
    if path == STANDARD_INPUT:
        return contextlib.nullcontext(cast("io.BufferedReader", sys.stdin.buffer))
    return path.open("rb")


def _watched(raw: IO[bytes], path: Path) -> contextlib.AbstractContextManager[IO[bytes]]:
    bar = tqdm.wrapattr(
        raw,
        "read",
        total=None if path == STANDARD_INPUT else path.stat().st_size,
        desc=f"reading {one_line(path)}",
        unit="B",
        unit_scale=True,
        leave=False,
        disable=None,
    )
    return cast("contextlib.AbstractContextManager[IO[bytes]]", bar)


def line_blocks(stream: IO[bytes], *, longest: int = LONGEST_LINE) -> Iterator[pa.BinaryArray]:
    """Yield the lines of a stream without their ends (LF or CRLF), shape (number of lines,), a block at a time.

    A line of more than ``longest`` bytes is no record of any format. The first of them is named in a warning.
    """
    for block in whole_lines(stream, longest=longest, when_long=warning_of(stream, longest=longest)):
        yield _lines(block)


def warning_of(stream: IO[bytes], *, longest: int = LONGEST_LINE) -> Callable[[int], None]:
    """Return a function that logs a warning with the number of the first line that is too long."""

    def warn_once(number: int) -> None:
        if not warned:
            name = one_line(getattr(stream, "name", "standard input"))
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

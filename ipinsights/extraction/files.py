"""Log files as streams of bytes in UTF-8 and blocks of lines, unpacked where needed, in bounded memory."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import sys
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from ipinsights.errors import ClientError
from ipinsights.file_kinds import GZIP_MAGIC, HEAD_BYTES, refuse_other_kinds, text_encoding

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["STANDARD_INPUT", "check_encoding", "line_blocks", "opened"]

STANDARD_INPUT = Path("-")

_BLOCK_BYTES = 4 * 2**20
# No log has lines as long as this; what comes after is dropped, and the beginning is for the format to judge.
_LONGEST_LINE = 16 * 2**20
_KEPT_OF_LONG_LINE = 1000
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
    try:
        with contextlib.ExitStack() as stack:
            head, raw = _beginning(stack.enter_context(_raw(path)))
            stream = stack.enter_context(_watched(raw, path))
            if is_packed := head.startswith(GZIP_MAGIC):
                head, stream = _beginning(cast("IO[bytes]", gzip.GzipFile(fileobj=stream)))
            refuse_other_kinds(head, name, parquet=parquet, unpacked=is_packed)
            yield stream if parquet else _in_utf8(stream, head, encoding)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ClientError(f"{name} is a damaged gzip file: {str(error).rstrip('.')}.") from None
    except OSError as error:
        raise ClientError(f"{name} cannot be read: {error.strerror or error}.") from None


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


def _beginning(stream: IO[bytes]) -> tuple[bytes, IO[bytes]]:
    """Return the first bytes of a stream, and a stream that still has them."""
    if isinstance(stream, io.BufferedReader) and stream.seekable():
        return stream.peek(HEAD_BYTES)[:HEAD_BYTES], stream
    head = stream.read(HEAD_BYTES)  # a peek into a pipe may show a single byte
    return head, io.BufferedReader(_Restored(head, stream))


def _in_utf8(stream: IO[bytes], head: bytes, encoding: str | None) -> IO[bytes]:
    encoding = encoding or text_encoding(head)
    if encoding is not None:
        return io.BufferedReader(_Utf8(stream, encoding))
    if head.startswith(codecs.BOM_UTF8):
        stream.read(len(codecs.BOM_UTF8))
    return stream


class _Restored(io.RawIOBase):
    """A stream whose first bytes were read already, with these bytes in front again."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # no Buffer before 3.12
        room = memoryview(buffer)
        piece = self._head[: len(room)] or self._rest.read(len(room))
        self._head = self._head[len(piece) :]
        room[: len(piece)] = piece
        return len(piece)


class _Utf8(io.RawIOBase):
    """A text of another encoding in UTF-8. Bytes that have no meaning become escapes."""

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)("backslashreplace")
        self._ready = b""

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
        desc=f"reading {path}",
        unit="B",
        unit_scale=True,
        leave=False,
        disable=None,
    )
    return cast("contextlib.AbstractContextManager[IO[bytes]]", bar)


def line_blocks(stream: IO[bytes]) -> Iterator[pa.BinaryArray]:
    """Give the lines of a stream without their ends (LF or CRLF), shape (number of lines,), a few megabytes a block."""
    rest = b""
    while chunk := stream.read(_BLOCK_BYTES):
        if len(chunk) < _BLOCK_BYTES:  # the last lines, together though the very last may have no end
            yield _lines((rest + chunk).removesuffix(b"\n"))
            return
        whole, newline, rest = (rest + chunk).rpartition(b"\n")
        if newline:
            yield _lines(whole)
        elif len(rest) > _LONGEST_LINE:
            rest = rest[:_KEPT_OF_LONG_LINE] + _rest_after_line(stream)
    if rest:
        yield _lines(rest)


def _lines(text: bytes) -> pa.BinaryArray:
    if codecs.BOM_UTF8 in text:  # as files have it that were put behind one another
        text = b"\n".join(line.removeprefix(codecs.BOM_UTF8) for line in text.split(b"\n"))
    if b"\r\n" in text:
        text = text.replace(b"\r\n", b"\n")
    return pc.split_pattern(pa.array([text], pa.binary()), b"\n").values


def _rest_after_line(stream: IO[bytes]) -> bytes:
    """Read on to the end of the line, and give what was read beyond it, the line's end included."""
    while chunk := stream.read(_BLOCK_BYTES):
        if b"\n" in chunk:
            return chunk[chunk.index(b"\n") :]
    return b""

"""Streams around streams: they restore, unpack, join, guard and decode in pieces."""

from __future__ import annotations

import bz2
import codecs
import io
import lzma
import tarfile
import zipfile
import zlib
from typing import IO, TYPE_CHECKING, Any, TypeAlias, cast

from ipinsights.data.file_kinds import HEAD_BYTES
from ipinsights.data.live_input import is_live

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ipinsights.errors import ClientError

__all__ = ["DAMAGE", "Decompressor", "Forward", "Guarded", "Inflated", "Joined", "Utf8", "beginning"]

_PIECE_BYTES = 2**20
DAMAGE = (ArithmeticError, EOFError, LookupError, OSError, RecursionError, TypeError, ValueError, tarfile.TarError,
           zipfile.BadZipFile, lzma.LZMAError, zlib.error, NotImplementedError, RuntimeError)  # fmt: skip
"""What damaged or forged files raise in Python's modules."""
Decompressor: TypeAlias = bz2.BZ2Decompressor | lzma.LZMADecompressor
"""What unpacks a stream. That of zstd has the same methods."""


class _PieceStream(io.RawIOBase):
    """Base of streams whose reads each return one piece of bytes, empty at the end."""

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # no Buffer before 3.12
        """Read into a buffer, and return the number of bytes."""
        room = memoryview(buffer)
        piece = self.piece(len(room))
        room[: len(piece)] = piece
        return len(piece)

    def piece(self, size: int) -> bytes:
        """Return at most ``size`` of the next bytes."""
        raise NotImplementedError


class _Restored(_PieceStream):
    """A stream whose first bytes were read already, with these bytes in front again."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head = head
        self._rest = rest
        self.is_live = is_live(rest)

    @property
    def name(self) -> str:
        """Name of the stream."""
        return self._rest.name

    def piece(self, size: int) -> bytes:
        """Return the next bytes."""
        piece, self._head = self._head[:size], self._head[size:]
        return piece if piece and self.is_live else piece + self._rest.read(size - len(piece))


def beginning(stream: IO[bytes]) -> tuple[bytes, IO[bytes]]:
    """Return the first bytes of a stream for recognition, and a stream that still contains them."""
    if isinstance(stream, io.BufferedReader) and stream.seekable():
        return stream.peek(HEAD_BYTES)[:HEAD_BYTES], stream
    head = stream.read(HEAD_BYTES)  # a peek into a pipe may show a single byte
    restored = _Restored(head, stream)
    return head, cast("IO[bytes]", restored) if is_live(stream) else io.BufferedReader(restored)


class Inflated(_PieceStream):
    """What a compressed stream unpacks to, also if several were put one behind another."""

    def __init__(
        self, stream: IO[bytes], make: Callable[[], Decompressor], error: Callable[[Exception], ClientError]
    ) -> None:
        self._stream = stream
        self._make = make
        self._error = error
        self._inner = make()

    def piece(self, size: int) -> bytes:
        """Return the next bytes."""
        try:
            return self._next(size)
        except DAMAGE as reason:
            raise self._error(reason) from None

    def _next(self, size: int) -> bytes:
        piece = b""
        while not piece:
            given = b""
            if self._inner.eof:
                given = (self._inner.unused_data or self._stream.read(_PIECE_BYTES)).lstrip(b"\0")
                if not given:
                    return b""
                self._inner = self._make()
            elif self._inner.needs_input:
                given = self._stream.read(_PIECE_BYTES)
                if not given:
                    raise EOFError("it ends too early")
            piece = self._inner.decompress(given, size)
        return piece


class Guarded(_PieceStream):
    """A file of an archive, whose damage is an error that names the archive."""

    def __init__(self, stream: IO[bytes], error: Callable[[Exception], ClientError]) -> None:
        self._stream = stream
        self._error = error

    def piece(self, size: int) -> bytes:
        """Return the next bytes."""
        try:
            return self._stream.read(min(size, _PIECE_BYTES))
        except DAMAGE as reason:
            raise self._error(reason) from None


class Joined(_PieceStream):
    """Streams one behind another, each of which ends a line."""

    def __init__(self, streams: Iterator[IO[bytes]]) -> None:
        self._streams = streams
        self._current: IO[bytes] | None = None
        self._last = b"\n"

    def piece(self, size: int) -> bytes:
        """Return the next bytes."""
        while True:
            if self._current is None:
                self._current = next(self._streams, None)
                if self._current is None:
                    return b""
            piece = self._current.read(size)
            if not piece:
                self._current = None
                piece, self._last = (b"" if self._last == b"\n" else b"\n"), b"\n"
            if piece:
                self._last = piece[-1:]
                return piece


class Forward:
    """Stream for ``tarfile`` that only moves forward and never reads large pieces at once."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._place = 0
        self._last = b""

    def read(self, size: int) -> bytes:
        """Read on. A header is read whole, so a large piece is refused."""
        if size > _PIECE_BYTES:
            raise tarfile.ReadError(f"it has a header of {size} bytes")
        piece, self._last = self._last[:size], self._last[size:]
        piece += self._stream.read(size - len(piece))
        self._place += len(piece)
        self._end = piece[-1:]
        return piece

    def seek(self, place: int, *whence: Any) -> int:  # noqa: ARG002 - as tarfile calls it
        """Skip to a place, or go back by one byte, as tarfile does to see whether there is an end."""
        if place == self._place - 1:
            self._last, self._place = self._end + self._last, place
        while self._place < place and self.read(min(place - self._place, _PIECE_BYTES)):
            pass
        if self._place != place:
            raise tarfile.ReadError("unexpected end of data")
        return place

    def tell(self) -> int:
        """Return the place."""
        return self._place


class Utf8(_PieceStream):
    """A text of another encoding in UTF-8. Bytes that have no meaning become escapes."""

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)("backslashreplace")
        self._ready = b""

    def piece(self, size: int) -> bytes:
        """Return the next bytes."""
        piece = b"more"
        while piece and not self._ready:
            piece = self._stream.read(_PIECE_BYTES)
            text = self._decoder.decode(piece, final=not piece)
            self._ready = text.removeprefix("\ufeff").encode("utf-8", "backslashreplace")
        taken, self._ready = self._ready[:size], self._ready[size:]
        return taken

"""Streams around streams: they restore, unpack, join, guard and decode bytes in pieces."""

from __future__ import annotations

import bz2
import codecs
import io
import itertools
import lzma
import struct
import tarfile
import zipfile
import zlib
from typing import IO, TYPE_CHECKING, Any, TypeAlias, cast

from ipinsights.data.file_kinds import HEAD_BYTES
from ipinsights.data.live_input import is_live

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ipinsights.errors import ClientError

__all__ = [
    "DAMAGE", "Decompressor", "Forward", "Pieces", "beginning", "begins_tar", "concatenated", "guarded", "in_utf8",
    "inflated", "pieces_of",
]  # fmt: skip

_PIECE_BYTES = 2**20
# As much as readers of lines ask for: what arrives is passed on at once, and in as few blocks as possible.
_LIVE_BYTES = 2**22
DAMAGE = (
    ArithmeticError, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError, tarfile.TarError,
    zipfile.BadZipFile, lzma.LZMAError, struct.error, zlib.error,
)  # fmt: skip
"""What damaged or forged files raise in Python's modules, which trust the numbers and the nesting of headers."""
Decompressor: TypeAlias = bz2.BZ2Decompressor | lzma.LZMADecompressor
"""What unpacks a stream. That of zstd has the same methods."""


class Pieces(io.RawIOBase):
    """Stream of the bytes that an iterator yields. A live stream returns pieces as they come."""

    def __init__(self, pieces: Iterator[bytes], name: str, *, live: bool = False) -> None:
        self._pieces = pieces
        self._ready = memoryview(b"")
        self.name = name
        self.is_live = live

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # no Buffer before 3.12
        """Read what is left of a piece into a buffer, and return the number of bytes."""
        while not self._ready and (piece := next(self._pieces, None)) is not None:
            self._ready = memoryview(piece)
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size


def beginning(stream: IO[bytes]) -> tuple[bytes, IO[bytes]]:
    """Return the first bytes of a stream for recognition, and a stream that still contains them."""
    if isinstance(stream, io.BufferedReader) and stream.seekable():
        return stream.peek(HEAD_BYTES)[:HEAD_BYTES], stream
    head = stream.read(HEAD_BYTES)  # a peek into a pipe may show a single byte
    name, live = getattr(stream, "name", "standard input"), is_live(stream)
    rest = pieces_of(stream, _LIVE_BYTES if live else _PIECE_BYTES)
    restored = Pieces(itertools.chain([head], rest), name, live=live)
    return head, cast("IO[bytes]", restored) if live else io.BufferedReader(restored)


def pieces_of(stream: IO[bytes], size: int = _PIECE_BYTES) -> Iterator[bytes]:
    """Yield the bytes of a stream in pieces of at most ``size``."""
    while piece := stream.read(size):
        yield piece


def begins_tar(head: bytes) -> bool:
    """Return whether the first bytes of a file are those of a tar archive."""
    try:
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except DAMAGE:
        return False
    return True


def inflated(stream: IO[bytes], make: Callable[[], Decompressor]) -> Iterator[bytes]:
    """Yield what a compressed stream unpacks to, also if several were put one behind another."""
    decompressor, given = make(), stream.read(_PIECE_BYTES)
    while given or not decompressor.needs_input:
        yield decompressor.decompress(given, _PIECE_BYTES)
        given = b""
        if decompressor.eof:
            given = (decompressor.unused_data or stream.read(_PIECE_BYTES)).lstrip(b"\0")
            if not given:
                return
            decompressor = make()
        elif decompressor.needs_input:
            given = stream.read(_PIECE_BYTES)
    raise EOFError("it ends too early")


def guarded(pieces: Iterator[bytes], error: Callable[[Exception], ClientError]) -> Iterator[bytes]:
    """Yield pieces of a file, whose damage raises an error made from the reason."""
    try:
        yield from pieces
    except DAMAGE as reason:
        raise error(reason) from None


def concatenated(streams: Iterator[IO[bytes]]) -> Iterator[bytes]:
    """Yield the bytes of streams one after another, each of which ends a line."""
    for stream in streams:
        piece = b"\n"
        for piece in pieces_of(stream):
            yield piece
        if not piece.endswith(b"\n"):
            yield b"\n"


def in_utf8(stream: IO[bytes], encoding: str) -> Iterator[bytes]:
    """Yield a text of another encoding in UTF-8. Bytes that have no meaning become escapes."""
    for text in codecs.iterdecode(pieces_of(stream), encoding, "backslashreplace"):
        yield text.removeprefix("\ufeff").encode("utf-8", "backslashreplace")


class Forward:
    """Stream for ``tarfile`` that only moves forward and never reads large pieces at once."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._offset = 0
        # The last byte that was read, and bytes that were read and went back to.
        self._end = self._last = b""

    def read(self, size: int) -> bytes:
        """Read on. A header is read whole, so a large piece is refused."""
        if size > _PIECE_BYTES:
            raise tarfile.ReadError(f"it has a header of {size} bytes")
        piece, self._last = self._last[:size], self._last[size:]
        piece += self._stream.read(size - len(piece))
        self._offset += len(piece)
        self._end = piece[-1:]
        return piece

    def seek(self, offset: int, *whence: Any) -> int:  # noqa: ARG002 - as tarfile calls it
        """Skip to an offset, or go back by one byte, as tarfile does to see whether there is an end."""
        if offset == self._offset - 1:
            self._last, self._offset = self._end + self._last, offset
        while self._offset < offset and self.read(min(offset - self._offset, _PIECE_BYTES)):
            pass
        if self._offset != offset:
            raise tarfile.ReadError("unexpected end of data")
        return offset

    def tell(self) -> int:
        """Return the offset."""
        return self._offset

"""Decompression and decoding for every command: readers get any file as text in UTF-8.

Recognised by their first bytes: gzip, bzip2, xz, lzma, zstd, zip and tar, also nested, as well as UTF-8 with a byte
order mark, UTF-16 and UTF-32. The files of an archive are read one after another. Everything is read in pieces, and
nothing is written to disk but a zip archive that comes through a pipe, since its list of files stands at its end.

Sources: the specifications of each format, and Python's modules for them. Python has zstd from 3.14 on. Before, the
package ``backports.zstd`` brings the same module.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import shutil
import tarfile
import tempfile
import zipfile
from typing import IO, TYPE_CHECKING, cast

from ipinsights.data.channels import is_marker
from ipinsights.data.file_kinds import GZIP_MAGIC, kind_of, refuse_other_kinds, text_encoding
from ipinsights.data.wrapped_streams import (
    DAMAGE,
    Forward,
    Pieces,
    beginning,
    begins_tar,
    concatenated,
    guarded,
    in_utf8,
    inflated,
    pieces_of,
)
from ipinsights.errors import ClientError, UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ipinsights.data.wrapped_streams import Decompressor

__all__ = ["check_encoding", "decoded_stream"]

# A file in an archive in an archive is plausible, and a file that unpacks into itself is an attack.
_MOST_LAYERS = 5
# `xz -9` takes 65 MiB to unpack. A forged header asks for gigabytes.
_XZ_MEMORY = 2**28
_DECOMPRESSORS: dict[str | None, Callable[[], Decompressor]] = {
    "bzip2": bz2.BZ2Decompressor,
    **dict.fromkeys(("xz", "lzma"), lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY)),
}
_WORKBOOK = "[Content_Types].xml"


def decoded_stream(
    stream: IO[bytes], head: bytes, name: str, *, parquet: bool = False, encoding: str | None = None
) -> IO[bytes]:
    """Return the content of a file: UTF-8 text without a byte order mark, or Parquet unchanged.

    ``head`` has the first bytes, ``name`` is for messages. Without an ``encoding``, the first bytes decide. A file
    that is damaged, of another kind, or packed by an unknown program is an UnreadableFileError.
    """
    return _Decoder(name, parquet=parquet, encoding=encoding).decoded(head, stream)


def check_encoding(name: str) -> None:
    """Raise an error if Python has no text encoding of this name that decodes in pieces."""
    try:
        codecs.BOM_UTF32_LE.decode(name, "replace")  # also a mark of UTF-16, which needs one
        list(codecs.iterdecode([codecs.BOM_UTF32_LE], name, "backslashreplace"))
    except (LookupError, ValueError):
        raise ClientError(f"Invalid encoding {name!r}: it must be a name such as cp1252 or utf-16.") from None


class _Decoder:
    """Unpacks one file, layer by layer."""

    def __init__(self, name: str, *, parquet: bool, encoding: str | None) -> None:
        self._name = name
        self._parquet = parquet
        self._encoding = encoding

    def decoded(self, head: bytes, stream: IO[bytes], layer: int = 0) -> IO[bytes]:
        """Return the content of a stream, given its first bytes and the number of layers around it."""
        members = self._members(head, stream, is_file=layer == 0)
        inner = None if members else self._unpacked(head, stream)
        if layer == _MOST_LAYERS and (members or inner):
            raise UnreadableFileError(f"{self._name} cannot be read: it is packed more than {_MOST_LAYERS} times.")
        if members:
            return self._stream(concatenated(self.decoded(*beginning(member), layer + 1) for member in members))
        if inner:
            return self.decoded(*beginning(inner), layer + 1)
        refuse_other_kinds(head, self._name, parquet=self._parquet)
        return stream if self._parquet else self._in_utf8(head, stream)

    def _members(self, head: bytes, stream: IO[bytes], *, is_file: bool) -> Iterator[IO[bytes]] | None:
        """Return the files of an archive, or None for anything else."""
        if head.startswith(b"PK\x03\x04"):
            return self._zip_members(stream, is_file=is_file)
        return self._tar_members(stream) if begins_tar(head) else None

    def _unpacked(self, head: bytes, stream: IO[bytes]) -> IO[bytes] | None:
        """Return the content of a compressed stream, or None if it is not compressed or not known."""
        if head.startswith(GZIP_MAGIC):
            return cast("IO[bytes]", gzip.GzipFile(fileobj=stream))
        kind = kind_of(head)
        program = kind.program if kind is not None else None
        make = _zstd() if program == "zstd" else _DECOMPRESSORS.get(program)
        return None if make is None else self._stream(guarded(inflated(stream, make), self._damaged(program)))

    def _damaged(self, program: str | None) -> Callable[[Exception], UnreadableFileError]:
        """Return a function that makes the error of damaged content from its reason."""

        def error(reason: Exception) -> UnreadableFileError:
            text = str(reason).partition("\n")[0].rstrip(".") or type(reason).__name__
            return UnreadableFileError(f"{self._name} is a damaged {program} file: {text}.")

        return error

    def _tar_members(self, stream: IO[bytes]) -> Iterator[IO[bytes]]:
        error = self._damaged("tar")
        try:
            with tarfile.open(fileobj=cast("IO[bytes]", Forward(stream)), mode="r:") as tar:
                while (member := tar.next()) is not None:
                    tar.members = []  # type: ignore[attr-defined]  # tarfile keeps them all
                    if member.isreg() and not member.issparse() and _has_data(member.name, member.size):
                        yield self._stream(guarded(pieces_of(cast("IO[bytes]", tar.extractfile(member))), error))
        except DAMAGE as reason:
            raise error(reason) from None

    def _zip_members(self, stream: IO[bytes], *, is_file: bool) -> Iterator[IO[bytes]]:
        error = self._damaged("zip")
        with tempfile.TemporaryFile() as copy:
            if not (is_file and stream.seekable()):
                shutil.copyfileobj(stream, copy)
                stream = cast("IO[bytes]", copy)
            try:
                with zipfile.ZipFile(stream) as archive:
                    self._check_zip(archive)
                    for member in archive.infolist():
                        if not member.is_dir() and _has_data(member.filename, member.file_size):
                            yield self._stream(guarded(pieces_of(archive.open(member)), error))
            except DAMAGE as reason:
                raise error(reason) from None

    def _check_zip(self, archive: zipfile.ZipFile) -> None:
        if _WORKBOOK in archive.NameToInfo:
            raise UnreadableFileError(f"{self._name} cannot be read: it is a workbook. Save the table as CSV first.")
        if any(member.flag_bits & 1 for member in archive.infolist()):
            raise UnreadableFileError(f"{self._name} cannot be read: it has a password. Unpack it first.")

    def _in_utf8(self, head: bytes, stream: IO[bytes]) -> IO[bytes]:
        encoding = self._encoding or text_encoding(head)
        if encoding is not None:
            return self._stream(self._decoded(stream, encoding))
        if head.startswith(codecs.BOM_UTF8):
            stream.read(len(codecs.BOM_UTF8))
        return stream

    def _decoded(self, stream: IO[bytes], encoding: str) -> Iterator[bytes]:
        try:
            yield from in_utf8(stream, encoding)
        except UnicodeError:
            raise UnreadableFileError(
                f"{self._name} cannot be read as {encoding}: it does not begin with a byte order mark. Name the order "
                "of the bytes, as in utf-16-le or utf-16-be."
            ) from None

    def _stream(self, pieces: Iterator[bytes]) -> IO[bytes]:
        return io.BufferedReader(Pieces(pieces, self._name), buffer_size=2**16)


def _has_data(name: str, size: int) -> bool:
    return size > 0 and not any(
        part == "__MACOSX" or is_marker(part) for part in name.split("/") if part not in (".", "..")
    )


def _zstd() -> Callable[[], Decompressor] | None:
    """Return a function that makes a decompressor of zstd, or None if it is not available."""
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        try:
            from backports import zstd  # type: ignore[no-redef, import-not-found, import-untyped, unused-ignore]
        except ImportError:
            return None
    return cast("Callable[[], Decompressor]", zstd.ZstdDecompressor)

"""Copy of one file of a ``model.tar.gz``, which may come from an untrusted source.

Nothing is written but the file that was asked for, where the caller says. Links, devices and the folders of names are
not followed. What unpacks to far more than trained numbers can, is refused before it costs memory or disk.
"""

from __future__ import annotations

import contextlib
import shutil
import tarfile
from typing import IO, TYPE_CHECKING, Any, cast

from ipinsights.data.files import unpacked
from ipinsights.data.wrapped_streams import DAMAGE, begins_tar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["copy_member", "is_tar"]

# Trained float32 numbers shrink to nine tenths, zeros to a thousandth.
_MAX_RATIO = 100
_SLACK_BYTES = 2**20
# The file is read in pieces of this size. Names and extended headers must fit into one.
_PIECE_BYTES = 2**20


def is_tar(path: Path) -> bool:
    """Return whether a file begins like a tar archive, with or without gzip compression."""
    try:
        with _open(path) as stream:
            return begins_tar(stream.read(tarfile.BLOCKSIZE))
    except DAMAGE:
        return False


def copy_member(archive: Path, name: str, target: Path) -> bool:
    """Copy the first file with a name, in any folder, to a path. Return whether there is one.

    It is a ``tarfile.ReadError`` if it, or what lies before it, is larger than a hundred times the archive. Other
    errors are those of :data:`ipinsights.data.wrapped_streams.DAMAGE`.
    """
    limit = _SLACK_BYTES + _MAX_RATIO * archive.stat().st_size
    with _open(archive) as stream, tarfile.open(fileobj=cast("IO[bytes]", _Bounded(stream, limit)), mode="r:") as tar:
        for member in tar:
            if member.isreg() and member.name.rpartition("/")[2] == name:
                if member.size > limit:
                    raise tarfile.ReadError(
                        f"its {name} would have {member.size} bytes, over {_MAX_RATIO} times as many as the archive"
                    )
                if member.issparse():
                    raise tarfile.ReadError(f"its {name} is a sparse file")
                with target.open("wb") as copy:
                    shutil.copyfileobj(cast("IO[bytes]", tar.extractfile(member)), copy, _PIECE_BYTES)
                return True
    return False


@contextlib.contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as raw:
        yield unpacked(raw, raw.peek(2))


class _Bounded:
    """Stream with a limit, without large reads: ``tarfile`` would read any header at once."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream = stream
        self._limit = limit

    def read(self, size: int) -> bytes:
        if size > _PIECE_BYTES:
            raise tarfile.ReadError(f"it has a header of {size} bytes")
        return self._stream.read(size)

    def seek(self, place: int, *whence: Any) -> int:
        if place > self._limit:
            raise tarfile.ReadError(f"it unpacks to more than {_MAX_RATIO} times its size")
        return self._stream.seek(place, *whence)

    def tell(self) -> int:
        return self._stream.tell()

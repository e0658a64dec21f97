"""A zip file of float32 arrays, as an MXNet NDArray file, and of small members next to them.

The file is written under another name and renamed when it is on disk, so that no partial file has its name. Arrays are
read as read-only memory maps, nothing is ever unpickled, and shapes are checked against the file's size before they are
believed.
"""

from __future__ import annotations

import errno
import math
import mmap
import os
import struct
import zipfile
import zlib
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ipinsights.data.files import replacing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["is_unreadable", "map_arrays", "map_columns", "read_member", "write"]

# MXNet's NDArray list file: magic and reserved word, then each array, then the names (src/ndarray/ndarray.cc).
_LIST_HEADER = struct.Struct("<QQQ")
_LIST_MAGIC = 0x112
_ARRAY_HEADER = struct.Struct("<IiI")
_ARRAY_MAGIC = 0xF993FAC9
_DENSE = 0
_CPU_FLOAT32 = struct.pack("<iii", 1, 0, 0)
_CHUNK_BYTES = 16 * 2**20
# Small enough to stay in the processor's cache between being read and being summed.
_PIECE_BYTES = 2**18
# Bytes from a member's header in a zip file to the lengths of its name and its extra field.
_NAME_LENGTHS_AT = 26
# Alignment of columns in bytes, so that processors read each number in one access.
_ALIGNMENT = 64
# Bytes of a member's header: the fixed part, and the extra field of zip64. A field of zeros follows, under the number
# that Android's zipalign uses.
_LOCAL_HEADER_BYTES, _ZIP64_EXTRA_BYTES = 30, 20
_PADDING_ID = 0xD935
# A zip file keeps a time for each member. A fixed one makes equal models equal to the byte.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


def write(
    target: Path,
    arrays: Mapping[str, Any],
    members: Mapping[str, bytes | memoryview],
    columns: Mapping[str, NDArray[Any]] | None = None,
) -> None:
    """Write an archive that replaces the old one when it is complete. No partial file is left.

    The arrays are float32, of MXNet, NumPy, or what has a shape and gives NumPy for a slice. The columns are
    one-dimensional arrays by the names of their members, which :func:`map_columns` maps.
    """
    with replacing(target, is_durable=True) as file, zipfile.ZipFile(file, "w") as archive:
        # First in the file, because there its numbers begin at a multiple of four bytes.
        with _member(archive, "params") as stream:
            _write_arrays(stream, arrays)
        for name, content in members.items():
            with _member(archive, name) as stream:
                stream.write(content)
        for name, column in (columns or {}).items():
            with _aligned_member(archive, name) as stream:
                stream.write(np.ascontiguousarray(column, dtype=column.dtype.newbyteorder("<")).view(np.uint8).data)


def is_unreadable(error: BaseException) -> bool:
    """Return whether an error comes from the system, so that the file may be undamaged."""
    # A damaged offset makes the system refuse to seek, with EINVAL.
    return isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)


def read_member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """Return a member if it is stored uncompressed within the limit, else raise a ValueError.

    A small archive from an untrusted source can have huge members.
    """
    member = _find(archive, name)
    if member.file_size > limit:
        raise ValueError(f"its {name} has {member.file_size} bytes, at most {limit} are possible")
    return archive.read(member)


def map_arrays(path: Path, archive: zipfile.ZipFile) -> dict[str, NDArray[np.float32]]:
    """Map the arrays of an open archive at this path into memory, and verify their checksum.

    It is a ValueError if they are damaged, or no arrays.
    """
    return _parse_arrays(_map_members(path, archive, ["params"])["params"])


def map_columns(path: Path, archive: zipfile.ZipFile, dtypes: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """Map columns of an archive, open at this path, into memory after checking their checksums.

    The types are little-endian by the name of the member, such as ``<u4``. A missing or damaged column is a
    ValueError.
    """
    mapped = _map_members(path, archive, list(dtypes))
    return {name: np.frombuffer(mapped[name], dtype=dtype) for name, dtype in dtypes.items()}


def _map_members(path: Path, archive: zipfile.ZipFile, names: list[str]) -> dict[str, memoryview]:
    """Map members into memory after checking their checksums."""
    mapped = {}
    with path.open("rb") as stream:
        whole = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
        for name in names:
            member = _find(archive, name)
            stream.seek(member.header_offset + _NAME_LENGTHS_AT)
            name_length, extra_length = struct.unpack("<HH", stream.read(4))
            start = stream.seek(name_length + extra_length, os.SEEK_CUR)
            # Read, not mapped: a disk that fails is an error here, and would be the end of the process there.
            if _checksum(stream, member.file_size) != member.CRC:
                raise ValueError(f"the checksum of its {name} is wrong")
            mapped[name] = whole[start : start + member.file_size]
    return mapped


def _checksum(stream: IO[bytes], size: int) -> int:
    """Return the CRC-32 of the next bytes of a stream, or of those that there are."""
    checksum, piece = 0, bytearray(_PIECE_BYTES)
    view = memoryview(piece)
    while size and (count := stream.readinto(view[: min(size, _PIECE_BYTES)])):  # type: ignore[attr-defined]
        checksum = zlib.crc32(view[:count], checksum)
        size -= count
    return checksum


def _member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    return archive.open(zipfile.ZipInfo(name, date_time=_NO_TIME), "w", force_zip64=True)


def _aligned_member(archive: zipfile.ZipFile, name: str) -> IO[bytes]:
    """Open a member whose content is aligned by padding in its header."""
    info = zipfile.ZipInfo(name, date_time=_NO_TIME)
    begin = archive.start_dir + _LOCAL_HEADER_BYTES + len(name.encode()) + _ZIP64_EXTRA_BYTES
    padding = -(begin + 4) % _ALIGNMENT
    info.extra = struct.pack("<HH", _PADDING_ID, padding) + bytes(padding)
    return archive.open(info, "w", force_zip64=True)


def _write_arrays(stream: IO[bytes], arrays: Mapping[str, Any]) -> None:
    stream.write(_LIST_HEADER.pack(_LIST_MAGIC, 0, len(arrays)))
    for array in arrays.values():
        stream.write(_ARRAY_HEADER.pack(_ARRAY_MAGIC, _DENSE, len(array.shape)))
        stream.write(struct.pack(f"<{len(array.shape)}q", *array.shape))
        stream.write(_CPU_FLOAT32)
        for chunk in _chunks(array):
            stream.write(chunk.data)
    stream.write(struct.pack("<Q", len(arrays)))
    for name in arrays:
        # MXNet's prefix for what is an argument of the symbol
        key = f"arg:{name}".encode()
        stream.write(struct.pack("<Q", len(key)) + key)


def _chunks(array: Any) -> Iterator[NDArray[np.float32]]:
    """Yield the rows of an MXNet or NumPy array in pieces, without a second copy."""
    row_bytes = 4 * int(np.prod(array.shape[1:]))
    step = max(1, _CHUNK_BYTES // row_bytes)
    for start in range(0, array.shape[0], step):
        part = array[start : start + step]
        yield np.ascontiguousarray(part.asnumpy() if hasattr(part, "asnumpy") else part, dtype="<f4")


def _find(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    if name not in archive.namelist():
        raise ValueError(f"it has no {name}")
    member = archive.getinfo(name)
    if member.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"its member {name} is compressed")
    return member


def _parse_arrays(content: memoryview) -> dict[str, NDArray[np.float32]]:
    magic, _, num_arrays = _LIST_HEADER.unpack_from(content)
    if magic != _LIST_MAGIC:
        raise ValueError("its params are no MXNet NDArray file")
    position = _LIST_HEADER.size
    arrays = []
    for _ in range(num_arrays):
        array, position = _parse_array(content, position)
        arrays.append(array)
    return dict(zip(_parse_names(content, position), arrays, strict=True))


def _parse_array(content: memoryview, position: int) -> tuple[NDArray[np.float32], int]:
    magic, storage, num_axes = _ARRAY_HEADER.unpack_from(content, position)
    if magic != _ARRAY_MAGIC or storage != _DENSE or num_axes not in (1, 2):
        raise ValueError("its params hold something that is no dense array")
    position += _ARRAY_HEADER.size
    shape = struct.unpack_from(f"<{num_axes}q", content, position)
    position += 8 * num_axes
    if content[position : position + len(_CPU_FLOAT32)] != _CPU_FLOAT32:
        raise ValueError("its params hold an array that is not float32")
    position += len(_CPU_FLOAT32)
    # Python's integers do not overflow, whatever a forged shape says
    size = math.prod(shape)
    if min(shape) < 1 or position + 4 * size > len(content):
        raise ValueError(f"its params hold an array of impossible shape {shape}")
    array = np.frombuffer(content, dtype="<f4", count=size, offset=position)
    return array.reshape(shape), position + 4 * size


def _parse_names(content: memoryview, position: int) -> list[str]:
    (num_names,) = struct.unpack_from("<Q", content, position)
    position += 8
    names = []
    for _ in range(num_names):
        (length,) = struct.unpack_from("<Q", content, position)
        position += 8
        if length > len(content) - position:
            raise ValueError("its params hold a name that is longer than they are")
        names.append(bytes(content[position : position + length]).decode().replace("arg:", "", 1))
        position += length
    return names

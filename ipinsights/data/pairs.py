"""Data: CSV files of (entity, address) pairs, read into arrays.

A file is headerless CSV (RFC 4180) in UTF-8, plain or gzip: an opaque entity, then an IPv4 address. What RFC 4180
leaves open is read as Python's csv module does, and a quote that nothing closes is a fault. Arrow reads it at
millions of rows a second. When it stumbles, :mod:`ipinsights.data.csv_errors` reads again, slowly, and says where and
why.
"""

from __future__ import annotations

import contextlib
import csv as python_csv
import functools
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from ipinsights._system import in_order, keep_freed_memory
from ipinsights.data.channels import channel_files
from ipinsights.data.csv_errors import LONGEST_FIELD, MAX_COLUMNS, TAIL, Source, rows_error
from ipinsights.data.entity_hash import hash_entity_column
from ipinsights.data.ipv4 import parse_ips
from ipinsights.data.ipv6 import Addresses, parse_addresses
from ipinsights.errors import RowsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ipinsights.data.ipv6 import Ipv6Rows

__all__ = ["Block", "Pairs", "fingerprint", "read_blocks", "read_pairs"]

# Some hundred thousand rows: few enough for the processor's cache, many enough to hide Python.
_BLOCK_BYTES = 2 * 2**20
# Memory taken in advance while rows come in. With 12 bytes a row it stays under 16.
_GROWTH = 1.125
_OPTIONS = {
    "read_options": csv.ReadOptions(block_size=_BLOCK_BYTES, autogenerate_column_names=True),
    "parse_options": csv.ParseOptions(newlines_in_values=True),
    "convert_options": csv.ConvertOptions(
        column_types={f"f{column}": pa.string() for column in range(MAX_COLUMNS)},
        strings_can_be_null=False,
        quoted_strings_can_be_null=False,
    ),
}


@dataclass(frozen=True)
class Pairs:
    """Rows of data, 12 bytes each."""

    # Hashes of the entities, see :func:`ipinsights.data.entity_hash.hash_entities`, shape (n,).
    entities: NDArray[np.uint64]
    # Addresses as numbers, shape (n,).
    ips: NDArray[np.uint32]
    # Addresses of both families, (n,). None if all are IPv4. The ``ips`` of IPv6 rows are 0.
    addresses: Addresses | None = None

    def __len__(self) -> int:
        return len(self.ips)

    def __getitem__(self, part: slice | NDArray[np.bool_]) -> Pairs:
        """Return some of the rows."""
        addresses = None if self.addresses is None else self.addresses[part]
        return Pairs(self.entities[part], self.ips[part], addresses)

    @staticmethod
    def joined(parts: Sequence[Pairs]) -> Pairs:
        """Return the rows of some parts, or of none, one after another."""
        entities = np.concatenate([np.empty(0, dtype=np.uint64), *(part.entities for part in parts)])
        ips = np.concatenate([np.empty(0, dtype=np.uint32), *(part.ips for part in parts)])
        addresses = [part.addresses for part in parts if part.addresses is not None]
        return Pairs(entities, ips, Addresses.joined(addresses) if addresses else None)

    @property
    def fingerprint(self) -> str:
        """Hash of all rows in their order."""
        addresses = self.addresses
        further = () if addresses is None else (addresses.upper, addresses.lower)
        return fingerprint(self.entities, self.ips, *further)


@dataclass(frozen=True)
class Block(Pairs):
    """Some consecutive rows of a file together with their text."""

    # The text of each column, quotes removed: entity, address, and further ones if they were asked for, (n,) each.
    columns: tuple[pa.StringArray, ...] = ()


def fingerprint(*arrays: NDArray[Any]) -> str:
    """Return a hash of the bytes of arrays."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(array.data)
    return digest.hexdigest()


def read_pairs(path: Path, *, progress: bool = False, ipv6: Ipv6Rows | None = None) -> Pairs:
    """Return the IPv4 rows of a channel, a CSV file or a folder of them, in their order.

    IPv6 rows are collected in ``ipv6``, and are errors without it. A ClientError names the first five offenders with
    file, line and reason, and counts all.
    """
    keep_freed_memory()
    store = _Store()
    sources = [Source.file(file) for file in channel_files(path)]
    for block in _read(sources, num_columns=2, progress=progress, ipv6=ipv6 is not None):
        store.append(block)
        if ipv6 is not None and block.addresses is not None:
            ipv6.append(block.entities, block.addresses)
    return store.pairs()


def read_blocks(
    source: Path | IO[bytes] | Source,
    *,
    name: str | None = None,
    num_columns: int | None = 2,
    progress: bool = False,
    count_faults: bool = True,
    ipv6: bool = False,
) -> Iterator[Block]:
    """Return an iterator over blocks of rows of one file or seekable stream, in bounded memory.

    A row must have ``num_columns``, the first two being entity and address, or as many as the first row for None.
    Errors are those of :func:`read_pairs`, where ``count_faults`` asks for the number of all rows that cannot be
    read.
    """
    if isinstance(source, Path):
        source = Source.file(source, name)
    elif not isinstance(source, Source):
        source = Source.stream(source, name or "the input")
    return _read([source], num_columns=num_columns, progress=progress, count_faults=count_faults, ipv6=ipv6)


class _UnreadableError(Exception):
    """A row, or the whole file, is invalid. The slow reader finds the row and the reason."""


def _read(
    sources: Sequence[Source], *, num_columns: int | None, progress: bool, count_faults: bool = True, ipv6: bool = False
) -> Iterator[Block]:
    for index, source in enumerate(sources):
        try:
            yield from _read_fast(source, num_columns=num_columns, progress=progress, ipv6=ipv6)
        except _UnreadableError as error:
            known = rows_error(sources[index:], num_columns=num_columns, count_all=count_faults, ipv6=ipv6)
            raise (known or RowsError(f"{source.name} cannot be read as CSV: {error}.")) from None


def _read_fast(source: Source, *, num_columns: int | None, progress: bool, ipv6: bool) -> Iterator[Block]:
    with source.open(progress=progress) as stream, _as_arrow_input(stream) as given:
        try:
            batches = csv.open_csv(given, **_OPTIONS)
            width = len(batches.schema)
            if not 2 <= width <= MAX_COLUMNS or num_columns not in (None, width):  # noqa: PLR2004
                raise _UnreadableError(f"it has {width} columns")
            yield from in_order(functools.partial(_block, ipv6=ipv6), (batch for batch in batches if len(batch)))
        except pa.ArrowInvalid as error:
            raise _UnreadableError(str(error).rstrip(".")) from None


@contextlib.contextmanager
def _as_arrow_input(stream: IO[bytes]) -> Iterator[pa.BufferedInputStream]:
    """Wrap a stream for Arrow, and detach it from Arrow at the end.

    Arrow reads ahead, and its threads let go of what they hold whenever they come to it. If that is an object of
    Python's and Python has just ended, the process aborts. So they hold copies, and in the end streams that are closed.
    """
    given_to_arrow = _ArrowInput(stream)
    given_to_arrow.check_width()
    file = pa.PythonFile(given_to_arrow, mode="r")
    # A buffer smaller than any read is never filled: each read goes through to the file, and is copied.
    with pa.BufferedInputStream(file, buffer_size=1) as given:
        yield given


class _ArrowInput(io.RawIOBase):
    """A stream as Arrow can read it without a slip.

    No carriage return is parted from the line feed behind it: Arrow would drop one at the beginning of a piece, even
    inside quotes. And behind the last row comes the tail: it ends the row, and tells if a quote is open.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._ahead = b""
        self._tail = io.BytesIO(TAIL.encode())

    def readable(self) -> bool:
        return True

    def check_width(self) -> None:
        """Refuse a first row of too many columns: Arrow would take memory for each of them."""
        self._ahead = self._take(_BLOCK_BYTES)
        lines = io.TextIOWrapper(io.BytesIO(self._ahead), encoding="utf-8", errors="replace", newline="")
        try:
            rows = python_csv.reader(line.replace("\0", "\ufffd") for line in lines)
            width = len(next(filter(None, rows), []))
        except python_csv.Error:
            raise _UnreadableError("a field is too long") from None
        if width > MAX_COLUMNS:
            raise _UnreadableError(f"it has {width} columns")

    def read(self, size: int = -1) -> bytes:
        # Never more than was asked for: Arrow copies it all to where there is room for so much.
        piece, self._ahead = self._ahead[:size], self._ahead[size:]
        if not self._ahead:
            piece += self._take(size - len(piece))
            self._ahead = self._take(1)
        if self._ahead and piece.endswith(b"\r"):
            piece, self._ahead = piece[:-1], b"\r" + self._ahead
        return piece

    def _take(self, size: int) -> bytes:
        taken = self._stream.read(size)
        while len(taken) < size:
            more = self._stream.read(size - len(taken)) or self._tail.read(size - len(taken))
            if not more:
                break
            taken += more
        return taken


def _block(batch: pa.RecordBatch, *, ipv6: bool) -> Block:
    entities, texts = batch.column(0), batch.column(1)
    addresses = parse_addresses(texts) if ipv6 else None
    ips, valid = parse_ips(texts) if addresses is None else (addresses.ips, addresses.is_valid)
    if pc.min(pc.binary_length(entities)).as_py() == 0:
        raise _UnreadableError("an entity is empty")
    if not valid.all():
        raise _UnreadableError("a row is no pair of entity and IPv4 address")
    if batch.column(-1)[-1].as_py().endswith(TAIL):
        raise _UnreadableError("a closing quote is missing")
    if any(map(_has_long_field, batch.columns)):
        raise _UnreadableError("a field is too long")
    return Block(hash_entity_column(entities), ips, addresses, tuple(batch.columns))


def _has_long_field(texts: pa.StringArray) -> bool:
    # A text has no more characters than bytes, which Arrow need not count.
    return all(pc.max(length(texts)).as_py() > LONGEST_FIELD for length in (pc.binary_length, pc.utf8_length))


class _Store:
    """Growing arrays of rows that are appended block by block, without a final copy."""

    def __init__(self) -> None:
        self._entities = np.empty(0, dtype=np.uint64)
        self._ips = np.empty(0, dtype=np.uint32)
        self._size = 0

    def append(self, block: Block) -> None:
        """Add the IPv4 rows of a block."""
        chosen = slice(None) if block.addresses is None else ~block.addresses.is_ipv6
        entities, ips = block.entities[chosen], block.ips[chosen]
        end = self._size + len(ips)
        if end > len(self._ips):
            self._resize(max(end, int(_GROWTH * len(self._ips))))
        self._entities[self._size : end] = entities
        self._ips[self._size : end] = ips
        self._size = end

    def pairs(self) -> Pairs:
        """Return all rows, and release the memory that was allocated but not used."""
        self._resize(self._size)
        return Pairs(self._entities, self._ips)

    def _resize(self, size: int) -> None:
        arrays: tuple[NDArray[Any], ...] = (self._entities, self._ips)
        for array in arrays:
            array.resize(size, refcheck=False)

"""Pairs from columns of entities and addresses, a block of rows at a time."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from ipinsights.data.arrow import packed, text_scalar
from ipinsights.data.column_texts import column_texts, is_fractional, is_invalid_entity, is_missing, value_text
from ipinsights.data.csv_errors import LONGEST_FIELD, NUM_SHOWN, rows_message, why_invalid
from ipinsights.data.entity_hash import hash_entity_column
from ipinsights.data.ipv4 import parse_ips
from ipinsights.data.ipv6 import Addresses, parse_addresses
from ipinsights.data.pairs import Pairs
from ipinsights.errors import InvalidValueError, RowsError
from ipinsights.reporting.plain_text import shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = [
    "PairBlock", "entity_text", "is_pandas", "pair_blocks", "pairs_of_columns", "place_of", "refuse", "refuse_rows",
    "scalar", "why_invalid_values",
]  # fmt: skip

# Rows whose texts are in memory at a time. An entity is hashed once for each block.
_BLOCK_ROWS = 2**17
# Rows whose addresses are parsed at a time. Their arrays stay below about 128 KiB. glibc maps and unmaps larger ones
# each time where the environment fixes its thresholds, as Dask does.
_PARSED_ROWS = 2**12
# Memory that stays for the parser, in blocks below 128 KiB: more than it takes for the rows of one turn.
_KEPT_BLOCKS, _BLOCK_BYTES = 16, 100_000
_EMPTY = text_scalar("")


@dataclass(frozen=True)
class PairBlock:
    """Some consecutive rows of two columns. The pairs of invalid rows mean nothing."""

    part: slice
    pairs: Pairs
    is_valid: NDArray[np.bool_]


def pair_blocks(entities: Any, ips: Any, *, ipv6: bool) -> Iterator[PairBlock]:
    """Yield the rows of two columns of equal length, (n,).

    They are Series, arrays of NumPy or columns of Arrow, of texts or integers. Columns of unequal length or of
    floating-point numbers are an InvalidValueError.
    """
    if len(entities) != len(ips):
        raise InvalidValueError(f"entities and ips must have as many rows. Got {len(entities):,} and {len(ips):,}.")
    for start in range(0, len(entities), _BLOCK_ROWS):
        part = slice(start, start + _BLOCK_ROWS)
        texts = column_texts(_cut(entities, part), "entity")
        address_texts = pc.coalesce(column_texts(_cut(ips, part), "ip"), _EMPTY)
        addresses = parse_addresses(address_texts) if ipv6 else None
        numbers, is_address = _parsed(address_texts) if addresses is None else (addresses.ips, addresses.is_valid)
        is_valid = ~is_invalid_entity(texts) & is_address
        # Texts that are not valid may be null, or too long to be hashed in a reasonable time.
        hashes = hash_entity_column(texts if is_valid.all() else pc.if_else(packed(is_valid), texts, _EMPTY))
        yield PairBlock(part, Pairs(hashes, numbers, addresses), is_valid)


def pairs_of_columns(columns: tuple[Any, Any], index: Any, name: str, *, ipv6: bool) -> Pairs:
    """Return the pairs of two columns, see :func:`pair_blocks`.

    ``index`` is that of their DataFrame or None, ``name`` that of the parameter for messages. Invalid rows are a
    RowsError that names the first five.
    """
    size = len(columns[0])
    entities, ips = np.empty(size, dtype=np.uint64), np.empty(size, dtype=np.uint32)
    faulty: list[int] = []
    both: list[Addresses] = []
    for block in pair_blocks(*columns, ipv6=ipv6):
        faulty += (block.part.start + np.flatnonzero(~block.is_valid)).tolist()
        entities[block.part], ips[block.part] = block.pairs.entities, block.pairs.ips
        both += [] if block.pairs.addresses is None else [block.pairs.addresses]
    refuse_rows(columns, index, name, faulty, ipv6=ipv6)
    return Pairs(entities, ips, Addresses.joined(both) if both else None)


def refuse_rows(columns: tuple[Any, Any], index: Any, name: str, faulty: Sequence[int], *, ipv6: bool) -> None:
    """Raise a RowsError that names the first faulty rows of two columns, if there are any."""
    if not len(faulty):
        return
    values = ((at, scalar(columns[0], at), scalar(columns[1], at)) for at in faulty)
    reasons = ((place_of(at, index, name), why_invalid_values(entity, ip, ipv6=ipv6)) for at, entity, ip in values)
    refuse(reasons, num_faulty=len(faulty))


def refuse(faults: Iterator[tuple[str, str]], num_faulty: int | None = None) -> None:
    """Raise a RowsError that names the first invalid rows, given place and reason of each."""
    shown = [f"{place}: {reason}." for place, reason in islice(faults, NUM_SHOWN)]
    num_more = sum(1 for _ in faults) if num_faulty is None else num_faulty - len(shown)
    raise RowsError(rows_message(shown, num_more))


def place_of(at: int, index: Any, name: str) -> str:
    """Return how messages call a row: by its index in a DataFrame, or by its position."""
    if index is None or index[at] == at:
        return f"row {at} of {name}"
    return f"row {at} of {name} (index {index[at]!r})"


def why_invalid_values(entity: Any, ip: Any, *, ipv6: bool = False) -> str:
    """Return why a row is invalid, in the words for files."""
    for value, what in ((entity, "entity"), (ip, "address")):
        if is_missing(value):
            return f"the {what} is missing"
        if is_fractional(value):
            return f"the {what} {value!r} is a floating-point number: convert it to text"
    texts = [value_text(entity), value_text(ip)]
    if len(texts[0]) > LONGEST_FIELD:
        return f"a field is longer than {LONGEST_FIELD} characters"
    return why_invalid(texts, 2, ipv6=ipv6) or "it is not UTF-8 text"


def entity_text(value: Any) -> str:
    """Return an entity as text. One that no row of data can have is an InvalidValueError."""
    column = np.empty(1, dtype=object)
    column[0] = value
    if is_invalid_entity(column_texts(column, "entity"))[0]:
        reason = why_invalid_values(value, "192.0.2.1")
        raise InvalidValueError(f"Entity {shortened(repr(value))} is not valid: {reason}.")
    return value_text(value)


def is_pandas(data: Any, kind: str) -> bool:
    """Return whether an object is of a class of pandas, given its name."""
    # Without pandas loaded, nothing is an object of pandas. Loading it takes most of a second.
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, getattr(pandas, kind))


def scalar(column: Any, at: int) -> Any:
    """Return a value of a column as an object of Python."""
    value = column.iloc[at] if is_pandas(column, "Series") else column[at]
    return value.as_py() if hasattr(value, "as_py") else value


def _cut(column: Any, part: slice) -> Any:
    return column.iloc[part] if is_pandas(column, "Series") else column[part]


def _parsed(texts: pa.StringArray) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Return the addresses of texts, and which of the texts are an address, (n,) each."""
    ips, is_valid = np.empty(len(texts), dtype=np.uint32), np.empty(len(texts), dtype=bool)
    _held = _kept_memory() if len(texts) > _PARSED_ROWS else None
    for start in range(0, len(texts), _PARSED_ROWS):
        part = slice(start, start + _PARSED_ROWS)
        ips[part], is_valid[part] = parse_ips(texts[part])
    return ips, is_valid


def _kept_memory() -> NDArray[np.uint8]:
    """Return a block at the end of the heap, with free memory before it.

    glibc gives the end of the heap back to the system as soon as it is free, where the environment fixes its thresholds
    as Dask does. Taking it anew for each turn would take a quarter of the time of scoring.
    """
    blocks = [np.empty(_BLOCK_BYTES, dtype=np.uint8) for _ in range(_KEPT_BLOCKS)]
    return blocks[-1]

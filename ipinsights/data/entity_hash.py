"""Entities: opaque texts to hashes of 64 bits, and hashes to rows of the entity table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from ipinsights.data.siphash import LONGEST_HASHED, hash_column, hash_objects

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["distinct_entity_rows", "entity_rows", "hash_entities", "hash_entity_column"]

# Where all rows at once would take memory of their own.
_ROWS_AT_A_TIME = 2**20


def hash_entities(texts: Sequence[str] | NDArray[np.object_]) -> NDArray[np.uint64]:
    """Return a stable 64-bit hash (SipHash of the UTF-8 bytes, fixed key) of each entity, (n,).

    Source: ``pandas.util.hash_array``, documented as deterministic. The original's own hash is unknown.
    """
    return hash_objects(np.array(texts, dtype=object))


def hash_entity_column(texts: pa.StringArray) -> NDArray[np.uint64]:
    """Return the same hashes for a column of texts without nulls, shape (n,).

    Each distinct text is hashed once.
    """
    encoded = texts.dictionary_encode()
    distinct = encoded.dictionary
    is_short = pc.max(pc.binary_length(distinct)).as_py() <= LONGEST_HASHED
    hashes = hash_column(distinct) if is_short else hash_entities(distinct.to_numpy(zero_copy_only=False))
    taken: NDArray[np.uint64] = hashes[np.from_dlpack(encoded.indices)]
    return taken


def entity_rows(entities: NDArray[np.uint64], num_entity_vectors: int) -> NDArray[np.int32]:
    """Return the row of each hashed entity in the entity table: the hash modulo its size, (n,)."""
    rows = np.empty(len(entities), dtype=np.int32)
    # Straight into the result: the remainders of a hundred million rows would be 0.8 GB by themselves.
    np.remainder(entities, np.uint64(num_entity_vectors), out=rows, dtype=np.uint64, casting="unsafe")
    return rows


def distinct_entity_rows(entities: NDArray[np.uint64], num_entity_vectors: int) -> NDArray[np.int32]:
    """Return the distinct entity table rows of hashed entities (n,), ascending, (num_used,)."""
    used = np.zeros(num_entity_vectors, dtype=bool)
    for start in range(0, len(entities), _ROWS_AT_A_TIME):
        used[entity_rows(entities[start : start + _ROWS_AT_A_TIME], num_entity_vectors)] = True
    return np.flatnonzero(used).astype(np.int32)

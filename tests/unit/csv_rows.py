"""CSV in memory: its rows, or the message that it is refused with."""

from __future__ import annotations

import io

import pytest

from ipinsights.data.entity_hash import hash_entities
from ipinsights.data.pairs import read_blocks
from ipinsights.errors import ClientError, RowsError


def rows_of(content: bytes) -> list[tuple[str, int]]:
    """Read bytes as a file; give entity and address of each row."""
    blocks = list(read_blocks(io.BytesIO(content), name="x.csv"))
    for block in blocks:
        assert block.entities.tolist() == hash_entities(block.columns[0].to_pylist()).tolist()
    return [row for block in blocks for row in zip(block.columns[0].to_pylist(), block.ips.tolist(), strict=True)]


def fault_of(content: bytes) -> str:
    """Return the error message for invalid bytes."""
    with pytest.raises(ClientError) as caught:
        rows_of(content)
    return str(caught.value)


def error_of(content: bytes) -> RowsError:
    """Return the error about invalid rows."""
    with pytest.raises(RowsError) as caught:
        rows_of(content)
    return caught.value

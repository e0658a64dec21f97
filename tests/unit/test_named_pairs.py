"""Tables with named columns as files of pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from ipinsights.data.pairs import read_pairs
from ipinsights.etl.named_pairs import named_pairs
from ipinsights.etl.summary import NothingUsableError

from .log_samples import as_csv, as_jsonl, as_parquet

if TYPE_CHECKING:
    from pathlib import Path

TABLE = [{"user": "ann", "from": "192.0.2.7"}, {"user": "-", "from": "192.0.2.8"}, {"user": "ben", "from": "192.0.2.9"}]


@pytest.mark.parametrize("content", [as_csv(TABLE), as_jsonl(TABLE), as_parquet(pa.Table.from_pylist(TABLE))])
def test_formats(tmp_path: Path, content: str | bytes) -> None:
    """The first bytes show which it is."""
    source = tmp_path / "table"
    source.write_bytes(content if isinstance(content, bytes) else content.encode())
    with named_pairs(source, entity=("user",), ip=("from",)) as (pairs, summary):
        assert pairs.read_text() == "ann,192.0.2.7\nben,192.0.2.9\n"
        assert len(read_pairs(pairs)) == summary.num_written == 2
    assert not pairs.exists()


def test_nothing_usable(tmp_path: Path) -> None:
    """A table without a usable row is an error."""
    source = tmp_path / "table"
    source.write_text("user,from\n-,192.0.2.7\n")
    with pytest.raises(NothingUsableError), named_pairs(source, entity=("user",), ip=("from",)):
        pass

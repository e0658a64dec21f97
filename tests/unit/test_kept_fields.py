"""Further fields that go with each pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from ipinsights.errors import ClientError
from ipinsights.etl.named_pairs import named_pairs
from ipinsights.etl.records import KeptFields

from .log_samples import as_csv, as_jsonl, as_parquet

if TYPE_CHECKING:
    from pathlib import Path

TABLE = [
    {"user": "ann", "from": "192.0.2.7", "label": "0", "naïve": 'a, "b"'},
    {"user": "-", "from": "192.0.2.8", "label": "1", "naïve": "nobody's"},
    {"user": "ben", "from": "192.0.2.9", "label": "1", "naïve": ""},
]
FORMATS = [as_csv(TABLE), as_jsonl(TABLE), as_parquet(pa.Table.from_pylist(TABLE))]


def pairs_with(source: Path, kept: KeptFields) -> str:
    """Return the pairs of a table with further fields."""
    with named_pairs(source, entity=("user",), ip=("from",), kept=kept) as (pairs, _):
        return pairs.read_text(encoding="utf-8")


def written(folder: Path, content: str | bytes, name: str = "table") -> Path:
    """Return a file with this content."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("content", FORMATS)
def test_all_others_are_kept(tmp_path: Path, content: str | bytes) -> None:
    """Values stand in the rows of their pairs, in the order of the table."""
    kept = KeptFields(without=("user", "from"))
    assert pairs_with(written(tmp_path, content), kept) == 'ann,192.0.2.7,0,"a, ""b"""\nben,192.0.2.9,1,\n'
    assert kept.names == ("label", "naïve")


@pytest.mark.parametrize("content", FORMATS)
def test_wanted_ones_are_kept_where_there_are_some(tmp_path: Path, content: str | bytes) -> None:
    """A field that a table has not is not an error."""
    kept = KeptFields(("label", "missing"))
    assert pairs_with(written(tmp_path, content), kept) == "ann,192.0.2.7,0\nben,192.0.2.9,1\n"


def test_a_file_without_a_field_of_the_first_is_refused(tmp_path: Path) -> None:
    """Its rows would have another width."""
    written(tmp_path, "user,from,label\nann,192.0.2.7,0\n", "a.csv")
    written(tmp_path, "user,from\nann,192.0.2.7\n", "b.csv")
    with pytest.raises(ClientError) as caught:
        pairs_with(tmp_path, KeptFields(("label",)))
    assert str(caught.value) == "There is no column 'label', which the first file has. The columns are user, from."


def test_a_field_that_an_object_has_not_is_empty(tmp_path: Path) -> None:
    """JSON names the fields of each record."""
    source = written(tmp_path, '{"user":"ann","from":"192.0.2.7","label":1}\n{"user":"ben","from":"192.0.2.9"}\n')
    assert pairs_with(source, KeptFields(("label",))) == "ann,192.0.2.7,1\nben,192.0.2.9,\n"

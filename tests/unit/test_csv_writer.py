"""Columns become CSV that any reader reads back."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.data.csv_writer import csv_lines, quoted
from ipinsights.data.entity_hash import hash_entities
from ipinsights.data.pairs import read_pairs

if TYPE_CHECKING:
    from pathlib import Path

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)


class TestCsvLines:
    """RFC 4180."""

    @given(st.lists(st.tuples(TEXT, TEXT), max_size=6))
    def test_reads_back(self, rows: list[tuple[str, str]]) -> None:
        """Python's reader returns the same rows for any characters.

        No rows result in no bytes.
        """
        columns = [quoted(pa.array(column, pa.string())) for column in (zip(*rows, strict=True) if rows else ([], []))]
        text = bytes(csv_lines(columns)).decode()
        assert list(map(tuple, csv.reader(io.StringIO(text, newline="")))) == rows
        assert bool(text) == bool(rows)

    def test_quotes_only_where_they_must_be(self) -> None:
        """A comma, a quote, a line's end or a byte order mark needs them, a blank does not."""
        texts = pa.array(["a b", "a,b", 'a"b', "a\nb", "\ufeffa", "\uff41"])
        assert quoted(texts).to_pylist() == ["a b", '"a,b"', '"a""b"', '"a\nb"', '"\ufeffa"', "\uff41"]

    def test_a_mark_at_the_beginning_of_a_file_is_kept(self, tmp_path: Path) -> None:
        """An entity that begins with a byte order mark is read back unchanged from the first row."""
        entities = ["\ufeffann", "ann"]
        path = tmp_path / "rows.csv"
        path.write_bytes(csv_lines([quoted(pa.array(entities)), pa.array(["10.0.0.1", "10.0.0.2"])]))
        assert read_pairs(path).entities.tolist() == hash_entities(entities).tolist()

    def test_part_of_a_column(self) -> None:
        """A slice gives its own lines only."""
        column = pa.array(["a", "b", "c"])
        assert bytes(csv_lines([column[1:], column[:2]])) == b"b,a\nc,b\n"

"""Columns become CSV that any reader reads back."""

from __future__ import annotations

import csv
import io

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.data.csv_writer import csv_lines, quoted

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
        """A comma, a quote or a line's end needs them, a blank does not."""
        assert quoted(pa.array(["a b", "a,b", 'a"b', "a\nb"])).to_pylist() == ["a b", '"a,b"', '"a""b"', '"a\nb"']

    def test_part_of_a_column(self) -> None:
        """A slice gives its own lines only."""
        column = pa.array(["a", "b", "c"])
        assert bytes(csv_lines([column[1:], column[:2]])) == b"b,a\nc,b\n"

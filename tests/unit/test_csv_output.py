"""Columns become CSV that any reader reads back, in a file that is there only when it is complete."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.csv_output import csv_lines, opened_output, quoted
from ipinsights.errors import ClientError

if TYPE_CHECKING:
    from pathlib import Path

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)


class TestCsvLines:
    """RFC 4180."""

    @given(st.lists(st.tuples(TEXT, TEXT), max_size=6))
    def test_reads_back(self, rows: list[tuple[str, str]]) -> None:
        """Python's reader gives the same rows, whatever characters are in them; no row gives no byte."""
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


class TestOpenedOutput:
    """All or nothing."""

    def test_a_failure_leaves_the_old_file(self, tmp_path: Path) -> None:
        """What was there stays, and nothing is left beside it."""
        output = tmp_path / "rows.csv"
        output.write_text("old")

        def fail_while_writing() -> None:
            with opened_output(output) as stream:
                stream.write(b"half")
                raise KeyError

        with pytest.raises(KeyError):
            fail_while_writing()
        assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("rows.csv", "old")]

    def test_a_file_that_cannot_be_written(self, tmp_path: Path) -> None:
        """The message has the system's reason."""
        with pytest.raises(ClientError) as caught, opened_output(tmp_path / "no" / "rows.csv"):
            pass
        assert str(caught.value) == f"{tmp_path / 'no' / 'rows.csv'} cannot be written: No such file or directory."

    def test_a_folder_that_is_a_file(self, tmp_path: Path) -> None:
        """Nothing beside it can be removed either, and the message is the same."""
        (tmp_path / "file").touch()
        with pytest.raises(ClientError) as caught, opened_output(tmp_path / "file" / "rows.csv"):
            pass
        assert str(caught.value) == f"{tmp_path / 'file' / 'rows.csv'} cannot be written: Not a directory."

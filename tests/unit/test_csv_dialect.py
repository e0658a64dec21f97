"""The separator of CSV, and how it marks quotes inside of quotes."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.etl.csv_dialect import Dialect


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " "])
def test_the_separator_of_most_lines_is_found(separator: str) -> None:
    """A comma inside of quotes is not a separator."""
    lines = [separator.join(row) + "\n" for row in (["user", "ip"], ['"a,b"', "192.0.2.1"], ["c", "192.0.2.2"])]
    assert Dialect.of(lines) == Dialect(separator, 0, has_backslashes=False)


@pytest.mark.parametrize(("lines", "num_before"), [(["sep=;\n"], 1), (["\n", '"SEP=;"\r\n'], 2)])
def test_a_stated_separator_is_taken(lines: list[str], num_before: int) -> None:
    """The line that states it, and blank ones before it, are not rows."""
    assert Dialect.of([*lines, "user,name;ip\n"]) == Dialect(";", num_before, has_backslashes=False)


def test_backslashes_are_recognised_where_doubled_quotes_fail() -> None:
    """Spark writes a backslash before a quote inside of quotes."""
    lines = ["user,ip\n", '"a \\"b\\", c",192.0.2.1\n']
    dialect = Dialect.of(lines)
    assert dialect == Dialect(",", 0, has_backslashes=True)
    assert list(dialect.reader(lines))[1] == ['a "b", c', "192.0.2.1"]


def test_an_empty_file_has_commas() -> None:
    """The separator of an empty file is a comma."""
    assert Dialect.of([]) == Dialect(",", 0, has_backslashes=False)


@given(
    st.lists(st.tuples(st.text("ab,;\"' |", min_size=1), st.just("192.0.2.1")), min_size=1, max_size=9),
    st.sampled_from(",;\t|"),
)
def test_what_the_csv_module_writes_is_read_back(rows: list[tuple[str, str]], separator: str) -> None:
    """Any text in quotes comes back as it was."""
    stream = io.StringIO()
    csv.writer(stream, delimiter=separator, quoting=csv.QUOTE_ALL).writerows([("user", "ip"), *rows])
    lines = stream.getvalue().splitlines(keepends=True)
    assert list(Dialect.of(lines).reader(lines))[1:] == [list(row) for row in rows]

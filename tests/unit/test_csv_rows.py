"""Rows of CSV as people have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ipinsights.etl.csv_rows import field_names

if TYPE_CHECKING:
    from .log_samples import Bench

ROWS = [["ann", "192.0.2.7"], ["ben", "192.0.2.8"]]
NAMES = {"entity": "user", "ip": "ip", "no_timestamps": True}


@pytest.mark.parametrize(
    ("text", "skipped"),
    [
        ("user,ip\nann,192.0.2.7,\nben,192.0.2.8,,\n", {}),
        ("user;ip;\nann;192.0.2.7\nben;192.0.2.8;\n", {}),
        ("UTF-8\nuser,ip\nann,192.0.2.7\nben,192.0.2.8\n", {"OTHER": 1}),
        ("Report of 1 May; all users\n\nuser;ip\nann;192.0.2.7\nben;192.0.2.8\n", {"OTHER": 1, "BLANK": 1}),
        ("# a, b\n# c\nuser\tip\nann\t192.0.2.7\n# d\nben\t192.0.2.8\n", {"OTHER": 3}),
        ("user,ip\nann,192.0.2.7\nuser,ip\nben,192.0.2.8\n", {"OTHER": 1}),
        (",user,ip\n0,ann,192.0.2.7\n1,ben,192.0.2.8\n", {}),
        ("user ip\n1 ann 192.0.2.7\n2 ben 192.0.2.8\n", {}),
        ("title\nsep=|\nuser|ip\nann|192.0.2.7\nben|192.0.2.8\n", {"OTHER": 1}),
        ("user,ip\nann,192.0.2.7\nx,y,z\nben,192.0.2.8\n", {"MALFORMED": 1}),
    ],
)
def test_tables(bench: Bench, text: str, skipped: dict[str, int]) -> None:
    """Tables may have trailing empty fields, leading lines, comments, extra headers or an index."""
    assert bench.of("csv", text, **NAMES) == (ROWS, skipped)


def test_lines_to_skip(bench: Bench) -> None:
    """The first lines can be skipped by their number."""
    assert bench.of("csv", "a,1\nb,2\nann,192.0.2.7\nben,192.0.2.8\n", skip_lines=2, no_timestamps=True) == (ROWS, {})


def test_names_of_fields(bench: Bench) -> None:
    """Fields can be named where there is no header, and further fields have numbers."""
    rows = bench.of("csv", "x ann 192.0.2.7 y\n", fields=("a", "user", "ip"), **NAMES)[0]
    assert rows == ROWS[:1]


IIS = """#Software: Microsoft Internet Information Services 10.0
#Fields: date time cs-username c-ip
2024-05-01 08:15:01 ann 192.0.2.7
#Date: 2024-05-01 09:00:00
#Fields: date time c-ip cs-username sc-status
2024-05-01 08:15:02 192.0.2.8 ben 200
2024-05-01 08:15:03 192.0.2.8 - 200
"""
ZEEK = """#separator \\x09
#path\tssh
#fields\tts\tid.orig_h\tuser
#types\ttime\taddr\tstring
1714551301.000000\t192.0.2.7\tann
1714551302.000000\t192.0.2.8\tben
1714551303.000000\t192.0.2.8\t(empty)
#close\t2024-05-01-09-00-00
"""
CLOUDFRONT = """#Version: 1.0
#Fields: date time x-edge-location c-ip cs(Cookie)
2024-05-01\t08:15:01\tFRA2\t192.0.2.7\tann
2024-05-01\t08:15:02\tFRA2\t192.0.2.8\tben
2024-05-01\t08:15:02\tFRA2\t192.0.2.8\t-
"""


@pytest.mark.parametrize(
    ("text", "entity", "ip", "timestamp"),
    [
        (IIS, "cs-username", "c-ip", None),
        (IIS, "cs-username", "c-ip", "date"),
        (ZEEK, "user", "id.orig_h", "ts"),
        (CLOUDFRONT, "cs(Cookie)", "c-ip", "time"),
    ],
)
def test_logs_that_name_their_fields(bench: Bench, text: str, entity: str, ip: str, timestamp: str | None) -> None:
    """A line can name the fields of the lines after it, with date and time as two fields."""
    times = ["2024-05-01T08:15:01Z", "2024-05-01T08:15:02Z"]
    rows = [[*row, time] for row, time in zip(ROWS, times, strict=True)]
    assert bench.of("csv", text, entity=entity, ip=ip, timestamp=timestamp) == (rows, {"NO_USER": 1})


@pytest.mark.parametrize("entity", ["#Fields: user", "#Fields:", "#fields", "#fields\tx"])
def test_an_entity_may_begin_like_names_of_fields(bench: Bench, entity: str) -> None:
    """A row that looks like a line of names does not end a table with a header."""
    rows = [*ROWS, [entity, "192.0.2.9"], *ROWS]
    text = "user,ip\n" + "".join(f"{user},{ip}\n" for user, ip in rows)
    assert bench.of("csv", text, **NAMES) == (rows, {})


@pytest.mark.parametrize("line", ["#Fields:", "#fields_of_gold"])
def test_a_line_without_names(bench: Bench, line: str) -> None:
    """A line that names no field does not end a log."""
    text = f"#Fields: user ip\nann 192.0.2.7\n{line}\nben 192.0.2.8\n"
    assert bench.of("csv", text, **NAMES) == (ROWS, {})


def test_field_names() -> None:
    """Names in a line of fields are separated by blanks or TABs."""
    assert field_names("#Fields: a b(c)\r\n") == ["a", "b(c)"]
    assert field_names("#fields\ta\tb c\n") == ["a", "b c"]


@pytest.mark.parametrize("separator", ["\t", " "])
def test_quotes_in_lines_that_name_their_fields(bench: Bench, separator: str) -> None:
    """A quote of a client is a character like others, and no row behind it is lost."""
    rows = [
        'ann 192.0.2.7 2024-05-01T10:00:00Z "Moz',
        '"bob 192.0.2.8 2024-05-01T10:00:00Z say"',
        "eve 192.0.2.9 2024-05-01T10:00:00Z -",
    ]
    log = "\n".join(["#Fields: user ip timestamp agent", *rows]).replace(" ", separator)
    found, skipped = bench.of("csv", log, entity="user")
    assert [row[:2] for row in found] == [["ann", "192.0.2.7"], ['"bob', "192.0.2.8"], ["eve", "192.0.2.9"]]
    assert skipped == {}


def test_quoted_fields_with_blanks_in_lines_that_name_their_fields(bench: Bench) -> None:
    """Where blanks separate fields, those with blanks stand in quotes."""
    log = '#Fields: timestamp user ip agent\n2024-05-01T10:00:00Z "ann" 192.0.2.7 "Mozilla/5.0 (X11)"\n'
    log += '2024-05-01T10:00:00Z "a ""b"" c" 192.0.2.8 -\n2024-05-01T10:00:00Z "x""y" 192.0.2.9 -\n'
    assert [row[0] for row in bench.of("csv", log, entity="user")[0]] == ["ann", 'a "b" c', 'x"y']


def test_blanks_that_align_a_table(bench: Bench) -> None:
    """A name in what psql prints ends before the blanks."""
    log = " entity |    ip     |      timestamp\n--------+-----------+---------------------\n"
    log += " ann    | 192.0.2.7 | 2024-05-01 10:00:00\n(1 row)\n"
    assert bench.of("csv", log) == ([["ann", "192.0.2.7", "2024-05-01T10:00:00Z"]], {"MALFORMED": 2})


def test_zeros_where_a_machine_stopped(bench: Bench) -> None:
    """Zero bytes in front of a row, as a crash leaves them, are not part of a name."""
    log = "entity,ip,timestamp\n" + "\0" * 500 + "ann,192.0.2.7,2024-05-01T10:00:00Z\n" + "\0" * 500
    assert bench.of("csv", log) == ([["ann", "192.0.2.7", "2024-05-01T10:00:00Z"]], {})


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_rows_before_a_header_are_rows(bench: Bench, mark: str) -> None:
    """A file with a header that was put behind rows without one does not make them a preamble."""
    log = f"ann,192.0.2.7,2024-05-01T10:00:00Z\n{mark}entity,ip,timestamp\nben,192.0.2.8,2024-05-01T10:00:00Z\n"
    rows, skipped = bench.of("csv", log)
    assert [row[0] for row in rows] == ["ann", "ben"]
    assert skipped == {"HOST_NAME": 1}

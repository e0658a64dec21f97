"""CSV with a header, JSON Lines and Parquet become rows."""

from __future__ import annotations

import gzip
import io
from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from ipinsights.errors import ClientError
from ipinsights.etl import csv_rows
from ipinsights.etl.filters import Filters
from ipinsights.etl.records import LogOptions, Reason

from .log_samples import NAMES, TABLE, TABLE_ROWS, as_csv, as_jsonl, as_parquet

if TYPE_CHECKING:
    from .log_samples import Bench


class TestTables:
    """CSV with a header, JSON Lines and Parquet."""

    @pytest.mark.parametrize(
        ("log_format", "content"),
        [
            ("csv", as_csv(TABLE)),
            ("csv", "\ufeff" + as_csv(TABLE)),
            ("jsonl", as_jsonl(TABLE)),
            ("parquet", as_parquet(pa.Table.from_pylist(TABLE))),
            ("parquet", gzip.compress(as_parquet(pa.Table.from_pylist(TABLE)), mtime=0)),
        ],
    )
    def test_columns_by_name(self, bench: Bench, log_format: str, content: str | bytes) -> None:
        """Three names say which columns are read. An empty entity is a missing one."""
        assert bench.of(log_format, content, **NAMES) == (TABLE_ROWS, {"NO_USER": 1})
        bench.extract(log_format, LogOptions(**NAMES), Filters.parse(path=None, status="", where=["ok=yes"]))
        assert bench.rows() == TABLE_ROWS[:1]

    def test_paths_into_a_column_of_json(self, bench: Bench) -> None:
        """Microsoft Purview exports CSV with the records as JSON in a column."""
        details = [
            '{"Operation":"UserLoggedIn","ClientIP":"192.0.2.7:443","ErrorNumber":0}',
            '{"Operation":"UserLoginFailed","ClientIP":"192.0.2.8","ErrorNumber":50126}',
            '{"Operation":"FileAccessed"}',
            "cut {",
        ]
        table = [
            {"CreationDate": "2026-10-31T05:53:45.0000000Z", "UserId": "ann", "AuditData": text} for text in details
        ]
        names: dict[str, Any] = {"entity": "UserId", "ip": "AuditData.ClientIP", "timestamp": "CreationDate"}
        row = ["ann", "192.0.2.7", "2026-10-31T05:53:45Z"]
        assert bench.of("csv", as_csv(table), **names) == (
            [row, ["ann", "192.0.2.8", row[2]]], {"NO_ADDRESS": 2}
        )  # fmt: skip
        filters = Filters.parse(path=None, status="", where=["AuditData.ErrorNumber=0"])
        bench.extract("csv", LogOptions(**names), filters)
        assert bench.rows() == [row]

    @pytest.mark.parametrize(("log_format", "word"), [("csv", "column"), ("parquet", "column")])
    def test_a_column_that_there_is_not(self, bench: Bench, log_format: str, word: str) -> None:
        """The message names the file, the column, the option and the columns there are."""
        path = bench.put(as_csv(TABLE) if log_format == "csv" else as_parquet(pa.Table.from_pylist(TABLE)))
        with pytest.raises(ClientError) as caught:
            bench.extract(log_format, LogOptions(entity="who"))
        header = ", or use `no_header` if the first row is not a header" if log_format == "csv" else ""
        assert str(caught.value) == (
            f"{path}: There is no {word} 'ip': name one with `ip`{header}. The columns are who, from, when, ok."
        )

    def test_a_first_row_that_only_looks_like_a_header(self, bench: Bench) -> None:
        """An option says that it is a record."""
        log = "alice,unknown\nbob,192.0.2.8\n"
        assert bench.of("csv", log, no_header=True, no_timestamps=True) == ([["bob", "192.0.2.8"]], {"HOST_NAME": 1})

    @pytest.mark.parametrize("name", ['O"Neil', 'Smith, "J"', '"', 'x"', '"x', "back\\slash", "\\"])
    def test_quotes_behind_a_backslash(self, bench: Bench, name: str) -> None:
        """Spark marks a quote inside of quotes with a backslash; others double it."""
        others = 'entity,ip\n"O\\"Hara",192.0.2.6\n'
        spark = name.replace("\\", "\\\\").replace('"', '\\"')
        rows, _ = bench.of("csv", f'{others}"{spark}",192.0.2.7\n', no_timestamps=True)
        assert rows == [['O"Hara', "192.0.2.6"], [name, "192.0.2.7"]]
        doubled = name.replace('"', '""')
        rows, _ = bench.of("csv", f'entity,ip\n"{doubled}",192.0.2.7\nx,192.0.2.8\n', no_timestamps=True)
        assert rows == [[name, "192.0.2.7"], ["x", "192.0.2.8"]]

    def test_quotes_of_no_dialect(self, bench: Bench) -> None:
        """Text behind a closing quote is malformed, instead of a name that nobody has."""
        rows, skipped = bench.of("csv", 'entity,ip\n"a"b,192.0.2.7\n"c",192.0.2.8\n', no_timestamps=True)
        assert (rows, skipped) == ([["c", "192.0.2.8"]], {"MALFORMED": 1})

    def test_files_with_marks_behind_one_another(self, bench: Bench) -> None:
        """A byte order mark is no part of a name."""
        content = "\ufeffann,192.0.2.7\n\ufeffben,192.0.2.8\n"
        assert bench.of("csv", content, no_timestamps=True)[0] == [["ann", "192.0.2.7"], ["ben", "192.0.2.8"]]

    def test_a_first_row_that_cannot_be_read(self, bench: Bench) -> None:
        """An invalid first row is an error, because it may name the columns."""
        path = bench.put('"a"b,ip\nx,192.0.2.7\n')
        with pytest.raises(ClientError) as caught:
            bench.extract("csv")
        assert str(caught.value) == f"{path}: The first row cannot be read as CSV: '\"a\"b,ip'."

    def test_rows_with_a_field_too_many_are_shown(self, bench: Bench) -> None:
        """The example has both numbers of fields. An empty field behind the last is ignored."""
        path = bench.put("entity,ip\nann,192.0.2.7,x\nben,192.0.2.8,\n")
        summary = bench.extract("csv", LogOptions(no_timestamps=True))
        assert summary.examples == {Reason.MALFORMED: f"{path}: 'ann,192.0.2.7,x (3 fields, the first row has 2)'"}

    def test_text_in_another_encoding(self, bench: Bench) -> None:
        """The summary counts entities with escapes, and the encoding can be named."""
        content = "entity;ip\nmüller;192.0.2.7\nbob;192.0.2.8\n".encode("cp1252")
        path = bench.put(content)
        summary = bench.extract("csv", LogOptions(no_timestamps=True))
        assert bench.rows()[0][0] == r"m\xfcller"
        assert str(summary) == (
            "2 records in 1 file: 2 written, 0 skipped.\n"
            "Warning: 1 entity with bytes that are not UTF-8, written as escapes. "
            "Name the encoding with `encoding`, for example cp1252.\n"
            "Written: 2 rows of 2 entities."
        )
        assert str(bench.extract("csv", LogOptions(no_timestamps=True, encoding="cp1252"))) == (
            "2 records in 1 file: 2 written, 0 skipped.\nWritten: 2 rows of 2 entities."
        )
        assert bench.rows()[0][0] == "müller"
        assert path.read_bytes() == content

    def test_csv_rows_of_another_width(self, bench: Bench) -> None:
        """Rows of another width are malformed, and count once for each line."""
        rows = [
            "entity,ip,timestamp",
            "a,192.0.2.7",
            '"a\nb",192.0.2.7',
            '"a\nb",192.0.2.7,1541928605',
            "a,b,c,d",
            "",
            '"a',
        ]
        assert bench.of("csv", "\n".join(rows)) == (
            [["a\nb", "192.0.2.7", "2018-11-11T09:30:05Z"]],
            {"MALFORMED": 5, "BLANK": 1},
        )

    @pytest.mark.parametrize(
        ("content", "names"),
        [
            (b"user,ip\nalice,192.0.2.7\n", {"entity": "user"}),
            (b'user; ip\n"alice"; 192.0.2.7\n', {"entity": "user"}),
            ("user\tip\r\nalice\t192.0.2.7\r\n".encode("utf-16"), {"entity": "user"}),
            ("user,ip\nalice,192.0.2.7\n".encode("utf-16-be").join([b"\xfe\xff", b""]), {"entity": "user"}),
            (b"alice,192.0.2.7\n", {}),
            (b"alice,192.0.2.7\nmallory,::1\n", {}),
            (b"mallory,::1\nalice,192.0.2.7\n", {}),
            (b'"alice"  192.0.2.7\n', {}),
            (b"sep=;\r\nuser;ip\r\nalice;192.0.2.7\r\n", {"entity": "user"}),
            (b'"sep=|"\nalice|192.0.2.7\n', {}),
            (b"user;ip;city, state\nalice;192.0.2.7;x\n", {"entity": "user"}),
            (b"full name,ip,e-mail;phone\nalice,192.0.2.7,x\n", {"entity": "full name"}),
            (b"192.0.2.7|x y|alice\n", {"entity": "3", "ip": "1"}),
        ],
    )
    def test_csv_of_every_make_becomes_rows_to_train_on(
        self, bench: Bench, content: bytes, names: dict[str, str]
    ) -> None:
        """CSV with or without a header, with any usual separator, is read in UTF-8 or UTF-16.

        Rows do not need times if none are requested.
        """
        rows, _ = bench.of("csv", content, **names, no_timestamps=True)
        assert rows == [["alice", "192.0.2.7"]]

    def test_blank_lines_before_the_first_row(self, bench: Bench) -> None:
        """Blank lines in front are counted and do not hide the separator."""
        row = [["alice", "192.0.2.7"]]
        assert bench.of("csv", "\n\r\nwho;ip\nalice;192.0.2.7\n", entity="who", no_timestamps=True) == (
            row,
            {"BLANK": 2},
        )
        assert bench.of("csv", "\nsep=|\nwho|ip\nalice|192.0.2.7\n", entity="who", no_timestamps=True)[0] == row

    @pytest.mark.parametrize("time", ["1601-01-01", "0001-01-01T00:00:00Z", "1999-12-31 23:59:59", "9999-12-31"])
    def test_times_in_years_without_logs(self, bench: Bench, time: str) -> None:
        """Times in implausible years are invalid."""
        assert bench.of("csv", f"alice,192.0.2.7,{time}\nbob,192.0.2.8,2000-01-01\n") == (
            [["bob", "192.0.2.8", "2000-01-01T00:00:00Z"]], {"NO_TIME": 1}
        )  # fmt: skip

    def test_batches_of_long_rows_have_fewer_rows(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """Every row is read once, whatever the size of the batches."""
        monkeypatch.setattr(csv_rows, "_BATCH_CHARACTERS", 100)
        rows = [[f"user_{number}", f"192.0.2.{number}"] for number in range(200)]
        log = "".join(f"{entity},{ip},{'x' * (number % 7 * 30)}\n" for number, (entity, ip) in enumerate(rows))
        assert bench.of("csv", log, no_timestamps=True) == (rows, {})

    def test_csv_without_header_is_taken_by_place(self, bench: Bench) -> None:
        """Entity, address and time are the first three columns."""
        assert bench.of("csv", "alice,192.0.2.7,1541928605\n")[0] == [["alice", "192.0.2.7", "2018-11-11T09:30:05Z"]]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("entity,ip\na,192.0.2.7\n", "There is no column 'timestamp'{} The columns are entity, ip."),
            ("a,192.0.2.7\n", "There is no column '3'{} The columns are 1, 2."),
        ],
    )
    def test_csv_without_times(self, bench: Bench, content: str, message: str) -> None:
        """The message says that they may be left out."""
        with pytest.raises(ClientError) as caught:
            bench.of("csv", content)
        header = ", or use `no_header` if the first row is not a header" if content.startswith("entity") else ""
        told = message.format(f": name one with `timestamp`, or leave times out with `no_timestamps`{header}.")
        assert str(caught.value) == f"{bench.logs / 'log'}: {told}"

    @pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
    def test_text_of_parquet_that_is_no_utf8(self, bench: Bench, kind: pa.DataType) -> None:
        """Text of Parquet that is not UTF-8 is escaped as that of a log."""
        text = pa.array([b"m\xfcller", "m\u00fcller".encode()], pa.binary())
        entity = pa.StringArray.from_buffers(2, *text.buffers()[1:])
        entity = entity.dictionary_encode() if pa.types.is_dictionary(kind) else entity.cast(kind)
        table = pa.table({"entity": entity, "ip": ["192.0.2.7"] * 2, "timestamp": [971211336] * 2})
        parquet.write_table(table, bench.logs / "log")
        assert bench.extract("parquet").num_written == 2
        assert [row[0] for row in bench.rows()] == [r"m\xfcller", "m\u00fcller"]

    def test_csv_with_nothing_in_it(self, bench: Bench) -> None:
        """A file of a header only has no records."""
        bench.put("entity,ip,timestamp\n")
        with pytest.raises(ClientError) as caught:
            bench.extract("csv")
        assert str(caught.value) == "No row was written: there is no record in 1 file."

    @pytest.mark.parametrize(
        "times",
        [
            pa.array([1_541_928_605, None], pa.timestamp("s", "America/New_York")),
            pa.array([1_541_932_205_000, None], pa.timestamp("ms")),
            pa.array([1_541_928_605, None]),
            pa.array([1_541_928_605.0, None]),
            pa.array(["2018-11-11T10:30:05", None], pa.large_string()),
        ],
    )
    def test_times_in_parquet(self, bench: Bench, times: pa.Array) -> None:
        """Times with and without zone, numbers and texts; what has no zone is local."""
        table = pa.table({"entity": ["a", "a"], "ip": ["192.0.2.7"] * 2, "timestamp": times})
        rows, skipped = bench.of("parquet", as_parquet(table), timezone="Europe/Berlin")
        assert rows == [["a", "192.0.2.7", "2018-11-11T09:30:05Z"]]
        assert skipped == {"NO_TIME": 1}

    def test_numbers_as_entities(self, bench: Bench) -> None:
        """A column of any type is taken as text."""
        table = pa.table({"entity": [7], "ip": [b"192.0.2.7"], "timestamp": [date(2018, 11, 11)]})
        assert bench.of("parquet", as_parquet(table))[0] == [["7", "192.0.2.7", "2018-11-11T00:00:00Z"]]
        line = '{"entity": 7, "ip": "192.0.2.7", "timestamp": 1541928605.5}'
        assert bench.of("jsonl", line)[0] == [["7", "192.0.2.7", "2018-11-11T09:30:05.500000Z"]]

    def test_no_parquet(self, bench: Bench) -> None:
        """The message says of which file."""
        path = bench.put("entity,ip")
        with pytest.raises(
            ClientError, match=f"^{path}: The file cannot be read as Parquet: Parquet magic bytes not found"
        ):
            bench.extract("parquet")


def parquet_bytes() -> bytes:
    """Return a small Parquet file of 20 rows."""
    rows = {
        "entity": ["a", "b"] * 10,
        "ip": ["192.0.2.7", "192.0.2.8"] * 10,
        "timestamp": ["2018-11-11T00:00:00Z"] * 20,
    }
    stream = io.BytesIO()
    parquet.write_table(pa.table(rows), stream)
    return stream.getvalue()


PARQUET = parquet_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(
    changes=st.lists(st.tuples(st.integers(0, len(PARQUET) - 1), st.integers(0, 255)), max_size=5),
    length=st.one_of(st.just(len(PARQUET)), st.integers(0, len(PARQUET))),
)
@example(changes=[(PARQUET.rindex(b"timestamp") + 3, 0xFF)], length=len(PARQUET))
@example(changes=[(38, 0)], length=len(PARQUET))
def test_damaged_parquet_is_told(bench: Bench, changes: list[tuple[int, int]], length: int) -> None:
    """A damaged file is read with all records counted, or refused in one line."""
    content = bytearray(PARQUET)
    for place, value in changes:
        content[place] = value
    bench.put(bytes(content[:length]))
    try:
        summary = bench.extract("parquet")
    except ClientError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    assert summary.num_records == summary.num_written + sum(summary.skipped.values())

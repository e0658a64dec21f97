"""Record batches have the rows and the counts of `ipinsights extract`."""

from __future__ import annotations

import datetime as dt
import gzip
import io
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipinsights import Summary, extract_batches
from ipinsights.data.timestamps import format_times
from ipinsights.errors import ClientError, InvalidValueError
from ipinsights.etl.filters import Filters
from ipinsights.etl.records import LogOptions
from ipinsights.etl.summary import NothingUsableError

from .log_samples import COMBINED, SSHD, as_parquet

if TYPE_CHECKING:
    from .log_samples import Bench

WITH_TIMES = pa.schema([("entity", pa.string()), ("ip", pa.string()), ("time", pa.timestamp("us", "UTC"))])
LATIN = COMBINED.encode().replace(b"frank", b"caf\xe9")


def batches_of(content: bytes, log_format: str, **options: Any) -> tuple[list[list[str]], Summary]:
    """Return the rows of a log, times as `extract` writes them, and the sum of the summaries."""
    rows: list[list[str]] = []
    total = Summary()
    for batch, summary in extract_batches(io.BytesIO(content), log_format, **options):
        texts = [batch["entity"].to_pylist(), batch["ip"].to_pylist()]
        if "time" in batch.schema.names:
            texts.append(format_times(batch["time"].cast(pa.int64()).to_numpy()).to_pylist())
        rows += map(list, zip(*texts, strict=True))
        total = total + summary
    return rows, total


LINES = st.sampled_from(
    [
        COMBINED.encode(),
        LATIN,
        b"",
        b"nonsense \xff",
        COMBINED.encode().replace(b"frank", b"-"),
        COMBINED.encode().replace(b"192.0.2.7", b"2001:db8::1"),
        COMBINED.encode().replace(b"192.0.2.7", b"host.example"),
        COMBINED.encode().replace(b"/apache_pb.gif", b"/login"),
        COMBINED.encode().replace(b"frank", b"a, \xe2\x80\x93b"),
    ]
)


@given(st.lists(LINES, max_size=12), st.sampled_from([{}, {"path": "^/login"}, {"ipv6": True}]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_rows_and_counts_are_those_of_extract(bench: Bench, lines: list[bytes], options: dict[str, Any]) -> None:
    """Rows and counts are those of `extract`, also of a log with invalid lines."""
    content = b"\n".join([*lines, COMBINED.encode().replace(b"/apache_pb.gif", b"/login")])
    path = bench.put(content)
    expected = bench.extract("apache", LogOptions(ipv6=options.get("ipv6", False)), Filters(options.get("path")))
    rows, summary = batches_of(content, "apache", name=str(path), **options)
    assert rows == bench.rows()
    assert summary == expected
    assert str(summary) == str(expected)


def test_batches_have_one_schema() -> None:
    """A batch without rows has the schema of all others."""
    for content in (COMBINED.encode(), b"", b"nonsense"):
        batches = [batch for batch, _ in extract_batches(io.BytesIO(content), "apache")]
        assert [batch.schema for batch in batches] == [WITH_TIMES]
    ((batch, summary),) = extract_batches(io.BytesIO(b""), "apache", no_timestamps=True)
    assert batch.schema.names == ["entity", "ip"]
    assert summary == Summary(num_files=1)


@pytest.mark.parametrize("content", [gzip.compress(COMBINED.encode()), COMBINED.encode("utf-16")])
def test_packed_and_encoded_logs_are_read(content: bytes) -> None:
    """What it is shows in the first bytes."""
    assert batches_of(content, "apache")[0] == [["frank", "192.0.2.7", "2000-10-10T20:55:36Z"]]


def test_tables_and_presets_are_read() -> None:
    """Parquet, CSV with named columns, and a preset."""
    table = as_parquet(pa.table({"user": ["a"], "ip": ["192.0.2.7"]}))
    assert batches_of(table, "parquet", entity=["user"], no_timestamps=True)[0] == [["a", "192.0.2.7"]]
    assert batches_of(b"who,ip\na,192.0.2.7\n", "csv", entity="who", no_timestamps=True)[0] == [["a", "192.0.2.7"]]
    event = b'{"actor": "a", "actor_ip": "192.0.2.7", "created_at": 1700000000000}'
    assert batches_of(event, "github")[0] == [["a", "192.0.2.7", "2023-11-14T22:13:20Z"]]


@pytest.mark.parametrize(
    ("written", "year"),
    [(dt.date(2018, 12, 31), "2018"), (dt.datetime(2019, 9, 1), "2018")],  # noqa: DTZ001
)
def test_the_year_is_the_latest_before_a_file_was_written(written: dt.date, year: str) -> None:
    """Times without a year get the latest year before the file was written."""
    ((_, _, time),) = batches_of(SSHD.encode(), "sshd", written=written)[0]
    assert time.startswith(year)


def test_options_are_checked_before_anything_is_read() -> None:
    """Invalid options are refused by the first call, before anything is read."""
    with pytest.raises(InvalidValueError, match=r"^`log_format` must be one of alb, apache, .* Got 'iis'\.$"):
        extract_batches(io.BytesIO(), "iis")
    with pytest.raises(ClientError, match=r"^`entity` cannot be used with apache: its lines have fixed places for it"):
        extract_batches(io.BytesIO(), "apache", entity="user")
    with pytest.raises(ClientError, match=r"^`where` must be FIELD=VALUE\. Got 'x'\.$"):
        extract_batches(io.BytesIO(), "apache", where=["x"])


def test_a_damaged_log_is_named() -> None:
    """The error about a damaged log begins with the name it was given."""
    with pytest.raises(ClientError, match=r"^log\.gz is a damaged gzip file: .*\.$"):
        batches_of(gzip.compress(COMBINED.encode() * 99)[:-20], "apache", name="log.gz")


def test_an_error_begins_with_the_name_of_the_log() -> None:
    """The name is put in front of a sentence that begins with the same word, too."""
    with pytest.raises(ClientError) as caught:
        list(extract_batches(io.BytesIO(b"user,ip\nann,192.0.2.7\n"), "csv", name="There", no_timestamps=True))
    assert str(caught.value) == (
        "There: There is no column 'entity': name one with `entity`, or use `no_header` if the first row is not a "
        "header. The columns are user, ip."
    )


def test_nothing_usable_is_no_error() -> None:
    """Unlike for `extract`: other files may have rows."""
    rows, summary = batches_of(b"nonsense\n", "apache")
    assert (rows, summary.counts) == ([], {"written": 0, "malformed": 1})
    with pytest.raises(NothingUsableError):
        summary.check("apache", is_fixed=True)

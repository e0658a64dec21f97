"""Rows that can be used of records, and what becomes of the others."""

from __future__ import annotations

import io

import pytest

from ipinsights.etl.filters import Filters
from ipinsights.etl.json_records import read_jsonl
from ipinsights.etl.records import LogOptions
from ipinsights.etl.summary import Summary
from ipinsights.etl.usable_rows import usable_rows

LOG = b"""\
{"entity": "ann", "ip": "192.0.2.1", "timestamp": "2026-01-31T00:00:00Z"}
{"entity": "-", "ip": "192.0.2.1", "timestamp": "2026-01-31T00:00:00Z"}
{"entity": "bob", "ip": "[2a00:1::2]", "timestamp": "2026-01-31T00:00:00Z"}
{"entity": "carol", "ip": "::ffff:192.0.2.1", "timestamp": "never"}
"""


@pytest.mark.parametrize(
    ("options", "expected", "counts"),
    [
        (LogOptions(), [("ann", "192.0.2.1")], {"written": 1, "no_user": 1, "ipv6": 1, "no_time": 1}),
        (
            LogOptions(no_timestamps=True, ipv6=True),
            [("ann", "192.0.2.1"), ("bob", "2a00:1::2"), ("carol", "192.0.2.1")],
            {"written": 3, "no_user": 1},
        ),
    ],
)
def test_records_become_rows_or_are_counted(
    options: LogOptions, expected: list[tuple[str, str]], counts: dict[str, int]
) -> None:
    """Each record is a row, or is counted with its reason."""
    (records,) = read_jsonl(io.BytesIO(LOG), options)
    summary = Summary()
    rows = usable_rows(records, Filters(), summary, "log", options)
    assert list(zip(rows.entity.to_pylist(), rows.ip.to_pylist(), strict=True)) == expected
    assert (rows.times is None) == options.no_timestamps
    assert summary.counts == counts

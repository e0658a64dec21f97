"""Samples of every log format, and a folder to extract them in."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from pyarrow import parquet

from ipinsights.etl.filters import Filters
from ipinsights.etl.pipeline import extract
from ipinsights.etl.records import LogOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

    from ipinsights.etl.summary import Summary


class Bench:
    """A folder to put logs into and to extract from."""

    def __init__(self, folder: Path) -> None:
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.output = folder / "rows.csv"

    def put(self, content: str | bytes, name: str = "log") -> Path:
        """Write a log."""
        path = self.logs / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def extract(self, log_format: str, options: LogOptions = LogOptions(), filters: Filters = Filters()) -> Summary:  # noqa: B008
        """Extract from all logs."""
        return extract([self.logs], self.output, log_format=log_format, options=options, filters=filters)

    def rows(self) -> list[list[str]]:
        """Read what was written, as any reader of CSV would."""
        with self.output.open(encoding="utf-8", newline="") as stream:
            return list(csv.reader(stream))

    def of(self, log_format: str, content: str | bytes, /, **columns: Any) -> tuple[list[list[str]], dict[str, int]]:
        """Return the rows of one log, and the number of skipped records by reason."""
        self.put(content)
        summary = self.extract(log_format, LogOptions(**columns))
        rows = self.rows()
        assert summary.num_written == len(rows)
        assert summary.num_records == len(rows) + sum(summary.skipped.values())
        return rows, {reason.name: number for reason, number in summary.skipped.items()}


COMBINED = (
    '192.0.2.7 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif?x=1 HTTP/1.0" 200 2326 "-" "Mozilla/4.08"'
)

FRANK = ["frank", "192.0.2.7", "2000-10-10T20:55:36Z"]

SSHD = "Oct  9 08:15:01 gate sshd[4711]: Accepted publickey for alice from 192.0.2.7 port 50022 ssh2: RSA SHA256:abc"

ALICE = ["alice", "192.0.2.7", "2018-10-09T08:15:01Z"]

FLOW = "2 123456789010 eni-0a1b 192.0.2.7 172.31.9.69 49761 3389 6 20 4249 1418530010 1418530070 REJECT OK"

HEADER = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
)

TRAIL: Mapping[str, Any] = {
    "eventVersion": "1.08",
    "userIdentity": {
        "type": "IAMUser",
        "principalId": "AIDACKCEVSQ6C2EXAMPLE",
        "arn": "arn:aws:iam::123456789012:user/Alice",
        "userName": "Alice",
        "sessionContext": {"attributes": {"mfaAuthenticated": True}},
    },
    "eventTime": "2018-11-11T09:30:05Z",
    "eventName": "ConsoleLogin",
    "sourceIPAddress": "192.0.2.7",
}

CALLER = ["arn:aws:iam::123456789012:user/Alice", "192.0.2.7", "2018-11-11T09:30:05Z"]

TABLE = [
    {"who": "alice", "from": "192.0.2.7", "when": "2018-11-11T09:30:05Z", "ok": "yes"},
    {"who": "bob, jr.", "from": " 192.0.2.8", "when": "2018-11-11T10:30:05+01:00", "ok": "no"},
    {"who": "", "from": "192.0.2.8", "when": "2018-11-11T10:30:05Z", "ok": "no"},
]

NAMES: dict[str, Any] = {"entity": "who", "ip": "from", "timestamp": "when"}

TABLE_ROWS = [["alice", "192.0.2.7", "2018-11-11T09:30:05Z"], ["bob, jr.", "192.0.2.8", "2018-11-11T09:30:05Z"]]


def as_csv(table: Sequence[Mapping[str, str]]) -> str:
    """Write a table as CSV."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(table[0]))
    writer.writeheader()
    writer.writerows(table)
    return stream.getvalue()


def as_jsonl(table: Sequence[Mapping[str, Any]]) -> str:
    """Write a table as JSON Lines."""
    return "".join(f"{json.dumps(row)}\n" for row in table)


def as_parquet(table: pa.Table) -> bytes:
    """Write a table as Parquet, two rows a group."""
    stream = io.BytesIO()
    parquet.write_table(table, stream, row_group_size=2)
    return stream.getvalue()

"""Columns for records without those before them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from .log_samples import as_csv, as_jsonl, as_parquet

if TYPE_CHECKING:
    from .log_samples import Bench

TABLE = [
    {"arn": "ann", "name": "x", "from": "192.0.2.7", "proxy": "192.0.2.1"},
    {"arn": "-", "name": "ben", "from": "unknown", "proxy": "192.0.2.8:443"},
    {"arn": "", "name": "", "from": "", "proxy": "-"},
]
CONTENTS: dict[str, str | bytes] = {
    "csv": as_csv(TABLE),
    "jsonl": as_jsonl(TABLE),
    "parquet": as_parquet(pa.Table.from_pylist(TABLE)),
}


@pytest.mark.parametrize("log_format", CONTENTS)
def test_fallbacks(bench: Bench, log_format: str) -> None:
    """The first column with a value counts, and of addresses the first that is one."""
    names = {"entity": ("arn", "missing", "name"), "ip": ("from", "proxy"), "no_timestamps": True}
    assert bench.of(log_format, CONTENTS[log_format], **names) == (
        [["ann", "192.0.2.7"], ["ben", "192.0.2.8"]], {"NO_USER": 1}
    )  # fmt: skip

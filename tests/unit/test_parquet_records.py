"""Nested columns of Parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from ipinsights.errors import ClientError
from ipinsights.etl.records import LogOptions

from .log_samples import as_parquet

if TYPE_CHECKING:
    from .log_samples import Bench

TABLE = pa.Table.from_pylist(
    [
        {"actor": {"user": {"name": "ann"}}, "src": {"ip": "192.0.2.7"}, "chain": [{"ip": "192.0.2.1"}, {"ip": "x"}]},
        {"actor": {"user": {"name": None}}, "src": {"ip": "192.0.2.8"}, "chain": []},
        {"actor": None, "src": None, "chain": None},
        {"actor": {"user": {"name": "ben"}}, "src": {"ip": None}, "chain": [{"ip": "192.0.2.2"}]},
    ]
)


@pytest.mark.parametrize(
    ("ip", "rows"),
    [
        ("src.ip", [["ann", "192.0.2.7"]]),
        ("chain.0.ip", [["ann", "192.0.2.1"], ["ben", "192.0.2.2"]]),
        ("chain.ip", [["ann", "192.0.2.1"], ["ben", "192.0.2.2"]]),
        ("chain.1.ip", []),
        (("src.ip", "chain.0.ip"), [["ann", "192.0.2.7"], ["ben", "192.0.2.2"]]),
    ],
)
def test_nested_columns(bench: Bench, ip: str, rows: list[list[str]]) -> None:
    """Dots lead inside of structures, numbers to the items of lists."""
    bench.put(as_parquet(pa.concat_tables([TABLE, pa.Table.from_pylist(
        [{"actor": {"user": {"name": "zoe"}}, "src": {"ip": "192.0.2.9"}, "chain": [{"ip": "192.0.2.9"}] * 2}]
    ).cast(TABLE.schema)])))  # fmt: skip
    bench.extract("parquet", LogOptions("actor.user.name", ip, no_timestamps=True))
    assert bench.rows() == [*rows, ["zoe", "192.0.2.9"]]


@pytest.mark.parametrize("name", ["actor.name", "actor.user.name.x", "nobody.at.all"])
def test_a_path_that_leads_nowhere(bench: Bench, name: str) -> None:
    """The message has the paths that there are."""
    path = bench.put(as_parquet(TABLE))
    with pytest.raises(ClientError) as caught:
        bench.extract("parquet", LogOptions(name, "src.ip", no_timestamps=True))
    assert str(caught.value) == (
        f"{path}: There is no column '{name}': name one with `entity`. The columns are actor.user.name, src.ip, chain."
    )

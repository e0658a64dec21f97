"""Nested columns of Parquet."""

from __future__ import annotations

import io
import math
import uuid
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from pyarrow import parquet

from ipinsights.errors import ClientError
from ipinsights.etl.filters import Filters
from ipinsights.etl.pipeline import extract
from ipinsights.etl.records import KeptFields, LogOptions, Reason

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


TIMES = pa.array([1714557600] * 2, pa.timestamp("s"))


def test_unlikely_times_are_counted_and_shown(bench: Bench) -> None:
    """A time in a year that Python does not know is not a time, and its record can be shown."""
    times = pa.array([1714557600, 2**40], pa.timestamp("s"))
    bench.put(as_parquet(pa.table({"entity": ["ann", "bob"], "ip": ["192.0.2.7"] * 2, "timestamp": times})))
    summary = bench.extract("parquet")
    assert summary.skipped == {Reason.NO_TIME: 1}
    assert summary.examples[Reason.NO_TIME].endswith("'entity: bob, ip: 192.0.2.7, timestamp: out of range'")


def test_times_that_are_floating_point_numbers(bench: Bench) -> None:
    """Numbers with gaps, as pandas writes them, are times in the unit that fits."""
    times = [1714557600500.0, math.nan, None, 1e300]
    table = pa.table({"entity": list("abcd"), "ip": ["192.0.2.7"] * 4, "timestamp": pa.array(times, pa.float64())})
    assert bench.of("parquet", as_parquet(table)) == (
        [["a", "192.0.2.7", "2024-05-01T10:00:00.500000Z"]], {"NO_TIME": 3}
    )  # fmt: skip


@pytest.mark.parametrize("extension", [True, False])
def test_uuids(bench: Bench, extension: bool) -> None:  # noqa: FBT001
    """An entity that is a UUID is its text, with the type of Arrow or of Parquet."""
    name = "0a0b0c0d-0e0f-1011-1213-141516171819"
    storage = pa.array([uuid.UUID(name).bytes, None], pa.binary(16))
    if not hasattr(pa, "uuid"):
        pytest.skip("this Arrow knows no UUIDs")
    entity = pa.ExtensionArray.from_storage(pa.uuid(), storage)
    stream = io.BytesIO()
    table = pa.table({"entity": entity, "ip": ["192.0.2.7"] * 2, "timestamp": TIMES})
    parquet.write_table(table, stream, store_schema=extension)
    assert bench.of("parquet", stream.getvalue())[0] == [[name, "192.0.2.7", "2024-05-01T10:00:00Z"]]


def test_lists_and_structures(bench: Bench) -> None:
    """A path leads to the address, in dots or brackets, and without one the error says how."""
    chains = pa.array([{"chain": [{"ip": "192.0.2.7"}]}, {"chain": []}])
    content = as_parquet(pa.table({"entity": ["ann", "bob"], "ip": chains, "timestamp": TIMES}))
    for path in ("ip.chain[0].ip", "ip.chain.0.ip", "ip.chain.ip"):
        assert bench.of("parquet", content, ip=path)[0] == [["ann", "192.0.2.7", "2024-05-01T10:00:00Z"]]
    with pytest.raises(ClientError) as caught:
        bench.of("parquet", content, ip="ip.chain")
    assert str(caught.value) == (
        f"{bench.logs / 'log'}: Column 'ip.chain' holds list<element: struct<ip: string>>: name with `ip` what is "
        "inside, such as ip.chain[0] of lists or ip.chain.NAME of structures."
    )


def test_nested_columns_are_kept_as_json(bench: Bench) -> None:
    """Lists next to entity and address do not refuse a table."""
    roles = pa.array([["admin", "user"], None])
    bench.put(as_parquet(pa.table({"entity": ["ann", "bob"], "ip": ["192.0.2.7"] * 2, "roles": roles})))
    kept = KeptFields(without=("entity", "ip"))
    options = LogOptions(no_timestamps=True)
    extract([bench.logs], bench.output, log_format="parquet", options=options, filters=Filters(), kept=kept)
    assert bench.rows() == [["ann", "192.0.2.7", '["admin", "user"]'], ["bob", "192.0.2.7", ""]]

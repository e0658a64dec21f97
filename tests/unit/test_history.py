"""Histories of parts merge to that of all, and survive tables of Arrow."""

from __future__ import annotations

import pickle
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights import History, IPInsights
from ipinsights.data.entity_hash import hash_entities
from ipinsights.errors import ClientError, InvalidValueError, RowsError

if TYPE_CHECKING:
    import random
    from pathlib import Path

IPS = ["10.0.0.1", "10.0.0.2", "::ffff:10.0.0.1", "2a00:1::1", "2a00:1::2", "2a00:2::1", "fe80::1", "", None]
ROWS = st.lists(st.tuples(st.sampled_from(["ann", "bob", "é", "", None]), st.sampled_from(IPS)), max_size=40)
Rows = list[tuple[str | None, str | None]]
TRAIN = [("alice", "11.0.0.1"), ("bob", "12.0.0.1"), ("bob", "12.0.0.1")]


def of_rows(rows: Rows, **options: Any) -> History:
    """Return the history of some rows."""
    entities, ips = (pa.array([row[at] for row in rows], pa.string()) for at in (0, 1))
    return History.from_pairs(entities, ips, **{"errors": "skip", "ipv6": True, **options})


def content(history: History) -> dict[str, bytes]:
    """Return the bytes of all arrays."""
    return {name: array.tobytes() for name, array in history.pairs.arrays.items()}


@given(ROWS, st.integers(1, 6), st.randoms())
def test_parts_in_any_order_are_one_pass(rows: Rows, num_parts: int, order: random.Random) -> None:
    """Parts merge to the history of all rows at once, two by two, or as tables."""
    parts = [of_rows(rows[part::num_parts]) for part in range(num_parts)]
    order.shuffle(parts)
    whole = of_rows(rows)
    assert content(History.merge(parts)) == content(whole)
    in_pairs = parts[0]
    for part in parts[1:]:
        in_pairs = History.merge([part, in_pairs])
    assert content(in_pairs) == content(whole)
    tables = pa.concat_tables(part.to_arrow() for part in parts)
    assert History.from_arrow(tables) == whole
    assert History.from_arrow(tables.to_pandas().pipe(pa.Table.from_pandas)) == whole


@given(ROWS)
def test_a_history_is_equal_to_what_comes_of_a_table_or_a_pickle(rows: Rows) -> None:
    """A history from a table or a pickle is equal, and so is its hash."""
    history = of_rows(rows, ipv6=False)
    for again in (History.from_arrow(history.to_arrow()), pickle.loads(pickle.dumps(history))):  # noqa: S301 - our own
        assert content(again) == content(history)
        assert (again == history, hash(again) == hash(history), again == "history") == (True, True, False)


@given(ROWS)
def test_counted_pairs_are_the_rows(rows: Rows) -> None:
    """Each row with its count, as a database groups them, is as many rows."""
    table = pd.DataFrame(rows, columns=["entity", "ip"], dtype=object).dropna().value_counts().reset_index(name="count")
    counted = History.from_pairs(table["entity"], table["ip"], table["count"], errors="skip", ipv6=True)
    assert content(counted) == content(of_rows(rows))


def test_hashes_may_be_signed() -> None:
    """Signed hashes, as Spark has them, and decimal counts, as DuckDB sums them, are taken."""
    hashes = np.sort(hash_entities(["ann", "bob", "carol"]))
    unsigned = History.from_counts(hashes, [1, 2, 2**32 - 1], [1, 2, 3])
    signed = History.from_counts(pa.array(hashes.view(np.int64)), pa.array([1, 2, 2**32 - 1]), [Decimal(1), 2, 3])
    assert unsigned == signed
    assert unsigned.pairs.entities.tolist() == hashes.tolist()


def test_large_counts_are_bounded() -> None:
    """A count is at most 2^32 - 1, and sums do not overflow."""
    assert History.from_counts([7, 7], [1, 1], [2**62, 2**62]).pairs.ipv4.counts.tolist() == [2**32 - 1]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([1.5], [1], [1]), "The column entity of a history must hold integers without nulls."),
        (([1], [None], [1]), "The column address of a history must hold integers without nulls."),
        (([1], [1, 2], [1]), "The column address of a history must have 1 rows. Got 2."),
        (([1], [2**32], [1]), "The IPv4 addresses of a history must be numbers from 0 to 2^32 - 1."),
        (([1], [-1], [1]), "The IPv4 addresses of a history must be numbers from 0 to 2^32 - 1."),
        (([1], [1], [0]), "The counts of a history must be at least 1. Got 0."),
        (([1], [1], [Decimal("1.5")]), "The column count of a history must hold integers of 64 bits."),
    ],
)
def test_columns_of_other_values_are_refused(columns: tuple[Any, Any, Any], message: str) -> None:
    """The error names the column and the rule."""
    with pytest.raises(InvalidValueError) as caught:
        History.from_counts(*columns)
    assert str(caught.value) == message


def test_tables_of_other_columns_are_refused() -> None:
    """A missing column, and an address family that does not exist."""
    table = of_rows([("ann", "10.0.0.1")]).to_arrow()
    with pytest.raises(InvalidValueError) as caught:
        History.from_arrow(table.drop_columns(["family"]))
    assert str(caught.value) == "A history must have the columns entity, family, address, count. family is missing."
    with pytest.raises(InvalidValueError) as caught:
        History.from_arrow(table.set_column(1, "family", pa.array([5])))
    assert str(caught.value) == "The column family of a history must hold 4 and 6 only."


def test_invalid_rows_are_refused_unless_they_are_skipped() -> None:
    """An invalid row is an error unless rows are skipped. No other option is accepted."""
    with pytest.raises(RowsError, match=r"^row 1 of the columns: the entity is missing\.$"):
        of_rows([("ann", "10.0.0.1"), (None, "10.0.0.1")], errors="raise")
    with pytest.raises(InvalidValueError, match=r"^errors must be 'raise' or 'skip'\. Got 'null'\.$"):
        of_rows([], errors="null")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return the folder of a model of three rows."""
    estimator = IPInsights(vector_dim=4, epochs=1, num_entity_vectors=20, progress=False, keep_history=True)
    estimator.fit(TRAIN).save(tmp_path / "model")
    return tmp_path / "model"


def test_a_history_is_added_to_a_model(model: Path) -> None:
    """The new history is that of all rows. The same one again is refused, unless it is forced."""
    new = of_rows([("alice", "11.0.0.1"), ("carol", "13.0.0.1")])
    expected = History.merge([of_rows([*TRAIN]), new])
    assert new.add_to(model) == "Merged 2 events.\nThe history has 3 pairs of 3 entities."
    assert History.of_model(model) == expected
    with pytest.raises(ClientError) as caught:
        new.add_to(model)
    assert str(caught.value) == "The history was merged into this history before. Merge it again only with `force`."
    assert History.of_model(model) == expected
    new.add_to(model, force=True)
    assert History.of_model(model) == History.merge([expected, new])


def test_a_model_of_ipv4_takes_no_ipv6(model: Path) -> None:
    """A message says so, and nothing is changed."""
    before = (model / "model_algo-1").read_bytes()
    with pytest.raises(ClientError) as caught:
        of_rows([("alice", "2a00:1::1")]).add_to(model)
    assert str(caught.value) == "The history has IPv6 rows, and the model was trained without ipv6. Leave them out."
    assert (model / "model_algo-1").read_bytes() == before


def test_a_model_without_a_history_takes_none(tmp_path: Path) -> None:
    """A model without a history returns none and accepts none."""
    IPInsights(vector_dim=4, epochs=1, num_entity_vectors=20, progress=False).fit(TRAIN).save(tmp_path)
    for act in (lambda: History.of_model(tmp_path), lambda: of_rows([*TRAIN]).add_to(tmp_path)):
        with pytest.raises(ClientError) as caught:
            act()
        assert str(caught.value) == "This model has no history. Train it with keep_history to have one."

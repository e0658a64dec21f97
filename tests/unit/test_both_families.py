"""Rows of both address families: in their order, apart, and joined."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.data.both_families import (
    by_family,
    join_families,
    read_events,
    read_families,
    read_in_order,
    split_families,
)
from ipinsights.data.entity_hash import hash_entities
from ipinsights.data.ipv6 import Ipv6Rows, parse_addresses
from ipinsights.data.pairs import Pairs
from ipinsights.errors import RowsError

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = ["2a00::1", "10.0.0.1", "2a00::2", "::ffff:10.0.0.2"]
ROWS = st.lists(st.tuples(st.integers(0, 9), st.sampled_from(TEXTS)), max_size=12)


def pairs_of(rows: list[tuple[int, str]]) -> Pairs:
    """Return rows of both families in their order."""
    addresses = parse_addresses(pa.array([text for _, text in rows], pa.string()))
    return Pairs(np.array([entity for entity, _ in rows], dtype=np.uint64), addresses.ips, addresses)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a channel of two files with rows of both families."""
    (tmp_path / "a.csv").write_text("a,2a00::1\nb,10.0.0.1\n")
    (tmp_path / "b.csv").write_text("c,2a00::2\nd,::ffff:10.0.0.2\n")
    return tmp_path


def test_reading_in_order(folder: Path) -> None:
    """The rows of all files come one after another, whatever their family."""
    pairs = read_in_order(folder)
    assert pairs.entities.tolist() == hash_entities(["a", "b", "c", "d"]).tolist()
    assert pairs.addresses is not None
    assert pairs.addresses.is_ipv6.tolist() == [True, False, True, False]
    assert pairs.addresses.lower.tolist() == [1, 0, 2, 0]
    assert pairs.ips.tolist() == [0, 0x0A000001, 0, 0x0A000002]


def test_reading_apart(folder: Path) -> None:
    """IPv4 rows and IPv6 rows, and for a scorer the IPv4 rows first."""
    ipv4, ipv6 = read_families(folder, ipv6=True)
    assert ipv4.entities.tolist() == hash_entities(["b", "d"]).tolist()
    assert ipv6 is not None
    assert ipv6.entities.tolist() == hash_entities(["a", "c"]).tolist()
    assert read_events(folder, ipv6=True).entities.tolist() == hash_entities(["b", "d", "a", "c"]).tolist()


def test_ipv6_is_refused_unless_it_is_wanted(folder: Path) -> None:
    """An IPv6 row is an error unless IPv6 is wanted."""
    with pytest.raises(RowsError, match="'2a00::1' is no IPv4 address: it looks like IPv6; leave such rows out"):
        read_families(folder, ipv6=False)
    (folder / "a.csv").write_text("a,10.0.0.1\n")
    (folder / "b.csv").write_text("a,10.0.0.1\n")
    pairs, ipv6 = read_families(folder, ipv6=False)
    assert (len(pairs), ipv6) == (2, None)


def test_rows_are_collected_apart_and_joined() -> None:
    """IPv6 rows stand behind the IPv4 rows."""
    rows, entities = Ipv6Rows(), np.array([1, 2, 3], dtype=np.uint64)
    rows.append(entities, parse_addresses(pa.array(["10.0.0.1", "2a00::1", "2a00::2"])))
    ipv4 = Pairs(entities[:1], np.array([0x0A000001], dtype=np.uint32))
    both = join_families(ipv4, rows.pairs())
    assert both.addresses is not None
    assert both.addresses.is_ipv6.tolist() == [False, True, True]
    assert both.addresses.lower.tolist() == [0, 1, 2]
    assert both[1:].entities.tolist() == [2, 3]
    for nothing in (Ipv6Rows().pairs(), None):
        assert join_families(ipv4, nothing).fingerprint == ipv4.fingerprint
    assert join_families(ipv4, rows.pairs()).fingerprint == both.fingerprint != ipv4.fingerprint


@given(ROWS)
def test_splitting_keeps_the_order_of_each_family(rows: list[tuple[int, str]]) -> None:
    """Splitting keeps the order of each family, and joining puts IPv4 first.

    The fingerprint is the same for any mixture of the families.
    """
    is_ipv6 = [text.startswith("2a00") for _, text in rows]
    ipv4, ipv6 = split_families(pairs_of(rows))
    assert ipv4.entities.tolist() == [entity for (entity, _), six in zip(rows, is_ipv6, strict=True) if not six]
    assert ipv6.entities.tolist() == [entity for (entity, _), six in zip(rows, is_ipv6, strict=True) if six]
    assert ipv4.addresses is None
    sorted_rows = sorted(rows, key=lambda row: row[1].startswith("2a00"))
    assert by_family(pairs_of(rows)).fingerprint == by_family(pairs_of(sorted_rows)).fingerprint
    assert by_family(pairs_of(rows)).fingerprint == join_families(ipv4, ipv6).fingerprint


def test_rows_without_addresses_are_ipv4() -> None:
    """Rows without addresses of both families are split and sorted without a copy."""
    pairs = Pairs(np.array([1], dtype=np.uint64), np.array([2], dtype=np.uint32))
    assert split_families(pairs)[0] is by_family(pairs) is pairs
    assert len(split_families(pairs)[1]) == 0

"""Lines of tables: which rows share one, and what a line says."""

from __future__ import annotations

import numpy as np

from ipinsights.inference.prefix_tables import CrowdTable, OwnTable, RowsByAddress
from ipinsights.inference.prefix_trie import IPV4
from ipinsights.model.pair_history import PairHistory


def test_rows_by_address() -> None:
    """Rows are sorted stably by address, and each row has the rank of its address."""
    rows = RowsByAddress.of(np.array([7, 3, 7, 5], dtype=np.uint32))
    assert rows.distinct.tolist() == [3, 5, 7]
    assert rows.order.tolist() == [1, 3, 0, 2]
    assert rows.bounds.tolist() == [0, 1, 2, 4]
    assert rows.ranks().tolist() == [2, 0, 2, 1]


def test_rows_that_are_alone_share_lines() -> None:
    """Rows without neighbours share lines of the table.

    A thousand entities at an address each need one line for their count of 1, and one line for no node.
    """
    entities = np.arange(1000, dtype=np.uint64)
    history = PairHistory.from_pairs(entities, (entities * np.uint64(2**20)).astype(np.uint32))
    by_address = RowsByAddress.of(history.ipv4.addresses)
    own = OwnTable(IPV4, history.ipv4, by_address.ranks())
    assert [table.shape for table in own._tables] == [(2, 4)] * 7


def test_the_crowd_counts_entities_and_events() -> None:
    """Two entities at one address, one of them twice, and one of them next door."""
    entities, ips = np.array([1, 1, 2, 2], dtype=np.uint64), np.array([9, 9, 9, 8], dtype=np.uint32)
    history = PairHistory.from_pairs(entities, ips)
    by_address = RowsByAddress.of(history.ipv4.addresses)
    crowd = CrowdTable(IPV4, by_address, OwnTable(IPV4, history.ipv4, by_address.ranks()), history.ipv4)
    asked = np.array([9, 8, 10, 2**31], dtype=np.uint32)
    counts = crowd.look_up(crowd.trie.find(asked, crowd.ranks(asked)))
    assert counts[-1].entities.tolist() == [2, 1, 0, 0]
    assert counts[-1].events.tolist() == [3, 1, 0, 0]
    assert counts[-2].entities.tolist() == [2, 2, 2, 0]
    assert counts[-2].inside.tolist() == [3, 3, 3, 0]
    assert counts[-2].num_parts.tolist() == [3, 3, 3, 1]
    assert counts[0].entities.tolist() == [2, 2, 2, 2]
    assert crowd.num_prefixes == {0: 1, 8: 1, 12: 1, 16: 1, 20: 1, 24: 1, 28: 1, 32: 2}

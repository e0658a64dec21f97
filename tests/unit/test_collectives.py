"""Collectives of a host alone: every answer is its own."""

from __future__ import annotations

import numpy as np
import pytest

from ipinsights.data.pairs import Pairs
from ipinsights.training.collectives import ProcessGroup, SingleHost


@pytest.mark.parametrize("wanted", [True, False])
def test_a_host_alone_decides(wanted: bool) -> None:  # noqa: FBT001
    """It stops and saves when it wants to, and only then."""
    group = ProcessGroup()
    assert (group.rank, group.size, group.num_base_batches) == (0, 1, None)
    assert group.agree_to_stop(wanted) is wanted
    assert group.agree_to_save(wanted) is wanted


def test_a_host_alone_has_all_facts_and_bits() -> None:
    """What it gathers is what it gave, and it waits for nobody."""
    group = ProcessGroup()
    bits = np.array([0b101, 0], dtype=np.uint8)
    group.wait()
    assert list(group.gather({"rows": 3})) == [{"rows": 3}]
    assert group.any_of(bits).tolist() == [0b101, 0]


@pytest.mark.parametrize("is_sharded", [True, False])
def test_a_host_alone_trains_on_all_rows(is_sharded: bool) -> None:  # noqa: FBT001
    """Whether a channel is sharded makes no difference."""
    pairs = Pairs(np.arange(3, dtype=np.uint64), np.arange(3, dtype=np.uint32))
    host = SingleHost()
    assert host.share(pairs, is_sharded=is_sharded) is pairs
    assert (host.is_first, host.size, host.has_servers) == (True, 1, False)

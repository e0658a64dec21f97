"""Collectives that follow from a sum, and those of a host alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipinsights.training import collectives
from ipinsights.training.collectives import SAVE, STOP, ProcessGroup, SingleHost

from .thread_group import on_hosts

SIZES = pytest.mark.parametrize("size", [1, 2, 3, 4])


@pytest.mark.parametrize("wanted", [True, False])
def test_a_host_alone_decides(wanted: bool) -> None:  # noqa: FBT001
    """A host alone stops and saves when it votes for it, and only then."""
    group = ProcessGroup()
    group.votes[:] = wanted
    assert (group.rank, group.size) == (0, 1)
    assert group.agree_to_stop(wanted) is wanted
    assert (group.has_agreed(STOP), group.has_agreed(SAVE)) == (wanted, wanted)


def test_a_host_alone_has_all_facts_bits_and_parts() -> None:
    """What it gathers is what it gave, and it waits for nobody."""
    group = ProcessGroup()
    bits = np.array([0b101, 0], dtype=np.uint8)
    group.wait()
    assert list(group.gather({"rows": 3})) == [{"rows": 3}]
    assert group.any_of(bits).tolist() == [0b101, 0]
    assert [part.tolist() for part in group.exchange([np.arange(3)])] == [[0, 1, 2]]


def test_a_host_alone_is_first() -> None:
    """The only host of a job is the first in a group of one."""
    host = SingleHost()
    assert (host.is_first, host.rank, host.size, host.is_distributed) == (True, 0, 1, False)
    assert type(host.join({})) is ProcessGroup


@SIZES
@pytest.mark.parametrize("dtype", [np.uint8, np.uint32, np.uint64, np.int64, np.float32])
def test_all_parts_come_in_the_order_of_ranks(size: int, dtype: Any) -> None:
    """Every host has all parts to the bit, of any type and length, empty ones too."""
    limits = np.iinfo(dtype) if np.issubdtype(dtype, np.integer) else np.finfo(dtype)
    parts = [np.array([limits.max, limits.min, rank + 1] * rank, dtype=dtype) for rank in range(size)]
    for found in on_hosts(size, lambda group: group.all_parts(parts[group.rank])):
        assert [part.tobytes() for part in found] == [part.tobytes() for part in parts]
        assert {part.dtype for part in found} == {np.dtype(dtype)}


@given(lengths=st.lists(st.integers(0, 9), min_size=4, max_size=4), piece=st.sampled_from([1, 2, 7, 64]))
@settings(max_examples=15, deadline=None)
def test_long_messages_are_cut_into_pieces(lengths: list[int], piece: int) -> None:
    """However long the pieces are, nothing is lost."""
    sent = [np.full(length, 5 * index, dtype=np.uint64) for index, length in enumerate(lengths)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collectives, "_PIECE", piece)
        found = on_hosts(2, lambda group: group.exchange(sent[2 * group.rank : 2 * group.rank + 2]))
    assert [[part.tolist() for part in parts] for parts in found] == [
        [[0] * lengths[0], [10] * lengths[2]],
        [[5] * lengths[1], [15] * lengths[3]],
    ]


@SIZES
def test_facts_and_bits_are_of_all_hosts(size: int) -> None:
    """Any text of JSON, and the bitwise or."""
    facts = [{"rank": rank, "name": "Zoë" * 500 * rank} for rank in range(size)]
    bits = [np.array([1 << rank, 0, 255 * (rank == 0)], dtype=np.uint8) for rank in range(size)]
    for gathered, joined in on_hosts(
        size, lambda group: (group.gather(facts[group.rank]), group.any_of(bits[group.rank]))
    ):
        assert gathered == facts
        assert joined.tolist() == [(1 << size) - 1, 0, 255]


def test_votes_travel_with_the_sum_of_a_step() -> None:
    """A vote of one host counts on all hosts once a step has carried it."""

    def vote(group: ProcessGroup) -> list[Any]:
        buffer = np.ones(5, dtype=np.float32)
        group.reduce_step(buffer)
        before = [group.has_agreed(STOP), group.has_agreed(SAVE)]
        group.votes[SAVE] = group.rank == 1
        still = group.has_agreed(SAVE)
        group.reduce_step(np.ones(5, dtype=np.float32))
        return [buffer[:3].tolist(), before, still, group.has_agreed(STOP), group.has_agreed(SAVE)]

    assert on_hosts(2, vote) == [[[2, 2, 2], [False, False], False, False, True]] * 2


def test_a_stop_outside_of_a_step_is_agreed_on() -> None:
    """All hosts stop if one of them wants to."""
    assert on_hosts(3, lambda group: group.agree_to_stop(group.rank == 2)) == [True] * 3
    assert on_hosts(3, lambda group: group.agree_to_stop(False)) == [False] * 3

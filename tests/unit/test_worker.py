"""The worker's view of its host: its part of the data, and what it reports before training."""

from __future__ import annotations

import multiprocessing
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ipinsights
from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.data.pairs import Pairs
from ipinsights.distributed.cluster import Cluster
from ipinsights.distributed.worker import ClusterHost
from ipinsights.errors import ClientError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


def host(rank: int, size: int, pipe: Connection | None = None) -> ClusterHost:
    """Return a host of a job on this machine."""
    ours = pipe or multiprocessing.Pipe()[0]
    return ClusterHost(Cluster.loopback(size, rank, 9000), {}, ours)


def rows(size: int) -> Pairs:
    """Return pairs that can be told apart."""
    return Pairs(np.arange(size, dtype=np.uint64), np.arange(size, dtype=np.uint32) + 100)


class TestShare:
    """Which rows a host trains on."""

    @pytest.mark.parametrize(("num_rows", "size"), [(10, 3), (3, 3), (7, 1)])
    def test_each_row_is_one_host_s(self, num_rows: int, size: int) -> None:
        """Rows of a channel that all hosts have go round the hosts, and the first hosts have one more."""
        parts = [host(rank, size).share(rows(num_rows), is_sharded=False) for rank in range(size)]
        for rank, part in enumerate(parts):
            assert part.entities.tolist() == list(range(rank, num_rows, size))
            assert part.ips.tolist() == list(range(rank + 100, num_rows + 100, size))

    def test_the_part_lets_go_of_the_whole(self) -> None:
        """The part is a copy, so that the memory of all rows can be freed."""
        pairs = rows(10)
        part = host(0, 2).share(pairs, is_sharded=False)
        assert not np.shares_memory(part.entities, pairs.entities)
        assert not np.shares_memory(part.ips, pairs.ips)

    def test_a_shard_is_not_divided(self) -> None:
        """Its rows are this host's already, however few they are."""
        pairs = rows(1)
        assert host(1, 2).share(pairs, is_sharded=True) is pairs

    def test_fewer_rows_than_hosts(self) -> None:
        """The message has both numbers and the name of the host."""
        with pytest.raises(ClientError) as caught:
            host(1, 3).share(rows(2), is_sharded=False)
        assert str(caught.value) == (
            "The training data has 2 rows for 3 hosts: host 'algo-2' or a later one would have none. Use fewer hosts."
        )


@pytest.mark.parametrize(("rank", "is_first"), [(0, True), (1, False)])
def test_the_first_host_saves(rank: int, is_first: bool) -> None:  # noqa: FBT001
    """Every host has servers, and one of them is the first."""
    found = host(rank, 2)
    assert (found.is_first, found.size, found.has_servers) == (is_first, 2, True)


def test_what_hosts_must_agree_on() -> None:
    """Hyperparameters, further terms and the version are reported, and the facts of all hosts come back."""
    ours, theirs = multiprocessing.Pipe()
    given = Hyperparameters(num_entity_vectors=30, vector_dim=8)
    everybody = [{"num_base_batches": 4}, {"num_base_batches": 7}]
    reported: list[dict[str, Any]] = []

    def supervise() -> None:
        reported.append(theirs.recv())
        theirs.send(everybody)

    supervisor = threading.Thread(target=supervise)
    supervisor.start()
    found = host(1, 2, ours)._rendezvous(given, {"the seed": "3"}, num_base_batches=7)
    supervisor.join()
    assert found == everybody
    assert reported[0]["ready"]["num_base_batches"] == 7
    agreed = reported[0]["ready"]["agreed"]
    assert agreed.pop("the seed") == "3"
    assert agreed.pop("the version of ipinsights") == ipinsights.__version__
    assert agreed == {name: f"'{value}'" for name, value in given.to_strings().items()}
    assert (agreed["num_entity_vectors"], agreed["vector_dim"]) == ("'30'", "'8'")

"""The worker's view of its host, and what it reports before training."""

from __future__ import annotations

import multiprocessing
import threading
from typing import TYPE_CHECKING, Any

import pytest

from ipinsights.distributed.cluster import Cluster
from ipinsights.distributed.worker import ClusterHost

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


def host(rank: int, size: int, pipe: Connection | None = None) -> ClusterHost:
    """Return a host of a job on this machine."""
    ours = pipe or multiprocessing.Pipe()[0]
    return ClusterHost(Cluster.loopback(size, rank, 9000), {}, ours)


@pytest.mark.parametrize(("rank", "is_first"), [(0, True), (1, False)])
def test_the_first_host_saves(rank: int, is_first: bool) -> None:  # noqa: FBT001
    """One of the hosts is the first."""
    found = host(rank, 2)
    assert (found.is_first, found.rank, found.size, found.is_distributed) == (is_first, rank, 2, True)


def test_a_worker_waits_until_all_are_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """What hosts must agree on is reported, and the store is connected after the answer."""
    ours, theirs = multiprocessing.Pipe()
    connected: list[Any] = []
    monkeypatch.setattr("ipinsights.distributed.kvstore_roles.connect", connected.append)
    reported: list[dict[str, Any]] = []

    def supervise() -> None:
        reported.append(theirs.recv())
        assert not connected
        theirs.send([])

    supervisor = threading.Thread(target=supervise)
    supervisor.start()
    group = host(1, 2, ours).join({"the seed": "3"})
    supervisor.join()
    assert reported == [{"ready": {"agreed": {"the seed": "3"}}}]
    assert connected == [{}]
    assert (group.rank, group.size) == (1, 2)

"""The worker of a training job on several hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipinsights.training.collectives import SingleHost

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection

    from ipinsights.distributed.cluster import Cluster
    from ipinsights.training.collectives import ProcessGroup

__all__ = ["ClusterHost"]


class ClusterHost(SingleHost):
    """The context of a host in a job on several hosts, whose supervisor does the rendezvous."""

    def __init__(self, cluster: Cluster, environment: Mapping[str, str], supervisor: Connection) -> None:
        self._environment = environment
        self._supervisor = supervisor
        self.is_distributed = True
        self.rank, self.size = cluster.rank, cluster.size

    def join(self, terms: Mapping[str, str]) -> ProcessGroup:
        """Wait until every host has read its data, and return their group."""
        from ipinsights.distributed.kvstore_collectives import KVStoreGroup
        from ipinsights.distributed.kvstore_roles import connect

        self._supervisor.send({"ready": {"agreed": dict(terms)}})
        self._supervisor.recv()
        return KVStoreGroup(self.rank, self.size, connect(self._environment))

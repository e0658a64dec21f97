"""The worker of a training job on several hosts, whose parameters are on servers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import ipinsights
from ipinsights.data.pairs import Pairs
from ipinsights.errors import ClientError
from ipinsights.training.collectives import SingleHost

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from multiprocessing.connection import Connection

    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.data.ipv6 import Ipv6Pairs
    from ipinsights.distributed.cluster import Cluster
    from ipinsights.model._mxnet import mx
    from ipinsights.training.collectives import ProcessGroup
    from ipinsights.training.learners.learner import Learner

__all__ = ["ClusterHost"]


class ClusterHost(SingleHost):
    """The context of a host in a job on several hosts.

    Parameters
    ----------
    cluster
        The hosts of the job, from this one's point of view.
    environment
        MXNet's environment for a worker of this host.
    supervisor
        Pipe to the supervisor, which does the rendezvous.
    """

    def __init__(self, cluster: Cluster, environment: Mapping[str, str], supervisor: Connection) -> None:
        self._cluster = cluster
        self._environment = environment
        self._supervisor = supervisor
        self.has_servers = True
        self.is_first = cluster.rank == 0
        self.size = cluster.size

    def share(self, pairs: Pairs, *, is_sharded: bool) -> Pairs:
        """Return this host's part of a channel: all of a shard, else every row whose index is the rank modulo the size.

        Raises
        ------
        ClientError
            There are fewer rows than hosts.
        """
        if is_sharded:
            return pairs
        if len(pairs) < self.size:
            raise ClientError(
                f"The training data has {len(pairs)} rows for {self.size} hosts: host '{self._cluster.name}' or a "
                "later one would have none. Use fewer hosts."
            )
        part = slice(self._cluster.rank, None, self.size)
        return Pairs(pairs.entities[part].copy(), pairs.ips[part].copy())

    def share_ipv6(self, rows: Ipv6Pairs, *, is_sharded: bool) -> Ipv6Pairs:
        """Return this host's part of the IPv6 rows: all of a shard, otherwise the rows of its turn."""
        return rows if is_sharded else rows[self._cluster.rank :: self.size]

    def build_learner(
        self,
        hyperparameters: Hyperparameters,
        *,
        gpus: Sequence[mx.Context],
        store: str,
        seed: int,
        num_rows: int,
        terms: Mapping[str, str],
        engine: str = "auto",  # noqa: ARG002 - several hosts train with MXNet
        num_threads: int | None = None,  # noqa: ARG002 - MXNet reads OMP_NUM_THREADS
    ) -> tuple[Learner, ProcessGroup]:
        """Return a learner with its parameters on the servers. Wait until every host has read its data."""
        from ipinsights.distributed.kvstore_collectives import KVStoreGroup
        from ipinsights.distributed.kvstore_roles import connect
        from ipinsights.model._mxnet import mx
        from ipinsights.training.learners.kvstore import ParallelLearner

        own = math.ceil(num_rows / hyperparameters.mini_batch_size)
        own_terms = {"_kvstore": store, "the seed": str(seed), **terms}
        everybody = self._rendezvous(hyperparameters, own_terms, num_base_batches=own)
        connected = connect(self._environment, store)
        devices = gpus or [mx.cpu()]
        learner = ParallelLearner(hyperparameters, devices=devices, store=connected, seed=seed, is_first=self.is_first)
        longest = max(facts["num_base_batches"] for facts in everybody)
        return learner, KVStoreGroup(self._cluster.rank, self.size, longest, connected)

    def _rendezvous(
        self, hyperparameters: Hyperparameters, terms: Mapping[str, str], *, num_base_batches: int
    ) -> list[dict[str, Any]]:
        """Report that this host is ready, and return the facts of all hosts by rank."""
        agreed = {
            **{name: f"'{value}'" for name, value in hyperparameters.to_strings().items()},
            **terms,
            "the version of ipinsights": ipinsights.__version__,
        }
        self._supervisor.send({"ready": {"agreed": agreed, "num_base_batches": num_base_batches}})
        everybody: list[dict[str, Any]] = self._supervisor.recv()
        return everybody

"""The hosts that train one model together: collectives for the training loop, and the context of this host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.data.ipv6 import Ipv6Pairs
    from ipinsights.data.pairs import Pairs
    from ipinsights.model._mxnet import mx
    from ipinsights.training.learners.learner import Learner

__all__ = ["ProcessGroup", "SingleHost"]


@dataclass(frozen=True)
class ProcessGroup:
    """The collectives of a job's hosts. This base class is a group of one host.

    Attributes
    ----------
    rank
        Rank of this host, from 0.
    size
        Number of hosts.
    num_base_batches
        Number of base batches in an epoch of the host that has most, so that epochs end together. None for one host.
    """

    rank: int = 0
    size: int = 1
    num_base_batches: int | None = None

    def agree_to_stop(self, wanted: bool) -> bool:  # noqa: FBT001
        """Return whether any host wants to stop. Every host calls this at the same places."""
        return wanted

    def agree_to_save(self, wanted: bool) -> bool:  # noqa: FBT001
        """Return whether any host wants to save now. Every host calls this at the same places."""
        return wanted

    def gather(self, facts: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Return the facts of each host by rank: small mappings that JSON can hold."""
        return [facts]

    def any_of(self, bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the bitwise or over all hosts of packed bits, (n,). Every host calls this."""
        return bits

    def all_parts(self, part: NDArray[Any]) -> list[NDArray[Any]]:
        """Return the parts of all hosts by rank, (n,) each of one type. Every host calls this at the same places."""
        return [part]

    def wait(self) -> None:
        """Wait at a barrier until every host has called this."""


class SingleHost:
    """The context of the only host of a job.

    Attributes
    ----------
    is_first
        Whether this host validates and saves.
    size
        Number of hosts.
    has_servers
        Whether parameters are on servers, which split an entity table of any size.
    """

    is_first = True
    size = 1
    has_servers = False

    def share(self, pairs: Pairs, *, is_sharded: bool) -> Pairs:  # noqa: ARG002
        """Return this host's part of a channel."""
        return pairs

    def share_ipv6(self, rows: Ipv6Pairs, *, is_sharded: bool) -> Ipv6Pairs:  # noqa: ARG002
        """Return this host's part of the IPv6 rows of a channel."""
        return rows

    def build_learner(
        self,
        hyperparameters: Hyperparameters,
        *,
        gpus: Sequence[mx.Context],
        store: str,
        seed: int,
        num_rows: int,  # noqa: ARG002
        terms: Mapping[str, str],  # noqa: ARG002
        engine: str = "auto",
        num_threads: int | None = None,
    ) -> tuple[Learner, ProcessGroup]:
        """Return a learner, and the group of hosts that it trains with.

        Parameters
        ----------
        hyperparameters, gpus, store, seed, engine, num_threads
            As in :func:`ipinsights.training.learners.devices.build_learner`.
        num_rows
            Number of training rows of this host.
        terms
            Further settings that all hosts must have alike, by their names in messages.
        """
        from ipinsights.training.learners.devices import build_learner

        learner = build_learner(
            hyperparameters, gpus=gpus, store=store, seed=seed, engine=engine, num_threads=num_threads
        )
        return learner, ProcessGroup()

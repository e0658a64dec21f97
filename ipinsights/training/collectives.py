"""The hosts that train one model together, as the training loop sees them; on one machine, a team of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.data.pairs import Pairs
    from ipinsights.model._mxnet import mx
    from ipinsights.training.learners.learner import Learner

__all__ = ["Alone", "Team"]


@dataclass(frozen=True)
class Team:
    """A host in its team; this base class is a host alone.

    Attributes
    ----------
    rank
        Of this host, from 0.
    size
        Number of hosts.
    num_base_batches
        Base batches in an epoch of the host that has most, so that epochs end together; None for a host alone.
    """

    rank: int = 0
    size: int = 1
    num_base_batches: int | None = None

    def agree_to_stop(self, wanted: bool) -> bool:  # noqa: FBT001
        """Say whether any host wants to stop; every host asks at the same places, and gets the same answer."""
        return wanted

    def agree_to_save(self, wanted: bool) -> bool:  # noqa: FBT001
        """Say whether any host wants to save now."""
        return wanted

    def gather(self, facts: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Give what each host says, a small mapping that JSON can hold, in their order."""
        return [facts]

    def any_of(self, bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Give the bits, eight in a byte (n,), that any host has set; every host calls this at the same places."""
        return bits

    def wait(self) -> None:
        """Wait until every host has come here."""


class Alone:
    """The only host of a job.

    Attributes
    ----------
    is_first
        Whether this host validates and saves.
    size
        Number of hosts.
    has_servers
        Whether parameters lie on servers, which split an entity table of any size.
    """

    is_first = True
    size = 1
    has_servers = False

    def share(self, pairs: Pairs, *, is_sharded: bool) -> Pairs:  # noqa: ARG002
        """Give this host's part of a channel."""
        return pairs

    def build_learner(
        self,
        hyperparameters: Hyperparameters,
        *,
        gpus: Sequence[mx.Context],
        store: str,
        seed: int,
        num_rows: int,  # noqa: ARG002
        terms: Mapping[str, str],  # noqa: ARG002
    ) -> tuple[Learner, Team]:
        """Give a learner, and the team it learns in.

        Parameters
        ----------
        hyperparameters, gpus, store, seed
            As in :func:`ipinsights.training.learners.devices.build_learner`.
        num_rows
            Training rows of this host.
        terms
            What else all hosts must have alike, by its names in messages.
        """
        from ipinsights.training.collectives import Team
        from ipinsights.training.learners.devices import build_learner

        return build_learner(hyperparameters, gpus=gpus, store=store, seed=seed), Team()

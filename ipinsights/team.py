"""The hosts that train one model together, as the training loop sees them; on one machine, a team of one."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Team"]


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

"""The hosts that train one model together, as the training loop sees them; on one machine, a team of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

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

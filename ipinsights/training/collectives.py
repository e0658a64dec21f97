"""Collectives for the training loop of the hosts of one model, and the host's context.

Every collective follows from one operation, the sum of float32 numbers over all hosts. Integers travel as halves of 16
bits, which float32 holds exactly, and each half is zero on all hosts but one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["SAVE", "STOP", "ProcessGroup", "SingleHost"]

STOP, SAVE = range(2)
"""What a host votes for: to stop the run, and to save a checkpoint."""

# Numbers that are summed at a time where many are: 4 MB.
_PIECE = 2**20
# Shorter messages are padded to this number of halves, so that few lengths occur.
_SHORTEST = 64


class ProcessGroup:
    """The collectives of a job's hosts. This base class is a group of one host.

    Every host calls a collective at the same place. Subclasses replace :meth:`allreduce`. The ``votes`` of this host
    for the next sum of a step are 0 or 1 at ``STOP`` and ``SAVE``.

    >>> group = ProcessGroup()
    >>> group.gather({"rows": 3})
    [{'rows': 3}]
    >>> group.agree_to_stop(True)
    True
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size
        self.votes = np.zeros(2, dtype=np.float32)
        self._counted: NDArray[np.float32] | None = None

    def allreduce(self, values: NDArray[np.float32]) -> None:
        """Replace numbers (n,) by their sums over all hosts, which have the same bits on each."""

    def exchange(self, parts: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Send one array (n,) to each host, and return what each host sent to this one, by rank."""
        received: list[NDArray[Any]] = []
        for host, part in enumerate(parts):
            sent = self.all_parts(part)
            if host == self.rank:
                received = sent
        return received

    def reduce_step(self, buffer: NDArray[np.float32]) -> None:
        """Replace numbers (n,) by their sums over all hosts, where the last two carry the votes."""
        buffer[-len(self.votes) :] = self.votes
        self.allreduce(buffer)
        self._counted = buffer[-len(self.votes) :].copy()

    def has_agreed(self, vote: int) -> bool:
        """Return whether any host has voted for ``STOP`` or ``SAVE``, as of the last step."""
        return bool((self.votes if self._counted is None else self._counted)[vote] > 0)

    def agree_to_stop(self, wanted: bool) -> bool:  # noqa: FBT001
        """Return whether any host wants to stop, outside of a step."""
        votes = np.full(1, wanted, dtype=np.float32)
        self.allreduce(votes)
        return bool(votes[0] > 0)

    def gather(self, facts: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Return the facts of each host by rank: mappings that JSON can hold."""
        parts = self.all_parts(np.frombuffer(json.dumps(facts).encode(), dtype=np.uint8))
        return [json.loads(part.tobytes()) for part in parts]

    def any_of(self, bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the bitwise or over all hosts of packed bits, (n,)."""
        pieces = [self.all_parts(bits[start : start + _PIECE]) for start in range(0, len(bits), _PIECE)]
        return np.concatenate([np.bitwise_or.reduce(parts) for parts in pieces])

    def all_parts(self, part: NDArray[Any]) -> list[NDArray[Any]]:
        """Return the parts of all hosts by rank, (n,) each of one type."""
        sizes = np.zeros(self.size, dtype=np.int64)
        sizes[self.rank] = len(part)
        ends = np.cumsum(self._joined(sizes))
        content = np.zeros(int(ends[-1]), dtype=part.dtype)
        content[ends[self.rank] - len(part) : ends[self.rank]] = part
        return np.split(self._joined(content), ends[:-1])

    def wait(self) -> None:
        """Wait at a barrier until every host has called this."""
        self.allreduce(np.zeros(1, dtype=np.float32))

    def _joined(self, content: NDArray[Any]) -> NDArray[Any]:
        """Return an array (n,) of which each byte is zero on all hosts but one, joined."""
        halves = _as_halves(content)
        for start in range(0, len(halves), _PIECE):
            piece = halves[start : start + _PIECE]
            numbers = piece.astype(np.float32)
            self.allreduce(numbers)
            piece[:] = numbers
        return halves.view(np.uint8)[: content.nbytes].view(content.dtype)


class SingleHost:
    """The context of the only host of a job. Several hosts divide the entity table."""

    rank = 0
    size = 1
    is_distributed = False

    @property
    def is_first(self) -> bool:
        """Whether this host saves the model."""
        return self.rank == 0

    def join(self, terms: Mapping[str, str]) -> ProcessGroup:  # noqa: ARG002
        """Return the group of hosts that train together, once all are there with the same terms."""
        return ProcessGroup()


def _as_halves(content: NDArray[Any]) -> NDArray[np.uint16]:
    """Return a copy of an array's bytes as padded numbers of 16 bits."""
    needed = -(-content.nbytes // 2)
    length = max(_SHORTEST, 1 << max(needed - 1, 0).bit_length()) if needed <= _PIECE else -(-needed // _PIECE) * _PIECE
    halves = np.zeros(length, dtype=np.uint16)
    halves.view(np.uint8)[: content.nbytes] = np.ascontiguousarray(content).view(np.uint8)
    return halves

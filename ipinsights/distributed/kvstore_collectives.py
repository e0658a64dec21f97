"""What hosts agree on through the store: stops, checkpoints, facts and bits."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.model._mxnet import mx
from ipinsights.training.collectives import ProcessGroup

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["FACTS", "SAVES", "VOTES", "KVStoreGroup"]

# Keys from here on are not parameters: servers add up what is pushed to the first and the last ones for ever, and
# to the two between only what the hosts push together.
VOTES = 2**20
SAVES, FACTS = VOTES + 1, VOTES + 2
_BITS = VOTES + 3
# A number on the wire for each bit: 32 MB at a time.
_PART_BYTES = 2**20
# A number on the wire for each byte.
_SUMMED_BYTES = 2**23
# A number on the wire for each byte of what a host says at a time.
_FACT_BYTES = 1024


@dataclass(frozen=True)
class KVStoreGroup(ProcessGroup):
    """The hosts of a distributed job, which agree through the store.

    Attributes
    ----------
    store
        The job's store, connected.
    """

    store: mx.kv.KVStore | None = None
    _keys: Iterator[int] = field(default_factory=lambda: itertools.count(_BITS))

    def __post_init__(self) -> None:
        for key, shape in ((VOTES, 1), (SAVES, 1), (FACTS, (self.size, _FACT_BYTES))):
            self._store.init(key, mx.nd.zeros(shape))

    def agree_to_stop(self, wanted: bool) -> bool:  # noqa: FBT001
        """Say whether any host wants to stop, or wanted to before."""
        return bool(self._sum(VOTES, np.full(1, wanted))[0] > 0)

    def agree_to_save(self, wanted: bool) -> bool:  # noqa: FBT001
        """Say whether any host wants to save now; the hosts keep step, and each asks at the same places."""
        return bool(self._sum(SAVES, np.full(1, wanted))[0] > 0)

    def gather(self, facts: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Give what each host says, in their order; the hosts keep step, and each speaks at the same places."""
        words = json.dumps(facts).encode().ljust(_FACT_BYTES)
        sheet = np.zeros((self.size, _FACT_BYTES))
        sheet[self.rank] = np.frombuffer(words, dtype=np.uint8)
        return [json.loads(row.tobytes()) for row in self._sum(FACTS, sheet).astype(np.uint8)]

    def wait(self) -> None:
        """Wait until every host has come here."""
        mx.nd.waitall()
        self._store._barrier()  # noqa: SLF001 - as Gluon's trainer does

    def any_of(self, bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Give what any host has: the bits of all, eight in a byte (n,), or-ed."""
        parts = np.array_split(bits, -(-len(bits) // _PART_BYTES))
        return np.concatenate(
            [self._any_of(key, part) for part, key in zip(parts, self._keys, strict=False)]
        )  # keys never end

    def all_parts(self, part: NDArray[Any]) -> list[NDArray[Any]]:
        """Return the parts of all hosts by rank, (n,) each of one type. Every host calls this at the same places."""
        sizes = [int(facts["size"]) for facts in self.gather({"size": len(part)})]
        begin = sum(sizes[: self.rank]) * part.itemsize
        content = np.zeros(sum(sizes) * part.itemsize, dtype=np.uint8)
        content[begin : begin + part.nbytes] = np.ascontiguousarray(part).view(np.uint8)
        # Each byte is of one host, so that a sum is that host's byte.
        pieces = np.array_split(content, max(1, -(-len(content) // _SUMMED_BYTES)))
        summed = [self._sum_once(key, piece) for piece, key in zip(pieces, self._keys, strict=False)]
        return np.split(np.concatenate(summed).view(part.dtype), np.cumsum(sizes)[:-1])

    def _sum_once(self, key: int, content: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Add the bytes of all hosts under a key that nobody has used before."""
        if len(content) == 0:
            return content
        summed = mx.nd.array(content, dtype="float32")
        self._store.init(key, mx.nd.zeros(summed.shape))
        self._store.push(key, summed)
        self.wait()
        self._store.pull(key, out=summed)
        found: NDArray[np.uint8] = summed.asnumpy().astype(np.uint8)
        return found

    def _any_of(self, key: int, bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Or the bits of all hosts under a key that nobody has used before."""
        # the store can add, and nothing else
        counts = mx.nd.array(np.unpackbits(bits), dtype="float32")
        self._store.init(key, mx.nd.zeros(counts.shape))
        self._store.push(key, counts)
        self.wait()
        self._store.pull(key, out=counts)
        return np.packbits(counts.asnumpy() > 0)

    def _sum(self, key: int, numbers: NDArray[Any]) -> NDArray[np.float32]:
        shared = mx.nd.array(numbers, dtype="float32")
        self._store.push(key, shared)
        self._store.pull(key, out=shared)
        summed: NDArray[np.float32] = shared.asnumpy()
        return summed

    @property
    def _store(self) -> mx.kv.KVStore:
        return self.store

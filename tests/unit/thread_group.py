"""Hosts of a job that are threads of this process."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.training.collectives import ProcessGroup

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


class _Shared:
    """What the threads of a group show each other."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size)
        self.shown: dict[int, NDArray[np.float32]] = {}


class ThreadGroup(ProcessGroup):
    """The group as one of the threads sees it. It counts its sums."""

    def __init__(self, rank: int, size: int, shared: _Shared) -> None:
        super().__init__(rank, size)
        self._shared = shared
        self.num_sums = 0

    def allreduce(self, values: NDArray[np.float32]) -> None:
        """Sum in the order of ranks."""
        self.num_sums += 1
        self._shared.shown[self.rank] = values.copy()
        self._shared.barrier.wait(timeout=60)
        total = np.sum([self._shared.shown[rank] for rank in range(self.size)], axis=0, dtype=np.float32)
        self._shared.barrier.wait(timeout=60)
        values[:] = total


def on_hosts(size: int, work: Callable[[ProcessGroup], Any]) -> list[Any]:
    """Call a function on each of several hosts, and return the results by rank."""
    shared = _Shared(size)

    def one(rank: int) -> Any:
        try:
            return work(ThreadGroup(rank, size, shared))
        except BaseException:
            shared.barrier.abort()
            raise

    with ThreadPoolExecutor(size) as pool:
        jobs = [pool.submit(one, rank) for rank in range(size)]
        failures = [error for job in jobs if (error := job.exception())]
        others = [error for error in failures if not isinstance(error, threading.BrokenBarrierError)]
        if failures:
            raise (others or failures)[0]
        return [job.result() for job in jobs]

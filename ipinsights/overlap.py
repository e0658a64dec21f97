"""Work on one piece after another, on all cores: NumPy and Arrow let other threads run while they compute."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

__all__ = ["available_cpus", "in_order"]

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def available_cpus() -> int:
    """Return the number of processors that this process may use; where the system does not say, all there are."""
    if hasattr(os, "sched_getaffinity"):  # macOS has none
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order(work: Callable[[Piece], Result], pieces: Iterable[Piece]) -> Iterator[Result]:
    """Give the result of each piece, in the order of the pieces, while the next ones are worked on.

    Parameters
    ----------
    work
        Called on threads, one a core. What it raises is raised where its result is asked for.
    pieces
        Taken no further ahead than one more than there are cores, so that few are in memory at a time.
    """
    num_cores = available_cpus()
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(num_cores, thread_name_prefix="overlap") as pool:
        for piece in pieces:
            waiting.append(pool.submit(work, piece))
            if len(waiting) > num_cores:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

"""What the package asks of the system: processors, threads that keep an order, and memory hints."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["available_cpus", "in_order", "into_large_pages", "keep_freed_memory", "release_freed_memory"]

Piece = TypeVar("Piece")
Result = TypeVar("Result")

# glibc's names for when freed memory goes back to the system, and from what size on it always does (32 MB at the most).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES, _KEPT_ARRAY_BYTES = 512 * 2**20, 32 * 2**20
# Linux 6.1 and later: put what is there already into large pages, now. Python has no name for it.
_MADV_COLLAPSE = 25
_LARGE_PAGE_BYTES = 2 * 2**20


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


def keep_freed_memory() -> None:
    """Let the C library keep what is freed: to get it back costs a page fault every 4 kB, a third of a large step."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # musl and macOS have none
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_ARRAY_BYTES)


def release_freed_memory() -> None:
    """Let the C library return freed memory to the system. It takes about a millisecond."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # musl and macOS have none
        libc.malloc_trim(0)


def into_large_pages(array: NDArray[np.float32]) -> None:
    """Move an array into pages of 2 MB where it lies, as far as it fills them: its address and values stay.

    The processor knows the places of some thousand pages. Of a table of gigabytes in pages of 4 kB every row that is
    fetched costs looking up its page first, by and by as much as the row itself.
    """
    if not hasattr(mmap, "MADV_HUGEPAGE"):  # macOS has none
        return
    start = -(-array.ctypes.data // _LARGE_PAGE_BYTES) * _LARGE_PAGE_BYTES
    end = (array.ctypes.data + array.nbytes) // _LARGE_PAGE_BYTES * _LARGE_PAGE_BYTES
    if start < end:
        madvise = ctypes.CDLL(None).madvise
        for advice in (mmap.MADV_HUGEPAGE, _MADV_COLLAPSE):
            madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), advice)

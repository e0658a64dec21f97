"""What the system is told of a process's memory; it is free not to listen, and no result depends on it."""

from __future__ import annotations

import ctypes
import mmap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["into_large_pages", "keep_freed_memory", "release_freed_memory"]

# glibc's names for when freed memory goes back to the system, and from what size on it always does (32 MB at the most).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES, _KEPT_ARRAY_BYTES = 512 * 2**20, 32 * 2**20
# Linux 6.1 and later: put what is there already into large pages, now. Python has no name for it.
_MADV_COLLAPSE = 25
_LARGE_PAGE_BYTES = 2 * 2**20


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

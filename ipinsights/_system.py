"""System functions: processors, ordered map over threads, memory, reasons of sockets."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from concurrent.futures import Future

__all__ = [
    "address_reason", "available_cpus", "folder_in_memory", "group_folders", "in_order", "keep_freed_memory",
    "one_ahead", "release_freed_memory",
]  # fmt: skip

Piece = TypeVar("Piece")
Result = TypeVar("Result")

# glibc's names for when freed memory goes back to the system, and from what size on it always does (32 MB at the most).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES, _KEPT_ARRAY_BYTES = 512 * 2**20, 32 * 2**20


def available_cpus(root: Path = Path("/")) -> int:
    """Return the number of cores that this process may use, at least 1.

    It is bounded by the process's affinity and by the CPU quota of its control groups, whose fractions are cut off.
    Where the system tells nothing, it is the number of cores of the machine. ``proc`` and ``sys`` are below ``root``.
    """
    # macOS has no affinity
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *map(int, _cpu_quotas(root))]))


def group_folders(root: Path, hierarchy: str, controller: str) -> set[Path]:
    """Return the folders of this process's control group and of all groups around it.

    A container sees its own group as the root of the hierarchy, which is mounted below ``root``, as
    ``sys/fs/cgroup``. Version 2 of control groups has no controllers.
    """
    mounted = root / hierarchy
    folders = {mounted}
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            # a line is number:controllers:/path
            _, controllers, path = line.split(":", 2)
            if controller in controllers.split(","):
                own = mounted / path.lstrip("/")
                folders.update(folder for folder in (own, *own.parents) if mounted in folder.parents)
    return folders


def _cpu_quotas(root: Path) -> Iterator[float]:
    """Yield the quotas of the groups of this process, in cores."""
    for folder in group_folders(root, "sys/fs/cgroup", ""):
        with contextlib.suppress(OSError, ValueError):  # without a quota it is "max", which is no number
            quota, period = map(int, (folder / "cpu.max").read_text(encoding="ascii").split())
            yield quota / period
    for folder in group_folders(root, "sys/fs/cgroup/cpu", "cpu"):
        with contextlib.suppress(OSError, ValueError):
            quota, period = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
            if quota > 0:  # without a quota it is -1
                yield quota / period


def address_reason(error: OSError) -> str:
    """Return why a socket cannot be opened at an address.

    Names that cannot be resolved have negative numbers, and texts of their own.
    """
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error.strerror)


def in_order(work: Callable[[Piece], Result], pieces: Iterable[Piece]) -> Iterator[Result]:
    """Yield the result of each piece in order, while the next pieces are processed on threads.

    What ``work`` raises is raised where its result is asked for. Pieces are taken no further ahead than one more than
    there are cores, so that few are in memory at a time.
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


def one_ahead(items: Iterator[Result]) -> Generator[Result, None, None]:
    """Yield items of an iterator, each made on a thread while the one before is used.

    >>> list(one_ahead(iter([1, 2, 3])))
    [1, 2, 3]
    """
    end = object()
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        waiting: Future[Any] = pool.submit(next, items, end)
        while (item := waiting.result()) is not end:
            waiting = pool.submit(next, items, end)
            yield item


def folder_in_memory() -> str | None:
    """Return a folder whose files are in memory, so that no write waits for a disk, or None."""
    folder = "/dev/shm"  # noqa: S108 - files in it must have names that nobody can guess, or be unlinked
    return folder if os.access(folder, os.W_OK) else None


def keep_freed_memory() -> None:
    """Configure the C library to keep freed memory.

    Allocating it again costs a page fault every 4 kB, which is a third of the time of a large step.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):  # musl and macOS have none
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_ARRAY_BYTES)


def release_freed_memory() -> None:
    """Let the C library return freed memory to the system. It takes about a millisecond."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # musl and macOS have none
        libc.malloc_trim(0)

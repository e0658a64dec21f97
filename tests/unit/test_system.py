"""Processors, threads and memory: results keep their order, and hints change no value."""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights._system import available_cpus, in_order, into_large_pages

if TYPE_CHECKING:
    from collections.abc import Iterator


class TestAvailableCpus:
    """The number of processors."""

    def test_it_is_what_this_process_may_use(self) -> None:
        """A process that is bound to one processor has one."""
        allowed = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {min(allowed)})
        try:
            assert available_cpus() == 1
        finally:
            os.sched_setaffinity(0, allowed)

    def test_elsewhere_it_is_what_there_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Systems such as macOS do not say what a process may use."""
        monkeypatch.delattr(os, "sched_getaffinity")
        assert available_cpus() == os.cpu_count()


class TestInOrder:
    """What comes first is given first."""

    def test_results_keep_the_order_of_the_pieces(self) -> None:
        """Also if the first piece is done last."""
        second_is_done = threading.Event()

        def work(piece: int) -> int:
            if piece == 0 and available_cpus() > 1:
                assert second_is_done.wait(60)
            if piece == 1:
                second_is_done.set()
            return 10 * piece

        assert list(in_order(work, range(20))) == [10 * piece for piece in range(20)]

    def test_nothing_is_taken_far_ahead(self) -> None:
        """Of pieces without end a few are in memory."""
        taken = []

        def pieces() -> Iterator[int]:
            for piece in range(1000):
                taken.append(piece)
                yield piece

        results = in_order(abs, pieces())
        assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
        results.close()  # type: ignore[attr-defined]
        assert len(taken) == 5 + available_cpus()

    def test_what_work_raises_comes_where_its_result_would(self) -> None:
        """Behind the results of the pieces before."""
        results = in_order(lambda piece: 6 // piece, [3, 0, 2])
        assert next(results) == 2
        with pytest.raises(ZeroDivisionError):
            next(results)


def large_page_bytes(address: int) -> int:
    """Give how much of the mapping around an address lies in large pages, as the kernel counts."""
    inside = False
    for line in Path("/proc/self/smaps").read_text(encoding="ascii").splitlines():
        if "-" in line.split()[0]:
            start, end = (int(bound, 16) for bound in line.split()[0].split("-"))
            inside = start <= address < end
        elif inside and line.startswith("AnonHugePages:"):
            return 1024 * int(line.split()[1])
    return 0


class TestIntoLargePages:
    """Pages of 2 MB."""

    def test_values_stay_and_pages_grow(self, rng: np.random.Generator) -> None:
        """An array in small pages is in large ones afterwards, as far as it fills them, with the same values."""
        whole = np.empty(16 * 2**20, dtype=np.uint8)
        values = whole.view(np.float32)
        values[:] = rng.random(len(values))
        expected = values.copy()
        into_large_pages(values)
        assert (values == expected).all()
        if large_page_bytes(values.ctypes.data + 4 * 2**20) == 0:
            pytest.skip("this kernel gives no large pages when asked")
        assert large_page_bytes(values.ctypes.data + 4 * 2**20) >= 12 * 2**20

    def test_a_system_without_large_pages_is_left_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As macOS, which has another use for some of Linux's numbers."""
        monkeypatch.delattr(mmap, "MADV_HUGEPAGE")
        monkeypatch.setattr(ctypes, "CDLL", None)  # any call of the system's would fail
        values = np.ones(4 * 2**20, dtype=np.float32)
        into_large_pages(values)
        assert (values == 1).all()

    def test_a_small_array_is_left_alone(self) -> None:
        """No large page fits into it."""
        values = np.ones(1000, dtype=np.float32)
        into_large_pages(values)
        assert (values == 1).all()

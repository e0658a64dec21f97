"""Pieces of work on all cores, in their order."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from ipinsights.overlap import available_cpus, in_order

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

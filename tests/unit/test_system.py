"""Cores and threads: how many there are, and results that keep their order."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from ipinsights._system import available_cpus, in_order, one_ahead

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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

    @pytest.mark.parametrize(
        ("files", "expected"),
        [
            ({"cpu.max": "max 100000"}, 8),
            ({"cpu.max": "250000 100000"}, 2),
            ({"cpu.max": "50000 100000"}, 1),
            ({"cpu.max": "max 100000", "box/cpu.max": "300000 100000", "box/inner/cpu.max": "max 100000"}, 3),
            ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
            ({"cpu/job/cpu.cfs_quota_us": "400000", "cpu/job/cpu.cfs_period_us": "100000"}, 4),
            ({"cpu.max": "garbage"}, 8),
            ({}, 8),
        ],
        ids=str,
    )
    def test_a_quota_of_control_groups_counts(
        self, files: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """CPU quotas of control groups are rounded down to at least one, outer groups included.

        A container with 2.5 cores has two, and a container with half a core has one.
        """
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
        written = {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
        written["proc/self/cgroup"] = "4:cpu,cpuacct:/job\n0::/box/inner\n"
        for name, text in written.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        assert available_cpus(tmp_path) == expected


class TestInOrder:
    """What comes first is given first."""

    def test_results_keep_the_order_of_the_pieces(self) -> None:
        """Results keep the order of the pieces, even if the first piece is done last."""
        second_is_done = threading.Event()

        def work(piece: int) -> int:
            if piece == 0 and available_cpus() > 1:
                assert second_is_done.wait(60)
            if piece == 1:
                second_is_done.set()
            return 10 * piece

        assert list(in_order(work, range(20))) == [10 * piece for piece in range(20)]

    def test_nothing_is_taken_far_ahead(self) -> None:
        """Only a few pieces of an endless iterator are in memory."""
        taken = []

        def pieces() -> Iterator[int]:
            for piece in range(1000):
                taken.append(piece)
                yield piece

        results = in_order(abs, pieces())
        assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
        assert isinstance(results, Generator)
        results.close()
        assert len(taken) == 5 + available_cpus()

    def test_what_work_raises_comes_where_its_result_would(self) -> None:
        """Behind the results of the pieces before."""
        results = in_order(lambda piece: 6 // piece, [3, 0, 2])
        assert next(results) == 2
        with pytest.raises(ZeroDivisionError):
            next(results)


class TestOneAhead:
    """Items that are made while others are used."""

    def test_the_next_item_is_made_meanwhile(self) -> None:
        """One item is ahead, and not two."""
        made = [threading.Event() for _ in range(4)]

        def items() -> Iterator[int]:
            for number, event in enumerate(made):
                event.set()
                yield number

        ahead = one_ahead(items())
        assert next(ahead) == 0
        assert made[1].wait(60)
        assert not made[2].is_set()
        assert list(ahead) == [1, 2, 3]

    def test_an_error_comes_where_its_item_would(self) -> None:
        """An error is raised after the items before it."""
        ahead = one_ahead(6 // number for number in (3, 0))
        assert next(ahead) == 2
        with pytest.raises(ZeroDivisionError):
            next(ahead)

    def test_no_thread_is_left_behind(self) -> None:
        """Closing ends the thread, also in the middle."""
        before = threading.active_count()
        ahead = one_ahead(iter(range(100)))
        next(ahead)
        ahead.close()
        assert threading.active_count() == before

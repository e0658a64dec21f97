"""Measure what was tried with the step on a CPU and what its parts are worth: each change by itself, interleaved."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from threading import current_thread, main_thread
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import benchmark_step
import click
import numpy as np
from benchmark import DEFAULTS, TUTORIAL, interleaved

from ipinsights.training.learners import adam, cpu

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from ipinsights.model.sampling import Records

SETTINGS = {
    "tutorial": TUTORIAL,
    "defaults": DEFAULTS,
    "large": {**DEFAULTS, "num_entity_vectors": 1_000_000},
}


class OneAfterAnother:
    """What looks like a pool of threads, and does its work before it comes back."""

    def submit(self, work: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Do some work, and give what promises its result."""
        done: Future[Any] = Future()
        done.set_result(work(*arguments))
        return done


def nothing() -> None:
    """Leave the step as it is."""


def products_on_all_threads() -> None:
    """Let BLAS share each product among the cores."""
    free = SimpleNamespace(limit=lambda **_: contextlib.nullcontext())
    change_learner(lambda learner: setattr(learner, "_blas", free))


def one_thread() -> None:
    """Do nothing beside anything else: neither updates, nor spelling, nor copies of rows."""
    change_learner(lambda learner: setattr(learner, "_pool", OneAfterAnother()))


def entities_as_they_come() -> None:
    """Take the entities of a base batch in the order of their last records, not in that of the table."""

    def distinct(learner: Any, rows: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        numbers = np.arange(len(rows), dtype=np.int32)
        last = learner._numbers  # noqa: SLF001
        last[rows] = numbers
        chosen = last[rows]
        is_chosen = chosen == numbers
        return rows[is_chosen], (np.cumsum(is_chosen, dtype=np.int32) - 1)[chosen]

    cpu.CPULearner._distinct = distinct  # type: ignore[method-assign] # noqa: SLF001


def small_pages() -> None:
    """Leave the entity table in pages of 4 kB."""
    cpu.into_large_pages = lambda _: None  # type: ignore[assignment]


def batches_made_ahead() -> None:
    """Draw the next base batch on a thread of its own while this one is learned."""
    make = benchmark_step.base_batches

    def ahead(settings: dict[str, Any]) -> Iterator[Records]:
        batches = make(settings)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(next, batches)
            while True:
                records = waiting.result()
                waiting = pool.submit(next, batches)
                yield records

    benchmark_step.base_batches = ahead


def small_blocks() -> None:
    """Let Adam work on an eighth as much at a time."""
    adam._BLOCK_BYTES //= 8  # noqa: SLF001


def large_blocks() -> None:
    """Let Adam work on sixteen times as much at a time: more than a core's cache holds."""
    adam._BLOCK_BYTES *= 16  # noqa: SLF001


def entities_on_one_thread() -> None:
    """Leave the update of the entities to its own thread; that of the encoder waits for it."""
    work_off = cpu._work_off  # noqa: SLF001

    def unless_main(blocks: deque[Callable[[], None]]) -> None:
        if current_thread() is not main_thread():
            work_off(blocks)

    cpu._work_off = unless_main  # noqa: SLF001


def memory_given_back() -> None:
    """Leave it to the C library when freed memory goes back to the system."""
    cpu.keep_freed_memory = nothing


def change_learner(change: Callable[[Any], None]) -> None:
    """Change every learner behind its making."""
    make = cpu.CPULearner.__init__

    def made(self: Any, *arguments: Any, **options: Any) -> None:
        make(self, *arguments, **options)
        change(self)

    cpu.CPULearner.__init__ = made  # type: ignore[method-assign]


VARIANTS = {
    "as it is": nothing,
    "everything on one thread": one_thread,
    "memory given back to the system": memory_given_back,
    "Adam in blocks of 8 MB instead of 512 kB": large_blocks,
    "Adam in blocks of 64 kB": small_blocks,
    "entities in the order of their records": entities_as_they_come,
    "entity table in pages of 4 kB": small_pages,
    "update of entities on one thread": entities_on_one_thread,
    "next base batch made on a thread of its own": batches_made_ahead,
    "products shared by all cores": products_on_all_threads,
}


@click.command()
@click.option("--settings", type=click.Choice(list(SETTINGS)), default="tutorial", show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--measure", hidden=True, help="Internal: one variant.")
def main(settings: str, rounds: int, measure: str | None) -> None:
    """Measure all variants, and print the median of each as a share of the step as it is."""
    if measure:
        VARIANTS[measure]()
        print(benchmark_step.records_per_second("cpu", SETTINGS[settings]))
        return
    command = [sys.executable, __file__, "--settings", settings, "--measure"]

    def measured(name: str) -> float:
        return float(subprocess.run([*command, name], stdout=subprocess.PIPE, check=True).stdout)  # noqa: S603

    found = interleaved({name: lambda name=name: measured(name) for name in VARIANTS}, rounds)
    first = statistics.median(found["as it is"])
    for name, values in found.items():
        median = statistics.median(values)
        print(f"| {name} | {median:,.0f} | {min(values):,.0f} to {max(values):,.0f} | {median / first:.2f} |")


if __name__ == "__main__":
    main()

"""Threads that share the tasks of a training step, and one BLAS thread while they do."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from threading import RLock
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import ThreadpoolController

from ipinsights._system import available_cpus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["TaskThreads", "one_blas_thread"]


class TaskThreads:
    """The calling thread with helpers, which take the next task whenever they are free.

    Nobody spins: a helper that comes late finds no task left. The threads belong to the process that uses them, so
    that a process after ``fork`` starts its own. By default there are as many as cores available to this process.

    >>> found = []
    >>> TaskThreads(2).run([lambda: found.append("task")])
    >>> found
    ['task']
    """

    def __init__(self, num_threads: int | None = None) -> None:
        self.num_threads = num_threads or available_cpus()
        self._pool: ThreadPoolExecutor | None = None
        self._process = 0

    def run(self, tasks: Sequence[Callable[[], object]]) -> None:
        """Call every task once, in any order, and return when all are done."""
        num_helpers = min(self.num_threads, len(tasks)) - 1
        waiting = deque(tasks)
        helpers = [self._helpers().submit(_work_off, waiting) for _ in range(num_helpers)]
        try:
            _work_off(waiting)
        finally:
            for helper in helpers:
                if not helper.cancel():
                    helper.result()

    def _helpers(self) -> ThreadPoolExecutor:
        if self._pool is None or self._process != os.getpid():
            # NumPy warns of no numbers that are not finite there: the trainer reports a run that diverges.
            ignore = partial(np.seterr, invalid="ignore", over="ignore")
            self._pool = ThreadPoolExecutor(self.num_threads - 1, thread_name_prefix="learner", initializer=ignore)
            self._process = os.getpid()
        return self._pool


def _work_off(tasks: deque[Callable[[], object]]) -> None:
    """Call tasks until none is left."""
    while True:
        try:
            task = tasks.popleft()
        except IndexError:
            return
        task()


class _BlasLimit:
    """Limit of BLAS to one thread, for as long as somebody wants it."""

    def __init__(self) -> None:
        # The garbage collector may end a training that was left unfinished, while this thread has the lock.
        self._lock = RLock()
        self._num_users = 0
        self._controller: ThreadpoolController | None = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._num_users == 0:
                # To find the libraries takes as long as a step.
                self._controller = self._controller or ThreadpoolController().select(user_api="blas")
                self._limit = self._controller.limit(limits=1)
            self._num_users += 1
        try:
            yield
        finally:
            with self._lock:
                self._num_users -= 1
                if self._num_users == 0:
                    self._limit.restore_original_limits()


one_blas_thread = _BlasLimit()
"""Context manager that limits BLAS to one thread, whichever threads of the process are in it."""

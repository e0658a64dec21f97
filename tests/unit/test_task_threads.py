"""Threads that share tasks: every task runs once, in any process, with one BLAS thread."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest
from threadpoolctl import ThreadpoolController

from ipinsights._system import available_cpus
from ipinsights.training.learners.task_threads import TaskThreads, one_blas_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class TestTaskThreads:
    """Tasks on several threads."""

    @pytest.mark.parametrize("num_threads", [1, 2, 5])
    @pytest.mark.parametrize("num_tasks", [0, 1, 3, 40])
    def test_every_task_is_called_once(self, num_threads: int, num_tasks: int) -> None:
        """Every task is called once, also with fewer tasks than threads."""
        found: list[int] = []
        TaskThreads(num_threads).run([partial(found.append, number) for number in range(num_tasks)])
        assert sorted(found) == list(range(num_tasks))

    def test_tasks_run_at_the_same_time(self) -> None:
        """Two tasks that wait for each other come to an end."""
        barrier = threading.Barrier(2, timeout=60)
        TaskThreads(2).run([barrier.wait, barrier.wait])

    def test_one_thread_is_the_caller(self) -> None:
        """No other thread is started."""
        found: list[threading.Thread] = []
        TaskThreads(1).run([lambda: found.append(threading.current_thread())] * 3)
        assert set(found) == {threading.current_thread()}

    @pytest.mark.parametrize("num_threads", [1, 2])
    def test_an_error_of_a_task_is_raised(self, num_threads: int) -> None:
        """Whichever thread called the task, and after all threads are done."""

        def fail() -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            TaskThreads(num_threads).run([fail] * 4)

    def test_all_available_cores_are_used(self) -> None:
        """Unless the number is given."""
        assert TaskThreads().num_threads == available_cpus()

    def test_a_forked_process_starts_threads_of_its_own(self) -> None:
        """The threads of the parent do not exist in the child, which would wait for them for ever."""
        threads = TaskThreads(2)
        threads.run([lambda: None] * 2)

        def is_shared() -> bool:
            barrier = threading.Barrier(2, timeout=60)
            threads.run([barrier.wait, barrier.wait])
            return True

        assert in_a_fork(is_shared)


def in_a_fork(function: Callable[[], bool]) -> bool:
    """Return what a function returns in a forked process."""
    process = os.fork()
    if process == 0:
        code = 1
        try:
            code = 0 if function() else 1
        finally:
            os._exit(code)
    return os.waitpid(process, 0)[1] == 0


def blas_threads() -> set[int]:
    """Return the numbers of threads of the BLAS libraries in this process."""
    return {found["num_threads"] for found in ThreadpoolController().select(user_api="blas").info()}


def test_blas_is_limited_until_the_last_user_leaves() -> None:
    """The limit before is restored, also if two users overlap."""
    before = blas_threads()
    first, second = one_blas_thread(), one_blas_thread()
    first.__enter__()
    second.__enter__()
    assert blas_threads() == {1}
    first.__exit__(None, None, None)
    assert blas_threads() == {1}
    second.__exit__(None, None, None)
    assert blas_threads() == before


def test_the_collector_may_end_a_training_while_its_thread_takes_the_limit() -> None:
    """A learner's unfinished generator gives up the limit in a thread that has the lock already."""

    def learn() -> Iterator[None]:
        """Take the limit, as a learner does, and wait."""
        with one_blas_thread():
            yield

    before = blas_threads()
    unfinished = learn()
    next(unfinished)
    with one_blas_thread._lock:
        del unfinished
    assert blas_threads() == before


TRAIN = """
import numpy as np
from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.model.sampling import Records
from ipinsights.training.learners.cpu import CPULearner

def trained(learner=None):
    rng, size = np.random.default_rng(1), 2000
    rows, ips = rng.integers(50, size=3 * size), rng.integers(2**32, size=3 * size, dtype=np.uint32)
    labels = rng.integers(2, size=3 * size).astype(np.float32)
    learner = learner or CPULearner(Hyperparameters(50, 64, mini_batch_size=size), seed=1, num_threads=2)
    list(learner.learn(Records(rows.astype(np.int32), ips, labels)))
    return b"".join(array.tobytes() for array in learner.parameters().values())
"""
JOBLIB = """
import joblib, sys
with joblib.parallel_config(backend=sys.argv[1], n_jobs=2):
    models = joblib.Parallel()(joblib.delayed(trained)() for _ in range(4))
print(models == [trained()] * 4)
"""
FORK = """
import os
learner, other = (CPULearner(Hyperparameters(50, 64, mini_batch_size=2000), num_threads=2) for _ in range(2))
trained(learner), trained(other)
expected = trained(other)
process = os.fork()
if process == 0:
    os._exit(0 if trained(learner) == expected else 1)
print(os.waitpid(process, 0)[1] == 0)
"""


def run(code: str, *words: str) -> str:
    """Return what a program that trains a learner prints. It is killed if it hangs."""
    command = [sys.executable, "-c", TRAIN + code, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout.strip()


class TestLearner:
    """Learners in processes and threads that others start, on two threads each."""

    def test_a_learner_works_in_a_forked_process(self) -> None:
        """A learner that has learned in the parent learns on in the child, to the same bits."""
        assert run(FORK) == "True"

    @pytest.mark.slow
    @pytest.mark.parametrize("backend", ["threading", "loky"])
    def test_learners_under_joblib_train_the_same_model(self, backend: str) -> None:
        """Two at a time, in threads of one process or in processes, each to the bits of one alone."""
        assert run(JOBLIB, backend) == "True"

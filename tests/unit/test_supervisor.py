"""The supervisor of a host: processes that end, are stopped, or lose their parent."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.distributed.cluster import Cluster
from ipinsights.distributed.heartbeat import is_paused
from ipinsights.distributed.supervisor import ClusterHost, Supervisor, end_of
from ipinsights.errors import AlgorithmError, ClientError
from ipinsights.training.job import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

ADVICE = "Training cannot go on without it; start the job again."


def is_true_soon(condition: Callable[[], bool]) -> bool:
    """Return whether a condition becomes true in time."""
    deadline = time.monotonic() + 60
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def make_supervisor(folder: Path, *, num_hosts: int = 1, rank: int = 0) -> Supervisor:
    """Return the supervisor of a host on this machine, whose training file is empty."""
    (folder / "train.csv").touch()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1] - 1
    given = Hyperparameters(num_entity_vectors=30, vector_dim=8)
    job = Job(given, {}, "a test", folder / "train.csv", validation=None, model_dir=folder / "model")
    return Supervisor(job, Cluster.loopback(num_hosts, rank, port), quiet=True)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """Yield the supervisor of a job on one host, and end its processes."""
    found = make_supervisor(tmp_path)
    yield found
    found._end_processes()


class TestProcesses:
    """Processes of a host that end, or do not go on."""

    @pytest.mark.parametrize(
        ("target", "argument", "end"),
        [(sys.exit, 3, "ended with exit code 3"), (signal.raise_signal, signal.SIGKILL, "was killed by SIGKILL")],
    )
    def test_a_failure_is_named(self, supervisor: Supervisor, target: Any, argument: int, end: str) -> None:
        """The error names role, host and how the process ended."""
        process = supervisor._start("server", target, argument)
        process.join()
        assert end_of(process) == end
        with pytest.raises(AlgorithmError) as caught:
            supervisor._check_processes()
        assert str(caught.value) == f"The server of host 'algo-1' {end}. {ADVICE}"

    def test_a_good_end_is_no_failure(self, supervisor: Supervisor) -> None:
        """The process is forgotten, and one that runs stays."""
        ended, running = supervisor._start("server", sys.exit, 0), supervisor._start("worker", time.sleep, 600)
        ended.join()
        supervisor._check_processes()
        assert supervisor._processes == {running: "worker"}

    def test_a_pause_is_named(self, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
        """A process paused for as long as a host may be silent ends the job, and not before."""
        process = supervisor._start("worker", time.sleep, 600)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)
        assert is_true_soon(lambda: is_paused(process.pid or 0))
        clock = itertools.count(step=5)
        monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
        self.check_pauses(supervisor, 3)
        with pytest.raises(AlgorithmError) as caught:
            self.check_pauses(supervisor, 50)
        monkeypatch.undo()
        assert str(caught.value) == f"The worker of host 'algo-1' has been paused for 45 seconds. {ADVICE}"

    @staticmethod
    def check_pauses(supervisor: Supervisor, num_times: int) -> None:
        """Check several times, as between heartbeats."""
        for _ in range(num_times):
            supervisor._check_pauses()

    def test_all_are_ended(self, supervisor: Supervisor) -> None:
        """Stopped processes are killed as well, and none is left as a zombie."""
        processes = [supervisor._start(role, time.sleep, 600) for role in ("worker", "server")]
        os.kill(processes[0].pid or 0, signal.SIGSTOP)
        supervisor._end_processes()
        assert [process.exitcode for process in processes] == [-signal.SIGKILL, -signal.SIGKILL]

    def test_one_that_does_not_leave(
        self, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """After a job that ended well it is reported, and not waited for any longer."""
        monkeypatch.setattr("ipinsights.distributed.supervisor._LEAVE_SECONDS", 0.01)
        supervisor._start("scheduler", time.sleep, 600)
        supervisor._await_processes()
        assert caplog.messages == ["The scheduler of host 'algo-1' did not leave by itself."]


class TestRun:
    """A job from its start to its end."""

    def test_a_fault_of_the_worker(self, tmp_path: Path) -> None:
        """The supervisor raises the error of the worker, which is gone."""
        supervisor = make_supervisor(tmp_path)
        with pytest.raises(ClientError) as caught:
            supervisor.run()
        assert str(caught.value) == f"{tmp_path}/train.csv is empty: it must hold at least one row of entity,ip."
        (worker,) = supervisor._processes
        assert worker.exitcode is not None

    def test_sigterm_before_the_first_host_is_reached(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """A later host leaves at once with exit code 0, because no other host waits for it yet."""
        with pytest.raises(SystemExit) as stopped:
            make_supervisor(tmp_path, num_hosts=2, rank=1)._stop()
        assert stopped.value.code == 0
        assert caplog.messages == ["The job was stopped before training began: there is no model to save."]

    def test_sigterm_is_passed_to_the_worker(self, supervisor: Supervisor) -> None:
        """Servers and the scheduler are ended by the worker's end."""
        worker, server = (supervisor._start(role, time.sleep, 600) for role in ("worker", "server"))
        supervisor._stop()
        worker.join(60)
        assert worker.exitcode == -signal.SIGTERM
        assert server.is_alive()


# A process whose child ends with it. The child's number is printed.
PARENT = """
import multiprocessing, os, time
from ipinsights.distributed.supervisor import die_with_parent

def follow():
    die_with_parent()
    print(os.getpid(), flush=True)
    time.sleep(600)

process = multiprocessing.get_context("fork").Process(target=follow)
process.start()
process.join()
"""


@pytest.mark.parametrize("is_paused_first", [False, True])
def test_a_process_ends_with_its_parent(is_paused_first: bool) -> None:  # noqa: FBT001
    """When the parent is killed, its child is gone soon, even one that is stopped."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        if is_paused_first:
            os.kill(child, signal.SIGSTOP)
        parent.kill()
    assert is_true_soon(lambda: not is_running(child))


def is_running(pid: int) -> bool:
    """Return whether a process exists and is no zombie, whatever its parent is by now."""
    path = Path(f"/proc/{pid}/stat")
    try:
        return path.read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def host(rank: int, size: int, pipe: Connection | None = None) -> ClusterHost:
    """Return a host of a job on this machine."""
    ours = pipe or multiprocessing.Pipe()[0]
    return ClusterHost(Cluster.loopback(size, rank, 9000), {}, ours)


@pytest.mark.parametrize(("rank", "is_first"), [(0, True), (1, False)])
def test_the_first_host_saves(rank: int, is_first: bool) -> None:  # noqa: FBT001
    """Each host knows its rank, and only the first one saves."""
    found = host(rank, 2)
    assert (found.is_first, found.rank, found.size, found.is_distributed) == (is_first, rank, 2, True)


def test_a_worker_waits_until_all_are_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """What hosts must agree on is reported, and the store is connected after the answer."""
    ours, theirs = multiprocessing.Pipe()
    connected: list[Any] = []
    monkeypatch.setattr("ipinsights.distributed.kvstore_collectives.connect", connected.append)
    reported: list[dict[str, Any]] = []

    def supervise() -> None:
        reported.append(theirs.recv())
        assert not connected
        theirs.send([])

    supervisor = threading.Thread(target=supervise)
    supervisor.start()
    group = host(1, 2, ours).join({"the seed": "3"})
    supervisor.join()
    assert reported == [{"ready": {"agreed": {"the seed": "3"}}}]
    assert connected == [{}]
    assert (group.rank, group.size) == (1, 2)

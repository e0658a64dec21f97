"""The supervisor of one host of a distributed job, which watches the host's processes.

It also exchanges messages with the other hosts.

The supervisor starts a worker, which reads the data. When all hosts are ready it starts the scheduler and the servers,
and waits. It never loads MXNet, so nothing can block it. When a process of this host ends, or another host does, the
supervisor ends all processes of this host with one message.
"""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import signal
import threading
import time
from contextlib import ExitStack
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from ipinsights.distributed.heartbeat import BEATS_PER_SILENCE, SILENCE_SECONDS, Silence, is_paused
from ipinsights.distributed.rendezvous import Link, Rendezvous
from ipinsights.errors import AlgorithmError, ClientError, IPInsightsError
from ipinsights.log_format import bare, set_up_logging
from ipinsights.training.collectives import SingleHost
from ipinsights.training.job import Job, run
from ipinsights.training.signals import STOPPED_EARLY, held_back, ignore

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

    from ipinsights.distributed.cluster import Cluster
    from ipinsights.training.collectives import ProcessGroup

__all__ = ["ClusterHost", "Supervisor", "die_with_parent", "end_of"]

_logger = logging.getLogger(__name__)

# Processes are spawned because MXNet does not survive a fork.
_SPAWN = multiprocessing.get_context("spawn")
# Seconds that a process may take to exit after the job is done.
_LEAVE_SECONDS = 30.0
# Option of Linux's `prctl`: the signal that a process gets when its parent ends.
_PR_SET_PDEATHSIG = 1
_BEAT_SECONDS = SILENCE_SECONDS / BEATS_PER_SILENCE


class Supervisor:
    """Supervisor of one host of a job, which is the same on every host except for its data."""

    def __init__(self, job: Job, cluster: Cluster, *, quiet: bool) -> None:
        self._job = job
        self._cluster = cluster
        self._quiet = quiet
        self._hyperparameters = job.hyperparameters
        self._roles = cluster.roles(self._hyperparameters.num_kv_servers or cluster.size)
        self._processes: dict[SpawnProcess, str] = {}
        self._silences: dict[SpawnProcess, Silence] = {}
        self._worker: Connection | None = None
        self._artifact: Path | None = None
        self._is_connected = False

    def run(self) -> Path | None:
        """Train with the other hosts. Return the artifact on the first host, else None.

        An error of this host, a failure of another one and its loss are raised.
        """
        set_up_logging("error" if self._quiet else self._hyperparameters.log_level)
        with ExitStack() as stack:
            with held_back():
                if self._cluster.rank == 0:
                    stack.enter_context(Rendezvous(self._cluster))
                stack.callback(self._end_processes)
                self._worker = self._start_worker()
                stack.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, self._stop))
            link = stack.enter_context(Link(self._cluster))
            self._is_connected = True
            self._watch(link)
        return self._artifact

    def _watch(self, link: Link) -> None:
        """Handle messages of worker and hosts, and ends of processes, until the job is over."""
        next_beat = 0.0
        while True:
            pipes = [self._worker] if self._worker else []
            ready = wait([link.fileno(), *pipes, *(process.sentinel for process in self._processes)], _BEAT_SECONDS)
            try:
                if time.monotonic() >= next_beat:
                    next_beat = time.monotonic() + _BEAT_SECONDS
                    link.beat()
                    self._check_pauses()
                if self._worker in ready:
                    self._handle_worker(link)
                elif link.fileno() not in ready:
                    self._check_processes()
                elif self._handle_hosts(link):
                    return
            except IPInsightsError as error:
                link.send(failed={"message": str(error), "exit_code": error.exit_code})
                raise

    def _handle_worker(self, link: Link) -> None:
        assert self._worker is not None
        try:
            message = self._worker.recv()
        except EOFError:
            self._worker = None
            return
        if "failed" in message:
            exit_code, text = message["failed"]
            raise (ClientError if exit_code == ClientError.exit_code else AlgorithmError)(text)
        if "done" in message:
            self._artifact = message["done"] and Path(message["done"])
        link.send(**message)

    def _handle_hosts(self, link: Link) -> bool:
        """Handle messages of the first host. Return whether the job is over."""
        for message in link.receive():
            if "everybody" in message and self._worker:
                self._start_servers()
                self._worker.send(message["everybody"])
            if "over" in message:
                self._await_processes()
                return True
            if "stopped" in message:
                _logger.warning(STOPPED_EARLY)
                return True
        return False

    def _start_worker(self) -> Connection:
        ours, theirs = _SPAWN.Pipe()
        self._start("worker", _work, self._job, self._cluster, self._roles[-1], self._quiet, theirs)
        theirs.close()
        return ours

    def _start_servers(self) -> None:
        for environment in self._roles[:-1]:
            role = environment["DMLC_ROLE"]
            _logger.info("Launching parameter server for role %s", role)
            process = self._start(role, _serve, environment)
            bare(f"Process {process.pid} is a shell:{role}.")

    def _start(self, role: str, target: Any, *arguments: Any) -> SpawnProcess:
        process = _SPAWN.Process(target=target, args=arguments, name=f"ipinsights-{role}")
        process.start()
        self._processes[process] = role
        return process

    def _check_processes(self) -> None:
        """Raise an error if a process has failed. Its messages have been handled by now."""
        for process, role in list(self._processes.items()):
            if process.exitcode == 0:
                del self._processes[process]
            elif process.exitcode is not None:
                raise self._lost(role, end_of(process))

    def _check_pauses(self) -> None:
        """Raise an error if a process has been paused for as long as a host may be silent."""
        for process, role in self._processes.items():
            silence = self._silences.setdefault(process, Silence(SILENCE_SECONDS))
            if process.pid is None or not is_paused(process.pid):
                silence.end()
            if silence.is_too_long():
                raise self._lost(role, f"has been paused for {SILENCE_SECONDS:g} seconds")

    def _lost(self, role: str, reason: str) -> AlgorithmError:
        process = f"The {role} of host '{self._cluster.name}'"
        return AlgorithmError(f"{process} {reason}. Training cannot go on without it; start the job again.")

    def _await_processes(self) -> None:
        for process, role in self._processes.items():
            process.join(_LEAVE_SECONDS)
            if process.exitcode != 0:
                _logger.warning("The %s of host '%s' did not leave by itself.", role, self._cluster.name)

    def _end_processes(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()

    def _stop(self, *_: object) -> None:
        """Pass SIGTERM to the worker, or exit if the first host is not connected yet."""
        if not self._is_connected and self._cluster.rank > 0:
            _logger.warning(STOPPED_EARLY)
            raise SystemExit(0)
        for process, role in self._processes.items():
            if role == "worker" and process.is_alive():
                process.terminate()


class ClusterHost(SingleHost):
    """The context of a worker, whose supervisor does the rendezvous."""

    is_distributed = True

    def __init__(self, cluster: Cluster, environment: Mapping[str, str], supervisor: Connection) -> None:
        self._environment = environment
        self._supervisor = supervisor
        self.rank, self.size = cluster.rank, cluster.size

    def join(self, terms: Mapping[str, str]) -> ProcessGroup:
        """Wait until every host has read its data, and return their group."""
        from ipinsights.distributed.kvstore_collectives import KVStoreGroup, connect

        self._supervisor.send({"ready": {"agreed": dict(terms)}})
        self._supervisor.recv()
        return KVStoreGroup(self.rank, self.size, connect(self._environment))


def die_with_parent() -> None:
    """End this process when its parent ends in any way, so that no process is left behind."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    # The lock of progress bars is shared between processes. Python would report it as leaked when this one is killed.
    tqdm.set_lock(threading.RLock())

    system = ctypes.CDLL(None)
    if hasattr(system, "prctl"):  # A paused process runs no thread, but Linux kills it all the same.
        system.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def end_of(process: SpawnProcess) -> str:
    """Return how a process ended, as the end of a sentence about it."""
    assert process.exitcode is not None
    if process.exitcode < 0:
        return f"was killed by {signal.Signals(-process.exitcode).name}"
    return f"ended with exit code {process.exitcode}"


def _work(job: Job, cluster: Cluster, environment: Mapping[str, str], quiet: bool, supervisor: Connection) -> None:  # noqa: FBT001
    """Run the worker: train, and report the end to the supervisor."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # After its part the worker waits for the other hosts, and a signal must not end it.
    signal.signal(signal.SIGTERM, ignore)
    try:
        artifact = run(job, quiet=quiet, host=ClusterHost(cluster, environment, supervisor))
    except IPInsightsError as error:
        supervisor.send({"failed": (error.exit_code, str(error))})
    except SystemExit:
        supervisor.send({"stopped": True})
    except Exception as error:
        _logger.exception("The worker failed")
        supervisor.send({"failed": (AlgorithmError.exit_code, repr(error))})
    else:
        supervisor.send({"done": str(artifact) if artifact else None})
        return
    # After an error MXNet would wait for the other hosts before it lets the process exit.
    os._exit(0)


def _serve(environment: Mapping[str, str]) -> None:
    """Run the scheduler or a server. The supervisor handles a terminal's interrupt."""
    die_with_parent()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    from ipinsights.distributed.kvstore_collectives import serve

    serve(environment)

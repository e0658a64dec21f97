"""Where a training job runs: in this process, or on simulated hosts of this machine."""

from __future__ import annotations

import atexit
import multiprocessing
import signal
import socket
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from ipinsights.distributed.cluster import Cluster
from ipinsights.distributed.mpi_collectives import MPIHost, num_mpi_processes
from ipinsights.distributed.rendezvous import lost
from ipinsights.distributed.supervisor import Supervisor, die_with_parent, end_of
from ipinsights.errors import AlgorithmError, ClientError, IPInsightsError
from ipinsights.model import mxnet_package
from ipinsights.training.job import Job, run
from ipinsights.training.signals import held_back

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess
    from pathlib import Path

    from ipinsights.training.callbacks import JobView

__all__ = ["has_several_processes", "require_mxnet", "train"]

_SPAWN = multiprocessing.get_context("spawn")
# Ports that a host with one server uses, from the scheduler's on.
_NUM_PORTS = 4
# What hosts may take to end after the first one has failed.
_END_SECONDS = 30.0


def train(job: Job, *, num_hosts: int = 1, quiet: bool = False, view: JobView | None = None) -> Path | None:
    """Train on this machine with ``num_hosts`` simulated hosts, each with a loopback address.

    A single host is this process itself, unless ``_kvstore`` asks for a distributed store. A process that MPI has
    started is one host of the job.
    """
    if num_mpi_processes() > 1:
        if num_hosts > 1:
            raise ClientError(
                "`num_hosts` is for one machine, and MPI has started a process for each host. Leave it out."
            )
        return _train_by_mpi(job, quiet=quiet)
    if has_several_processes(job, num_hosts):
        require_mxnet()
        return _simulate_hosts(replace(job, rows=None), num_hosts, quiet=quiet)
    return run(job, quiet=quiet, view=view)


def has_several_processes(job: Job, num_hosts: int) -> bool:
    """Return whether a job runs in processes of its own, which ``view`` does not show."""
    return num_hosts > 1 or num_mpi_processes() > 1 or job.hyperparameters.kvstore.startswith("dist")


def require_mxnet() -> None:
    """Raise the error on how to install MXNet if MXNet is missing, without importing MXNet."""
    if not mxnet_package.is_installed():
        import ipinsights.model._mxnet  # noqa: F401


def _train_by_mpi(job: Job, *, quiet: bool) -> Path | None:
    """Be one host of an MPI job."""
    host = MPIHost()
    try:
        return run(replace(job, host_name=f"algo-{host.rank + 1}"), quiet=quiet, host=host)
    except BaseException as error:
        code = int(error.code or 0) if isinstance(error, SystemExit) else getattr(error, "exit_code", 1)
        # The other processes wait for this one. They are ended when this one has reported its error.
        atexit.register(host.abort, code)
        raise


def _simulate_hosts(job: Job, num_hosts: int, *, quiet: bool) -> Path | None:
    """Start a process for each host and wait for all. SIGTERM is passed on to each."""
    port = _free_port()
    hosts: dict[Connection, SpawnProcess] = {}

    def stop(*_: object) -> None:
        for host in hosts.values():
            host.terminate()

    with ExitStack() as stack:
        with held_back():
            for rank in range(num_hosts):
                pipe, host = _start_host(job, Cluster.loopback(num_hosts, rank, port), quiet=quiet)
                stack.callback(host.kill)
                hosts[pipe] = host
            stack.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, stop))
        return _collect(hosts)[0]


def _start_host(job: Job, cluster: Cluster, *, quiet: bool) -> tuple[Connection, SpawnProcess]:
    """Start a host. Return the pipe for its result and the process."""
    ours, theirs = _SPAWN.Pipe(duplex=False)
    arguments = replace(job, host_name=cluster.name), cluster, quiet, theirs
    host = _SPAWN.Process(target=_be_host, args=arguments, name=cluster.name)
    host.start()
    theirs.close()
    return ours, host


def _collect(hosts: Mapping[Connection, SpawnProcess]) -> list[Path | None]:
    """Return the result of every host, in their order, or raise the failure that comes first.

    All have then ended or have had the time for it: one that is paused cannot.
    """
    results: dict[object, Path | None] = {}
    failures: list[IPInsightsError] = []
    while len(results) < len(hosts):
        ready = wait([pipe for pipe in hosts if pipe not in results], _END_SECONDS if failures else None)
        if not ready:
            raise failures[0]
        for pipe in ready:
            assert isinstance(pipe, multiprocessing.connection.Connection)
            try:
                result = pipe.recv()
            except EOFError:
                hosts[pipe].join()
                result = lost(hosts[pipe].name, f"it {end_of(hosts[pipe])}")
            if isinstance(result, IPInsightsError):
                failures.append(result)
            results[pipe] = result
    for host in hosts.values():
        host.join()
    if failures:
        raise failures[0]
    return [results[pipe] for pipe in hosts]


def _be_host(job: Job, cluster: Cluster, quiet: bool, parent: Connection) -> None:  # noqa: FBT001
    """Run one simulated host. The parent handles an interrupt from the terminal."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        parent.send(Supervisor(job, cluster, quiet=quiet).run())
    except SystemExit:
        parent.send(None)
    except IPInsightsError as error:
        parent.send(error)
    except Exception as error:  # noqa: BLE001 - sent to the parent, which fails with it
        parent.send(AlgorithmError(repr(error)))


def _free_port() -> int:
    """Return the first of several consecutive ports that are currently free."""
    while True:
        with ExitStack() as stack:
            first = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            try:
                for port in range(first + 1, first + _NUM_PORTS):
                    stack.enter_context(socket.create_server(("127.0.0.1", port)))
            except (OSError, OverflowError):
                continue
            return int(first)

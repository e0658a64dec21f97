"""Hosts that a machine plays: what becomes of what each of them gives."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ipinsights.distributed.launcher import _collect
from ipinsights.distributed.supervisor import end_of
from ipinsights.errors import AlgorithmError, ClientError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

SPAWN = multiprocessing.get_context("spawn")


def host(name: str, target: Any, *arguments: Any) -> tuple[Connection, SpawnProcess]:
    """Start a process for a host, and return its pipe.

    Only the process has the other end.
    """
    ours, theirs = SPAWN.Pipe(duplex=False)
    given = [theirs if argument is Ellipsis else argument for argument in arguments]
    process = SPAWN.Process(target=target, args=given, name=name)
    process.start()
    theirs.close()
    return ours, process


def sending(name: str, result: object) -> tuple[Connection, SpawnProcess]:
    """Start a host that gives a result."""
    return host(name, type(SPAWN.Pipe()[1]).send, ..., result)


def test_results_are_in_the_order_of_hosts() -> None:
    """Results have the order of the hosts, in whatever order these end."""
    hosts = dict([sending("algo-1", Path("model")), sending("algo-2", None)])
    assert _collect(hosts) == [Path("model"), None]


def test_a_failure_is_raised_as_it_was() -> None:
    """The failure of a host is raised with its message and exit code when all hosts have ended."""
    hosts = dict([sending("algo-1", None), sending("algo-2", ClientError("It is empty."))])
    with pytest.raises(ClientError) as caught:
        _collect(hosts)
    assert str(caught.value) == "It is empty."


@pytest.mark.parametrize(
    ("target", "argument", "end"),
    [(sys.exit, 3, "ended with exit code 3"), (signal.raise_signal, signal.SIGKILL, "was killed by SIGKILL")],
)
def test_a_host_without_a_word_is_lost(target: Any, argument: int, end: str) -> None:
    """A process that gives nothing is no success, however it ended."""
    pipe, process = host("algo-2", target, argument)
    with pytest.raises(AlgorithmError) as caught:
        _collect(dict([sending("algo-1", Path("model")), (pipe, process)]))
    assert str(caught.value) == (
        f"Host 'algo-2' was lost: it {end}. Training cannot go on without it; start the job again."
    )
    assert end_of(process) == end

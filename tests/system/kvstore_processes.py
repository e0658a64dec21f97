"""The processes of a distributed store on this machine: scheduler, servers and workers."""

from __future__ import annotations

import multiprocessing
import socket
from typing import Any

from ipinsights.distributed.cluster import Cluster


def serve(environment: dict[str, str]) -> None:
    """Be the scheduler or a server."""
    from ipinsights.distributed.kvstore_collectives import serve

    serve(environment)


def run(num_hosts: int, num_servers: int, work: Any, *arguments: Any) -> None:
    """Start every process of ``num_hosts`` hosts here, and wait until all have ended well."""
    spawn = multiprocessing.get_context("spawn")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    processes = []
    for rank in range(num_hosts):
        *served, worker = Cluster.loopback(num_hosts, rank, port).roles(num_servers)
        processes += [spawn.Process(target=serve, args=(environment,)) for environment in served]
        own = [rank if argument is Ellipsis else argument for argument in arguments]
        processes.append(spawn.Process(target=work, args=(worker, *own)))
    for process in processes:
        process.start()
    for process in processes:
        process.join(400)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert codes == [0] * len(processes)

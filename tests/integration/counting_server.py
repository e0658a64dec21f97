"""A small preforking server that counts its requests, to test metrics with real processes.

A client sends one line: `ROUTE STATUS ROWS` is counted and acknowledged, `hold ROUTE` is never answered, and
`load yes|no` counts a loaded model. Every acknowledgement is the worker's process id. A worker that ends is replaced.

    python counting_server.py NUM_WORKERS
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import NoReturn

from ipinsights.serving.access_log import RequestRecord
from ipinsights.serving.metrics_exporter import start_exporter
from ipinsights.serving.server_metrics import ServerMetrics


def answer(metrics: ServerMetrics, words: list[str]) -> None:
    """Count what the line asks for."""
    if words[0] == "load":
        metrics.model_loaded(succeeded=words[1] == "yes")
        return
    metrics.request_started(words[-1] if words[0] == "hold" else words[0])
    if words[0] != "hold":
        route, status, rows = words
        metrics.request_finished(RequestRecord("id", route, int(status), int(rows), 10, 20, 0.003))


def work(metrics: ServerMetrics, listener: socket.socket) -> NoReturn:
    """Answer one client after another."""
    while True:
        client, _ = listener.accept()
        with client:
            answer(metrics, client.recv(200).decode().split())
            client.sendall(str(os.getpid()).encode())


def fork(metrics: ServerMetrics, listener: socket.socket) -> int:
    """Start a worker, and return its process id."""
    pid = os.fork()
    if pid == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        work(metrics, listener)
    return pid


def main() -> None:
    """Fork workers, and replace those that end, until SIGTERM."""
    metrics = ServerMetrics()
    exporter = start_exporter(metrics.folder)
    signals = (signal.SIGCHLD, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        workers = {fork(metrics, listener) for _ in range(int(sys.argv[1]))}
        print(listener.getsockname()[1], exporter.port, metrics.folder, flush=True)  # noqa: T201
        while signal.sigwait(signals) == signal.SIGCHLD:
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                workers.discard(pid)
                metrics.worker_ended(pid)
                workers.add(fork(metrics, listener))
    for pid in workers:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    main()

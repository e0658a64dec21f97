"""Measure what metrics and the access log cost: CPU time for each request.

python benchmarks/benchmark_observation.py
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ipinsights.serving.access_log import AccessLog, RequestRecord, request_id_of
from ipinsights.serving.server_metrics import ServerMetrics

if TYPE_CHECKING:
    from collections.abc import Callable

NUM_REQUESTS = 50_000
ROUNDS = 5
HEADERS = [(b"host", b"localhost"), (b"content-type", b"text/csv"), (b"content-length", b"19"), (b"accept", b"*/*")]
RECORD = RequestRecord("0" * 36, "/invocations", 200, 1, 19, 54, 0.0006)


def microseconds(function: Callable[[], object]) -> float:
    """Return the CPU time of a call, the least of some rounds."""
    function()
    times = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        for _ in range(NUM_REQUESTS):
            function()
        times.append((time.process_time() - begun) / NUM_REQUESTS * 1e6)
    return min(times)


def measure(metrics: ServerMetrics, access_log: AccessLog) -> None:
    """Print the cost of each part."""

    def count() -> None:
        metrics.request_started("/invocations")
        metrics.request_finished(RECORD)

    for name, function in (
        ("metrics", count),
        ("access log", lambda: access_log.write(RECORD)),
        ("request id", lambda: request_id_of(HEADERS)),
    ):
        print(f"{name:<12}{microseconds(function):5.1f} µs", flush=True)


def main() -> None:
    """Measure in a forked process, as in a worker."""
    metrics = ServerMetrics()
    with tempfile.TemporaryDirectory() as folder:
        access_log = AccessLog(Path(folder) / "access.log")
        if os.fork() == 0:
            measure(metrics, access_log)
            os._exit(0)
        os.wait()
    shutil.rmtree(metrics.folder)


if __name__ == "__main__":
    main()

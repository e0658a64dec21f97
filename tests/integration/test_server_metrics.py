"""Metrics of several processes, some of which are killed, as a scraper reads them."""

from __future__ import annotations

import concurrent.futures
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from .counting_client import Counting, counting
from .waiting import is_true_soon

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def server() -> Iterator[Counting]:
    """Yield a server of two workers."""
    with counting(2) as running:
        yield running


def test_first_scrape(server: Counting) -> None:
    """Before any request the expected series exist with 0, for alerts on their first increase."""
    samples = server.scrape()
    assert {
        name: value for name, value in samples.items() if "_bucket" not in name and "request_seconds" not in name
    } == {
        **{f"ipinsights_requests_total route=/invocations status={status}": 0 for status in (200, 400, 500, 503)},
        **{
            f"ipinsights_requests_in_flight route={route}": 0
            for route in ("/invocations", "/ping", "/livez", "/execution-parameters", "other")
        },
        "ipinsights_model_loads_total outcome=success": 0,
        "ipinsights_model_loads_total outcome=failure": 0,
        "ipinsights_rows_total": 0,
        "ipinsights_received_bytes_total": 0,
        "ipinsights_sent_bytes_total": 0,
    }


def test_counts_of_all_workers(server: Counting) -> None:
    """All workers are added up: requests, latencies, rows, bytes and loads."""
    workers: Counter[int] = Counter()
    while len(workers) < 2:
        workers[server.send("/invocations 200 3")] += 1
    total = workers.total()
    server.send("load yes")
    server.send("load no")
    samples = server.scrape()
    assert samples["ipinsights_requests_total route=/invocations status=200"] == total
    assert samples["ipinsights_rows_total"] == 3 * total
    assert samples["ipinsights_received_bytes_total"] == 10 * total
    assert samples["ipinsights_sent_bytes_total"] == 20 * total
    assert samples["ipinsights_request_seconds_bucket le=0.0025 route=/invocations"] == 0
    assert samples["ipinsights_request_seconds_bucket le=0.005 route=/invocations"] == total
    assert samples["ipinsights_request_seconds_sum route=/invocations"] == pytest.approx(0.003 * total)
    assert samples["ipinsights_model_loads_total outcome=success"] == 1
    assert samples["ipinsights_model_loads_total outcome=failure"] == 1


def test_labels_are_bounded(server: Counting) -> None:
    """Any other path counts as `other`, any other status as its hundred."""
    for number in range(50):
        server.send(f"/alice/{number} {400 + number} 0")
    samples = server.scrape()
    total = {name: value for name, value in samples.items() if name.startswith("ipinsights_requests_total route=other")}
    assert sum(total.values()) == 50
    assert total["ipinsights_requests_total route=other status=400"] == 50 - len(total) + 1
    assert not any("alice" in name for name in samples)


def test_killed_workers(server: Counting) -> None:
    """If workers are killed under load, no acknowledged request is lost or stays in flight."""
    acknowledged: Counter[str] = Counter()

    def load() -> None:
        for number in range(300):
            line = ("/invocations 200 1", "/invocations 400 0", "/ping 200 0")[number % 3]
            try:
                server.send(line)
            except (OSError, ValueError):
                acknowledged["lost"] += 1
            else:
                acknowledged[line] += 1

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(load) for _ in range(4)]
        for _ in range(5):
            time.sleep(0.05)
            os.kill(server.send("hold /invocations"), signal.SIGKILL)
        for future in futures:
            future.result()
    samples = server.until(lambda found: found["ipinsights_requests_in_flight route=/invocations"] == 0)
    # A worker may be killed between the count and the acknowledgement.
    for line, name in (
        ("/invocations 200 1", "route=/invocations status=200"),
        ("/invocations 400 0", "route=/invocations status=400"),
        ("/ping 200 0", "route=/ping status=200"),
    ):
        counted = samples[f"ipinsights_requests_total {name}"]
        assert acknowledged[line] <= counted <= acknowledged[line] + acknowledged["lost"]
    assert sum(acknowledged.values()) == 1200
    assert acknowledged["lost"] <= 5 * 4


def test_counts_are_exact_after_a_kill(server: Counting) -> None:
    """A worker killed between requests loses no count, although one request is in flight."""
    for _ in range(20):
        server.send("/invocations 200 2")
    assert server.scrape()["ipinsights_requests_in_flight route=/invocations"] == 0
    pid = server.send("hold /invocations")
    assert server.scrape()["ipinsights_requests_in_flight route=/invocations"] == 1
    os.kill(pid, signal.SIGKILL)
    samples = server.until(lambda found: found["ipinsights_requests_in_flight route=/invocations"] == 0)
    assert samples["ipinsights_requests_total route=/invocations status=200"] == 20
    assert samples["ipinsights_rows_total"] == 40


def test_files_do_not_pile_up(server: Counting) -> None:
    """However many workers have ended, their counts are in the same two files."""
    for _ in range(20):
        pid = server.send("/invocations 200 1")
        os.kill(pid, signal.SIGKILL)
        assert is_true_soon(lambda pid: pid not in pids_of_files(server.folder), pid)
    assert server.scrape()["ipinsights_requests_total route=/invocations status=200"] == 20
    assert len(list(server.folder.iterdir())) <= 4 * 3 + 1


def pids_of_files(folder: Path) -> set[int]:
    """Return the process ids in the names of a folder's files."""
    return {int(found[1]) for path in folder.iterdir() if (found := re.search(r"_(\d+)\.db$", path.name))}


def test_counts_never_decrease_while_workers_end(server: Counting) -> None:
    """A scrape during the end of a worker neither misses its counts nor counts them twice."""
    sent, seen = 0, [0.0]
    for _ in range(10):
        for _ in range(5):
            pid = server.send("/ping 200 0")
            sent += 1
        os.kill(pid, signal.SIGKILL)
        assert is_true_soon(lambda pid: pid not in server.children(), pid)
        seen += [server.scrape()["ipinsights_requests_total route=/ping status=200"] for _ in range(3)]
        assert seen[-3:] == 3 * [sent]


def test_no_space_for_a_worker(unmeasured: dict[str, str]) -> None:
    """A worker that cannot allocate its files serves without counting, and reports it once."""
    code = """
import logging, os, resource, signal
from ipinsights.serving.access_log import RequestRecord
from ipinsights.serving.server_metrics import ServerMetrics

logging.basicConfig(format="%(message)s")
metrics = ServerMetrics()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # a full disk of its own
if os.fork() == 0:
    for _ in range(3):
        metrics.request_started("/ping")
        metrics.request_finished(RequestRecord("id", "/ping", 200, 0, 0, 0, 0.1))
    print(os.getpid(), metrics.folder, flush=True)
    os._exit(0)
os.wait()
__import__("shutil").rmtree(metrics.folder)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=unmeasured)
    pid, folder = done.stdout.split()
    assert done.stderr == f"Worker {pid} does not count requests: No space left on device in {folder}.\n"


def test_imported_only_when_needed() -> None:
    """Neither the command line nor the modules load the library before metrics are switched on."""
    code = "import sys, ipinsights.cli, ipinsights.serving.server_metrics; print('prometheus_client' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

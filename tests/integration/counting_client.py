"""A counting server in a process of its own, and what its metrics say."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from .waiting import is_true_soon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


SERVER = Path(__file__).with_name("counting_server.py")


@dataclass
class Counting:
    """A counting server that runs."""

    process: subprocess.Popen[str]
    port: int
    metrics_port: int
    folder: Path

    def send(self, line: str) -> int:
        """Send a line, and return the process id of the worker that answered."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as client:
            client.sendall(line.encode())
            return int(client.recv(20))

    def scrape(self) -> dict[str, float]:
        """Return all samples, by their names with labels."""
        return scrape(self.metrics_port)

    def children(self) -> dict[int, bytes]:
        """Return the command lines of workers and exporter by process id."""
        pids = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids if Path(f"/proc/{pid}").exists()}

    def until(self, is_reached: Callable[[dict[str, float]], bool]) -> dict[str, float]:
        """Scrape until a condition holds, and return the samples."""
        deadline = time.monotonic() + 60
        while not is_reached(samples := self.scrape()):
            assert time.monotonic() < deadline, samples
            time.sleep(0.02)
        return samples


def scrape(port: int) -> dict[str, float]:
    """Return all samples that are exported at a port, by their names with labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as response:
        text = response.read().decode()
    return {
        sample.name + "".join(f" {name}={value}" for name, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def is_gone(path: Path) -> bool:
    """Return whether a folder disappears within some seconds."""
    return is_true_soon(lambda: not path.exists())


@contextlib.contextmanager
def counting(num_workers: int) -> Iterator[Counting]:
    """Run a counting server until the end of the block."""
    process = subprocess.Popen([sys.executable, SERVER, str(num_workers)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    with process:
        port, metrics_port, folder = process.stdout.readline().split()
        running = Counting(process, int(port), int(metrics_port), Path(folder))
        try:
            yield running
        finally:
            process.terminate()
    assert is_gone(running.folder)

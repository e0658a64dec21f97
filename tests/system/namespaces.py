"""Hosts in network namespaces with own addresses, each with SageMaker's folder tree."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ipinsights.testing import make_container_tree

if TYPE_CHECKING:
    from collections.abc import Sequence

HYPERPARAMETERS = {
    "num_entity_vectors": "200",
    "vector_dim": "16",
    "mini_batch_size": "100",
    "epochs": "4",
    "learning_rate": "0.01",
}
_NUMBERS = itertools.count()


@dataclass
class Host:
    """A host in a namespace of its own, running a training job."""

    name: str
    namespace: str
    tree: Path
    process: subprocess.Popen[str]
    log: Path
    returncode: int | None = None

    def text(self) -> str:
        """Return both output streams of the host so far."""
        return self.log.read_text(encoding="utf-8")

    @property
    def failure(self) -> str:
        """Content of the failure file, empty without a file."""
        path = self.tree / "output" / "failure"
        return path.read_text(encoding="utf-8").strip() if path.exists() else ""

    def pid_of(self, role: str) -> int:
        """Return the process id of a role from the log."""
        if role == "supervisor":
            return self.process.pid
        pattern = r"Process (\d+) is a worker\." if role == "worker" else rf"Process (\d+) is a shell:{role}\."
        return int(re.findall(pattern, self.text())[0])

    def sent_bytes(self) -> int:
        """Return the bytes that the host has sent over its interface."""
        return int(self._read("/sys/class/net/eth0/statistics/tx_bytes"))

    def listening_addresses(self) -> set[str]:
        """Return the addresses on which the host's processes listen, from its kernel."""
        table = self._read("/proc/net/tcp", "/proc/net/tcp6")
        rows = [line.split() for line in table.splitlines()]
        found = [row[1].split(":")[0] for row in rows if len(row) > 3 and row[3] == "0A"]
        return {".".join(str(byte) for byte in reversed(bytes.fromhex(address))) for address in found}

    def metrics(self, name: str) -> list[float]:
        """Return the sums of a metric in the ``#metrics`` lines."""
        lines = [json.loads(line[9:]) for line in self.text().splitlines() if line.startswith("#metrics ")]
        return [line["Metrics"][name]["sum"] for line in lines if name in line["Metrics"]]

    def _read(self, *files: str) -> str:
        return ip("netns", "exec", self.namespace, "cat", *files)


@dataclass
class Network:
    """Network namespaces joined by a bridge in one more namespace, separate from the machine."""

    folder: Path
    prefix: str = field(default_factory=lambda: f"ipi{os.getpid() % 100_000}n{next(_NUMBERS)}")
    hosts: list[Host] = field(default_factory=list)

    def __post_init__(self) -> None:
        ip("netns", "add", self.prefix)
        ip("-n", self.prefix, "link", "add", "bridge", "type", "bridge")
        ip("-n", self.prefix, "link", "set", "bridge", "up")

    def add(self, number: int, names: Mapping[str, str]) -> str:
        """Create the namespace of host algo-``number`` with addresses of names.

        Return its name.
        """
        namespace, port = f"{self.prefix}h{number}", f"port{number}"
        ip("netns", "add", namespace)
        ip("-n", namespace, "link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", self.prefix)
        ip("-n", self.prefix, "link", "set", port, "master", "bridge", "up")
        ip("-n", namespace, "address", "add", f"10.77.0.{number}/24", "dev", "eth0")
        ip("-n", namespace, "link", "set", "eth0", "up")
        ip("-n", namespace, "link", "set", "lo", "up")
        files = Path("/etc/netns") / namespace
        files.mkdir(parents=True)
        (files / "hosts").write_text("127.0.0.1 localhost\n" + "".join(f"{ip} {name}\n" for name, ip in names.items()))
        (files / "resolv.conf").write_text("")
        return namespace

    def start(
        self,
        train: Sequence[str],
        *,
        validation: str | None = None,
        distribution: str = "ShardedByS3Key",
        hyperparameters: Mapping[str, str] | Sequence[Mapping[str, str]] = HYPERPARAMETERS,
        names: Sequence[str] | None = None,
        has_checkpoints: bool = False,
    ) -> list[Host]:
        """Start a job with one host for each training file; all hosts get the same validation file."""
        given = names or [f"algo-{number}" for number in range(1, len(train) + 1)]
        known = {f"algo-{number}": f"10.77.0.{number}" for number in range(1, len(train) + 1)}
        for number, text in enumerate(train, start=1):
            values = hyperparameters if isinstance(hyperparameters, Mapping) else hyperparameters[number - 1]
            tree = make_container_tree(
                self.folder / f"host{number}",
                hyperparameters=values,
                channels={"train": text, **({"validation": validation} if validation else {})},
                hosts=given,
                current_host=given[number - 1],
                distribution=distribution,
            )
            if has_checkpoints:
                (tree / "checkpoints").mkdir()
            self.hosts.append(self._start(given[number - 1], self.add(number, known), tree))
        return self.hosts

    def wait(self, seconds: float = 500) -> list[Host]:
        """Wait until every host has ended."""
        deadline = time.monotonic() + seconds
        for host in self.hosts:
            host.returncode = host.process.wait(max(0.1, deadline - time.monotonic()))
        return self.hosts

    def wait_for(self, text: str, seconds: float = 400) -> None:
        """Wait until every host has written a text."""
        deadline = time.monotonic() + seconds
        while not all(text in host.text() for host in self.hosts):
            assert time.monotonic() < deadline, [host.text() for host in self.hosts]
            time.sleep(0.1)

    def remove(self) -> None:
        """End every process, and remove every namespace."""
        for host in self.hosts:
            host.process.kill()
            host.process.wait()
        for namespace in [*(host.namespace for host in self.hosts), self.prefix]:
            for pid in ip("netns", "pids", namespace).split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            ip("netns", "delete", namespace)
            shutil.rmtree(Path("/etc/netns") / namespace, ignore_errors=True)

    def is_empty(self, seconds: float = 60) -> bool:
        """Return whether the namespaces have no process left within some seconds."""
        deadline = time.monotonic() + seconds
        while any(ip("netns", "pids", host.namespace).strip() for host in self.hosts):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def start_again(self) -> None:
        """Start every host's job again in its tree, with a new log."""
        self.hosts[:] = [self._start(host.name, host.namespace, host.tree) for host in self.hosts]

    def _start(self, name: str, namespace: str, tree: Path) -> Host:
        log = tree / "log"
        command: list[str | Path] = ["ip", "netns", "exec", namespace, sys.executable, "-m", "ipinsights"]
        command += ["train", "--base-dir", tree]
        with log.open("w") as stream:
            process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, text=True)
        return Host(name, namespace, tree, process, log)


def ip(*arguments: str) -> str:
    """Run iproute2's command."""
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout

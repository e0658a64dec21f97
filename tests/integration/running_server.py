"""A server in a process of its own, and requests to it."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ipinsights.data.entity_hash import hash_entities
from ipinsights.inference.predictor import Predictor
from ipinsights.testing import save_random_model

from .waiting import is_true_soon

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from typing_extensions import Self

CSV, JSON, JSON_LINES = "text/csv", "application/json", "application/jsonlines"
PAIR = b"user_1,192.168.1.2\n"


class Running:
    """A server that runs until the end of a block, with its log."""

    def __init__(self, model: Path, log: Path, *options: str, stdout: Any = None, **environment: str) -> None:
        self.log = log
        command = [sys.executable, "-m", "ipinsights", "serve", "--model-dir", str(model), "--port", "0", *options]
        with log.open("wb") as stream:
            self.process = subprocess.Popen(
                command, stdout=stdout or stream, stderr=stream, env={**os.environ, **environment}
            )
        self.port = self.port_after("Listening at")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(timeout=60)

    def port_after(self, words: str) -> int:
        """Wait until the log names an address after some words, and return the port."""
        pattern = rf"{words}: http://127.0.0.1:(\d+)"
        if not is_true_soon(lambda: re.search(pattern, self.text()) is not None):
            self.process.kill()
            pytest.fail(self.text())
        return int(re.findall(pattern, self.text())[0])

    def text(self) -> str:
        """Return the log."""
        return self.log.read_text()

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, **options: Any
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request on a new connection.

        Return status, headers with names in lower case, and body of the response.
        """
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request(method, path, body, dict(headers or {}), **options)
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()

    def invoke(self, body: Any = PAIR, content_type: str = CSV, accept: str = "") -> tuple[int, str]:
        """Post to /invocations, and return status and body of the response."""
        headers = {"Content-Type": content_type, **({"Accept": accept} if accept else {})}
        status, _, answer = self.request("POST", "/invocations", body, headers)
        return status, answer.decode()

    def ping(self) -> tuple[int, str]:
        """Return the response to /ping."""
        status, _, answer = self.request("GET", "/ping")
        return status, answer.decode()

    def talk(self, data: bytes) -> bytes:
        """Send any bytes on a new connection.

        Return all bytes until the server closes it.
        """
        received = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as client, contextlib.suppress(OSError):
            client.sendall(data)
            while piece := client.recv(2**16):
                received += piece
        return received

    def workers(self) -> list[int]:
        """Return all workers that were started, oldest first."""
        return [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", self.text())]


def make_model(folder: Path, seed: int = 0) -> Path:
    """Save a model of random parameters."""
    return save_random_model(folder, num_entities=100, vector_dim=8, rng=np.random.default_rng(seed))


def answer_of(model: Path) -> str:
    """Return the right response to the pair."""
    scores = Predictor.load(model).score(hash_entities(["user_1"]), np.array([0xC0A80102], dtype=np.uint32))
    return f'{{"predictions": [{{"dot_product": {float(scores[0])!r}}}]}}'

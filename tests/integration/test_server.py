"""The server under malformed requests, load, full disks, new models and signals, over real sockets."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ipinsights.data.entity_hash import hash_entities
from ipinsights.inference.predictor import Predictor
from ipinsights.serving.model_file import ModelFile
from ipinsights.testing import save_random_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAIR = b"user_1,192.168.1.2\n"
POST = b"POST /invocations HTTP/1.1\r\nHost: a\r\n"


class Running:
    """A server that runs, with its log."""

    def __init__(self, model: Path, log: Path, *options: str, stdout: Any = None) -> None:
        self.log = log
        command = [sys.executable, "-m", "ipinsights", "serve", "--model-dir", str(model), "--port", "0", *options]
        with log.open("wb") as stream:
            self.process = subprocess.Popen(command, stdout=stdout or stream, stderr=stream)
        assert is_true_soon(lambda: "Listening at" in self.text()), self.text()
        found = re.search(r"Listening at: http://127.0.0.1:(\d+)", self.text())
        self.port = int(found[1]) if found else 0

    def text(self) -> str:
        """Return the log."""
        return self.log.read_text()

    def ask(self, method: str = "POST", path: str = "/invocations", body: bytes | None = PAIR) -> tuple[int, str]:
        """Send a request on a new connection, and return status and body of the response."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request(method, path, body, {"Content-Type": "text/csv"})
            response = connection.getresponse()
            return response.status, response.read().decode()

    def ping(self) -> tuple[int, str]:
        """Return the response to /ping."""
        return self.ask("GET", "/ping", None)

    def talk(self, data: bytes) -> bytes:
        """Send any bytes on a new connection, and return everything that comes until the server closes it."""
        received = b""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as client, contextlib.suppress(OSError):
            client.sendall(data)
            while piece := client.recv(2**16):
                received += piece
        return received

    def workers(self) -> list[int]:
        """Return all workers that were started, oldest first."""
        return [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", self.text())]


def is_true_soon(condition: Callable[[], bool], seconds: float = 60) -> bool:
    """Return whether a condition becomes true in time."""
    deadline = time.monotonic() + seconds
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


@contextlib.contextmanager
def running(model: Path, log: Path, *options: str, stdout: Any = None) -> Iterator[Running]:
    """Run a server until the end of the block."""
    server = Running(model, log, *options, stdout=stdout)
    try:
        yield server
    finally:
        server.process.terminate()
        server.process.wait(timeout=30)


def make_model(folder: Path, seed: int = 0) -> Path:
    """Save a model of random parameters."""
    return save_random_model(folder, num_entities=100, vector_dim=8, rng=np.random.default_rng(seed))


def answer_of(model: Path) -> str:
    """Return the right response to the pair."""
    scores = Predictor.load(model).score(hash_entities(["user_1"]), np.array([0xC0A80102], dtype=np.uint32))
    return f'{{"predictions": [{{"dot_product": {float(scores[0])!r}}}]}}'


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model that no test changes."""
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Yield a server that tests share."""
    log = tmp_path_factory.mktemp("server") / "log"
    with running(model, log, "--workers", "2", "--timeout", "2", "--max-payload-mb", "1") as found:
        yield found


class TestMalformedRequests:
    """Requests that gunicorn's parser refuses, or that would hurt it."""

    @pytest.mark.parametrize(
        ("data", "status"),
        [
            (b"GET /ping HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            (b"GET /ping HTTP/1.1\r\n\r\n", 400),
            (b"GET /ping HTTP/2.0\r\n\r\n", 400),
            (b"GET /ping HTTP/1.1\nHost: a\n\n", 400),
            (POST + b"Secret : a\r\n\r\n", 400),
            (POST + b"Transfer-Encoding: identity\r\n\r\n", 400),
            (POST + b"Transfer-Encoding: secret\r\n\r\n", 501),
            (POST + b"Transfer-Encoding: chunked\r\n\r\nsecret\r\n", 400),
            (POST + b"Content-Length: " + b"9" * 4301 + b"\r\n\r\n" + PAIR, 413),
            (POST + b"Content-Length: " + b"9" * 8000 + b"\r\n\r\n" + PAIR, 413),
            (POST + b"Content-Length: 99999999\r\n\r\n", 413),
            (POST + b"X: " + b"a" * 70_000 + b"\r\n\r\n", 431),
            (POST + b"X: a\r\n" * 101 + b"\r\n", 431),
            (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
            (b"GET /nowhere HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nsecret\r\n", 400),
        ],
    )
    def test_one_response(self, server: Running, data: bytes, status: int) -> None:
        """Each is refused once, nothing of it is repeated or logged, and no worker dies."""
        received = server.talk(data)
        assert received.startswith(b"HTTP/1.1 %d " % status)
        assert received.count(b"HTTP/1.1 ") == 1
        assert b"secret" not in received.lower()
        assert "secret" not in server.text().lower()
        assert is_true_soon(lambda: len(server.workers()) == 2)

    @pytest.mark.parametrize("data", [b"", b"GET /pi", POST + b"Content-Length: 100\r\n\r\n" + PAIR])
    def test_a_request_that_does_not_arrive(self, server: Running, data: bytes) -> None:
        """An idle connection is closed quietly, and an incomplete request gets 408, within --timeout."""
        began = time.monotonic()
        received = server.talk(data)
        assert received.startswith(b"HTTP/1.1 408 Request Timeout\r\n" if data else b"")
        assert received.count(b"HTTP/1.1 ") == (1 if data else 0)
        assert 1.5 < time.monotonic() - began < 20

    def test_a_websocket(self, server: Running) -> None:
        """The server speaks HTTP only, and ignores an upgrade."""
        upgrade = b"Connection: close, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n"
        assert server.talk(b"GET /ping HTTP/1.1\r\nHost: a\r\n" + upgrade).startswith(b"HTTP/1.1 200 OK\r\n")


class TestLoad:
    """Small requests next to large, slow and incomplete ones."""

    @pytest.mark.parametrize("keeps", [True, False])
    def test_nothing_is_lost_next_to_large_bodies(self, server: Running, model: Path, keeps: bool) -> None:  # noqa: FBT001
        """Four small and two large clients, on kept and on new connections, get every answer."""
        stop, expected = threading.Event(), answer_of(model)

        def client(rows: int) -> int:
            connection, count = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30), 0
            with contextlib.closing(connection):
                while not stop.is_set():
                    connection.request("POST", "/invocations", PAIR * rows, {"Content-Type": "text/csv"})
                    response = connection.getresponse()
                    text = response.read().decode()
                    assert response.status == 200
                    assert rows > 1 or text == expected
                    count += 1
                    if not keeps:
                        connection.close()
            return count

        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            futures = [pool.submit(client, rows) for rows in (1, 1, 1, 1, 20_000, 20_000)]
            time.sleep(2)
            stop.set()
            assert all(future.result() for future in futures)

    def test_idle_connections_push_nobody_out(self, model: Path, tmp_path: Path) -> None:
        """A client that needs a second for its request is answered next to 200 idle connections."""
        request = POST + b"Connection: close\r\nContent-Length: 19\r\n\r\n" + PAIR
        with running(model, tmp_path / "log", "--workers", "1") as server, contextlib.ExitStack() as stack:
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            slow.sendall(request[:40])
            for _ in range(200):
                stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            assert server.ping()[0] == 200
            time.sleep(1)
            slow.sendall(request[40:])
            received = b""
            while piece := slow.recv(2**16):
                received += piece
        assert received.endswith(answer_of(model).encode())


class TestStandardOutput:
    """A log that cannot be written changes no answer."""

    def test_disk_full(self, model: Path, tmp_path: Path) -> None:
        """Every request is answered."""
        with Path("/dev/full").open("wb") as full, running(model, tmp_path / "log", stdout=full) as server:
            assert server.ask() == (200, answer_of(model))

    def test_reader_gone(self, model: Path, tmp_path: Path) -> None:
        """Every request is answered."""
        reader, writer = os.pipe()
        with running(model, tmp_path / "log", stdout=writer) as server:
            os.close(reader)
            assert [server.ask() for _ in range(3)] == 3 * [(200, answer_of(model))]
        os.close(writer)

    def test_reader_asleep(self, model: Path, tmp_path: Path) -> None:
        """Requests do not wait for a full pipe."""
        reader, writer = os.pipe()
        with running(model, tmp_path / "log", "--workers", "1", stdout=writer) as server:
            # A pipe holds 64 KiB, and a request leaves some 250 bytes.
            assert {server.ask() for _ in range(400)} == {(200, answer_of(model))}
        os.close(reader)
        os.close(writer)


class TestNewModel:
    """Models that are replaced, damaged, and loaded again."""

    @pytest.fixture
    def changing(self, tmp_path: Path) -> Path:
        """Return a model directory that the test changes."""
        folder = tmp_path / "changing"
        return make_model(folder)

    def replace(self, changing: Path, content: Path | bytes) -> None:
        """Rename another file over the model."""
        file = ModelFile(changing).path
        new = file.with_name("new")
        if isinstance(content, bytes):
            new.write_bytes(content)
        else:
            shutil.copy(ModelFile(content).path, new)
        new.replace(file)

    def test_sighup(self, changing: Path, tmp_path: Path) -> None:
        """A new model is served after SIGHUP, and an invalid one is logged and not served."""
        other = make_model(tmp_path / "other", seed=1)
        with running(changing, tmp_path / "log", "--workers", "2") as server:
            before = server.ask()
            self.replace(changing, b"garbage")
            server.process.send_signal(signal.SIGHUP)
            assert is_true_soon(lambda: "The new model is not used: " in server.text())
            assert (server.ask(), server.ping()[0]) == (before, 200)
            self.replace(changing, other)
            server.process.send_signal(signal.SIGHUP)
            assert is_true_soon(lambda: server.ask() == (200, answer_of(other)))
            assert before == (200, answer_of(make_model(tmp_path / "same")))

    def test_watch(self, changing: Path, tmp_path: Path) -> None:
        """With --watch-model no signal is needed, and a kept connection sees the new model without a loss."""
        other = make_model(tmp_path / "other", seed=1)
        with running(changing, tmp_path / "log", "--workers", "1", "--watch-model") as server:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)

            def ask() -> str:
                connection.request("POST", "/invocations", PAIR, {"Content-Type": "text/csv"})
                return connection.getresponse().read().decode()

            before = ask()
            self.replace(changing, other)
            assert is_true_soon(lambda: ask() == answer_of(other))
            assert before != answer_of(other)
            connection.close()

    @pytest.mark.parametrize("change", ["overwrite", "truncate"])
    def test_changed_in_place(self, changing: Path, tmp_path: Path, change: str) -> None:
        """No score is wrong and no worker dies: requests and /ping get 503 until a whole model is loaded."""
        copy = tmp_path / "copy"
        shutil.copytree(changing if changing.is_dir() else changing.parent, copy)
        with running(changing, tmp_path / "log", "--workers", "2") as server:
            file = ModelFile(changing).path
            if change == "truncate":
                os.truncate(file, 1000)
            else:
                with file.open("r+b") as stream:
                    stream.seek(100)
                    stream.write(b"\1" * (file.stat().st_size // 2))
            message = (
                "The model file was changed in use. Rename a whole model to its place, then reload the server with "
                "SIGHUP.\n"
            )
            assert (server.ask(), server.ping()) == ((503, message), (503, message))
            num_workers = len(server.workers())
            os.kill(server.workers()[0], signal.SIGKILL)
            assert is_true_soon(lambda: len(server.workers()) > num_workers)
            assert {server.ask() for _ in range(10)} == {(503, message)}
            self.replace(changing, copy)
            server.process.send_signal(signal.SIGHUP)
            assert is_true_soon(lambda: server.ask() == (200, answer_of(copy)))


class TestSignals:
    """Workers that are killed, and the end of a server."""

    def test_five_kills(self, model: Path, tmp_path: Path) -> None:
        """Killed workers are replaced, and the server goes on."""
        with running(model, tmp_path / "log", "--workers", "2") as server:
            assert is_true_soon(lambda: len(server.workers()) == 2)
            for number in range(5):
                os.kill(server.workers()[number], signal.SIGKILL)
                assert is_true_soon(lambda number=number: len(server.workers()) == number + 3)
                assert server.ask()[0] == 200
            assert server.process.poll() is None

    def test_sigterm_with_an_idle_connection(self, model: Path, tmp_path: Path) -> None:
        """A kept connection does not delay the end."""
        with running(model, tmp_path / "log", "--workers", "2") as server:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            connection.request("GET", "/ping")
            connection.getresponse().read()
            began = time.monotonic()
            server.process.terminate()
            assert server.process.wait(timeout=30) == 0
            assert time.monotonic() - began < 5
            connection.close()

    def test_uvloop_is_used(self, server: Running) -> None:
        """The event loop is uvloop's where it can be installed."""
        assert is_true_soon(lambda: len(server.workers()) == 2)

        def is_loaded() -> bool:
            """Return whether the oldest worker has the library of uvloop in memory."""
            return "uvloop" in Path(f"/proc/{server.workers()[0]}/maps").read_text()

        if importlib.util.find_spec("uvloop") is not None:
            assert is_true_soon(is_loaded)
        else:
            assert not is_loaded()

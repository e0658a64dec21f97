"""The server under malformed requests, load and signals, over real sockets."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import importlib.util
import os
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .running_server import PAIR, Running, answer_of
from .waiting import is_true_soon

if TYPE_CHECKING:
    from collections.abc import Iterator

POST = b"POST /invocations HTTP/1.1\r\nHost: a\r\n"


@pytest.fixture(scope="module")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Yield a server that tests share."""
    log = tmp_path_factory.mktemp("server") / "log"
    with Running(model, log, "--workers", "2", "--timeout", "2", "--max-payload-mb", "1") as found:
        yield found


class TestMalformedRequests:
    """Requests that gunicorn's parser refuses, or that would hurt it."""

    @pytest.mark.parametrize(
        ("data", "status"),
        [
            (b"GET /ping HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            (b"GET /ping HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
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
        """Within --timeout, an idle connection is closed, and an incomplete request gets 408."""
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
        expected = answer_of(model)

        def client(rows: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            with contextlib.closing(connection):
                for _ in range(100 if rows == 1 else 10):
                    connection.request("POST", "/invocations", PAIR * rows, {"Content-Type": "text/csv"})
                    response = connection.getresponse()
                    text = response.read().decode()
                    assert response.status == 200
                    assert rows > 1 or text == expected
                    if not keeps:
                        connection.close()

        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            for _ in pool.map(client, (1, 1, 1, 1, 20_000, 20_000)):
                pass

    def test_idle_connections_push_nobody_out(self, model: Path, tmp_path: Path) -> None:
        """A client that is slow to send its request is answered next to 200 idle connections."""
        request = POST + b"Connection: close\r\nContent-Length: 19\r\n\r\n" + PAIR
        with Running(model, tmp_path / "log", "--workers", "1") as server, contextlib.ExitStack() as stack:
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            slow.sendall(request[:40])
            for _ in range(200):
                stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            assert server.ping()[0] == 200
            slow.sendall(request[40:])
            received = b""
            while piece := slow.recv(2**16):
                received += piece
        assert received.endswith(answer_of(model).encode())


class TestSignals:
    """Workers that are killed, and the end of a server."""

    def test_five_kills(self, model: Path, tmp_path: Path) -> None:
        """Killed workers are replaced, and the server goes on."""
        with Running(model, tmp_path / "log", "--workers", "2") as server:
            assert is_true_soon(lambda: len(server.workers()) == 2)
            for number in range(5):
                os.kill(server.workers()[number], signal.SIGKILL)
                assert is_true_soon(lambda expected: len(server.workers()) == expected, number + 3)
                assert server.invoke()[0] == 200
            assert server.process.poll() is None

    def test_sigterm_with_an_idle_connection(self, model: Path, tmp_path: Path) -> None:
        """A kept connection does not delay the end."""
        with Running(model, tmp_path / "log", "--workers", "2") as server:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            connection.request("GET", "/ping")
            connection.getresponse().read()
            began = time.monotonic()
            server.process.terminate()
            assert server.process.wait(timeout=30) == 0
            assert time.monotonic() - began < 7  # the grace of requests in flight is 8 seconds
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

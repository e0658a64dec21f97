"""Connections to the server: what they carry, when they end, and clients that misbehave."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from .running_server import CSV, JSON, JSON_LINES, PAIR, Running


class TestConnections:
    """What a connection carries, and when it ends."""

    def test_it_carries_one_request_after_another(self, server: Running, score: float) -> None:
        """Whatever is answered, refusals too; the client opens one connection only."""
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        connection.connect()
        first = connection.sock
        for path, body, expected in (("/invocations", PAIR, 200), ("/nowhere", PAIR, 404), ("/invocations", PAIR, 200)):
            connection.request("POST", path, body, {"Content-Type": CSV})
            response = connection.getresponse()
            answer = response.read().decode()
            assert (response.status, response.getheader("Connection")) == (expected, None)
        assert connection.sock is first
        assert answer == f'{{"predictions": [{{"dot_product": {score!r}}}]}}'
        connection.close()

    @pytest.mark.parametrize(
        "head", [b"POST /invocations HTTP/1.1\r\nHost: a\r\nConnection: close", b"POST /invocations HTTP/1.0"]
    )
    def test_it_ends_when_the_client_wants_that(self, server: Running, head: bytes) -> None:
        """By a header, or by speaking HTTP/1.0."""
        with connect(server) as client:
            client.sendall(head + b"\r\nContent-Length: 19\r\n\r\n" + PAIR)
            received = read_all(client)
        assert received[8:].startswith(b" 200 OK\r\n")
        assert received.count(b" 200 OK") == 1
        assert received.endswith(b"}]}")

    def test_pipelined_requests_are_answered_in_order(self, server: Running) -> None:
        """Requests that arrive together each have one answer."""
        rows = [b"user_%d,192.168.1.2\n" % number for number in range(5)]
        head = b"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Length: 19\r\n"
        last = head + b"Connection: close\r\n"
        client = connect(server)
        client.sendall(b"".join([head + b"\r\n" + row for row in rows[:-1]] + [last + b"\r\n" + rows[-1]]))
        answers = read_all(client).split(b"HTTP/1.1 200 OK\r\n")[1:]
        assert [json.loads(answer.partition(b"\r\n\r\n")[2]) for answer in answers] == [
            json.loads(server.invoke(row)[1]) for row in rows
        ]

    def test_what_comes_later_must_be_a_request(self, server: Running) -> None:
        """Rows that come when their request is answered are refused, and the connection ends."""
        client = socket.create_connection(("127.0.0.1", server.port))
        client.sendall(b"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Length: 19\r\n\r\n" + PAIR)
        assert client.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
        client.sendall(b"user_2,192.168.1.2\r\n\r\n")
        assert read_all(client).startswith(b"HTTP/1.1 400 Bad Request\r\n")

    @pytest.mark.parametrize("path", [b"/ping", b"/nowhere"])
    def test_head(self, server: Running, path: bytes) -> None:
        """A response to HEAD has no body, not even that of a refusal."""
        assert read_all(self.asked(server, b"HEAD %b HTTP/1.1" % path)).endswith(b"\r\n\r\n")

    def test_a_client_that_sends_nothing_more_gets_its_answer(self, server: Running, score: float) -> None:
        """A client may close its side of the connection behind its request."""
        client = connect(server)
        client.sendall(b"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Length: 19\r\n\r\n" + PAIR)
        client.shutdown(socket.SHUT_WR)
        assert read_all(client).endswith(f'{{"predictions": [{{"dot_product": {score!r}}}]}}'.encode())

    def test_who_is_refused_early_is_listened_to_for_two_seconds(self, server: Running) -> None:
        """A client that gets 413 can read it for two seconds while it still sends.

        Then the connection is closed.
        """
        client = self.asked(server, b"POST /invocations HTTP/1.1\r\nContent-Length: 99999999999")
        client.settimeout(30)
        assert client.recv(65536).startswith(b"HTTP/1.1 413 ")
        start, ended = time.monotonic(), False
        while not ended and time.monotonic() - start < 60:
            try:
                client.sendall(b"a" * 1000)
            except OSError:
                ended = True
            time.sleep(0.01)
        assert ended
        assert time.monotonic() - start > 1
        client.close()

    @staticmethod
    def asked(server: Running, head: bytes) -> socket.socket:
        """Return a connection on which the head of a request was sent."""
        client = socket.create_connection(("127.0.0.1", server.port))
        client.sendall(head + b"\r\nHost: a\r\nConnection: close\r\n\r\n")
        return client


class TestRobustness:
    """Clients that misbehave, and workers that die."""

    def test_slow_clients(self, server: Running, score: float) -> None:
        """Forty incomplete requests delay no other client, and are answered when complete."""
        head = b"POST /invocations HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 19\r\n\r\n"
        slow = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(40)]
        for number, client in enumerate(slow):
            client.sendall((head + PAIR)[: 5 + number])
        for _ in range(20):
            assert server.invoke(PAIR)[0] == 200
        for number, client in enumerate(slow):
            client.sendall((head + PAIR)[5 + number :])
            assert repr(score).encode() in read_all(client)

    def test_too_slow(self, model: Path, tmp_path: Path) -> None:
        """A request that is not complete within the timeout gets 408.

        An answer that nobody reads is cut off.
        """
        with Running(model, tmp_path / "log", "--workers", "1", "--timeout", "1") as served:
            reader = connect(served)
            reader.sendall(self.large_request())
            client = connect(served)
            client.sendall(b"POST /invocations HTTP/1.1\r\n")
            assert read_all(client).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
            while "A client did not read its answer within 1 seconds." not in served.log.read_text():
                time.sleep(0.05)
            assert read_all(reader).count(b"dot_product") < self.NUM_ROWS

    NUM_ROWS = 40_000

    def large_request(self) -> bytes:
        """Return a request whose answer is larger than all buffers between server and client."""
        head = (
            b"POST /invocations HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept: application/json; verbose=True\r\n"
            b"Content-Length: %d\r\n\r\n"
        )
        return head % (self.NUM_ROWS * len(PAIR)) + PAIR * self.NUM_ROWS

    def test_slow_readers(self, model: Path, tmp_path: Path) -> None:
        """While two clients leave large answers unread, others are answered.

        One reads in the end, all of it.
        """
        with Running(model, tmp_path / "log", "--workers", "1") as served:
            slow = [connect(served) for _ in range(2)]
            for client in slow:
                client.sendall(self.large_request())
            for client in slow:
                assert client.recv(12) == b"HTTP/1.1 200"
            assert all(served.invoke(PAIR)[0] == 200 for _ in range(20))
            assert read_all(slow[0]).count(b"dot_product") == self.NUM_ROWS
            slow[1].close()

    def test_chunked(self, server: Running, score: float) -> None:
        """A body in chunks is read, one that is too large refused."""
        headers = {"Transfer-Encoding": "chunked", "Content-Type": CSV}
        chunks = iter([PAIR[:3], PAIR[3:], PAIR])
        status, _, body = server.request("POST", "/invocations", chunks, headers, encode_chunked=True)
        assert (status, json.loads(body)) == (200, {"predictions": 2 * [{"dot_product": score}]})
        many = (PAIR * 1000 for _ in range(100))
        assert server.request("POST", "/invocations", many, headers, encode_chunked=True)[0] == 413

    @pytest.mark.parametrize("body", [b"zz\r\n", b"5\r\nuser_12\r\n0\r\n\r\n", b"5\r\nus", b"-5\r\n", b"\r\n\r\n"])
    def test_broken_chunks(self, server: Running, body: bytes) -> None:
        """Chunks that are none, or that end too early, are the client's fault."""
        client = socket.create_connection(("127.0.0.1", server.port))
        client.sendall(b"POST /invocations HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
        client.shutdown(socket.SHUT_WR)
        assert read_all(client).startswith(b"HTTP/1.1 400 ")
        assert server.invoke(PAIR)[0] == 200

    @pytest.mark.parametrize(
        ("length", "body", "answer"),
        [
            (b"100", PAIR, b"The payload ended before all of its 100 bytes arrived.\n"),
            (b"-5", PAIR, b"400 Bad Request"),
            (b"many", PAIR, b"400 Bad Request"),
            (b"99999999999999999999999", PAIR, b"413 "),
        ],
    )
    def test_wrong_length(self, server: Running, length: bytes, body: bytes, answer: bytes) -> None:
        """A length that is no number, or is not kept, is refused; the server goes on."""
        client = socket.create_connection(("127.0.0.1", server.port))
        client.sendall(b"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Length: " + length + b"\r\n\r\n" + body)
        client.shutdown(socket.SHUT_WR)
        found = read_all(client)
        assert found.startswith(b"HTTP/1.1 4")
        assert answer in found
        assert server.invoke(PAIR)[0] == 200

    @pytest.mark.slow
    def test_killed_worker(self, model: Path, tmp_path: Path) -> None:
        """If a worker is killed under load, at most its own request is lost, and a new one starts."""
        with Running(model, tmp_path / "log", "--workers", "2") as served:
            answered, lost, stop = [], [], threading.Event()

            def load() -> None:
                while not stop.is_set():
                    try:
                        answered.append(served.invoke(PAIR)[0])
                    except (OSError, http.client.HTTPException):
                        lost.append(1)

            def wait_for(num_answers: int) -> None:
                while len(answered) < num_answers:
                    time.sleep(0.01)

            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                futures = [pool.submit(load) for _ in range(8)]
                wait_for(200)
                victim = served.workers()[0]
                os.kill(victim, signal.SIGKILL)
                while len(served.workers()) < 3:
                    time.sleep(0.01)
                wait_for(len(answered) + 200)
                stop.set()
                for future in futures:
                    future.result()
            assert len(served.workers()) == 3
            assert victim not in served.workers()[1:]
            # What it had taken from the queue and not answered yet goes with it.
            assert len(lost) <= 8
            assert set(answered) == {200}

    def test_sigterm(self, model: Path, tmp_path: Path, score: float) -> None:
        """A request that is being answered is answered whole, and the server is gone, with 0."""
        with Running(model, tmp_path / "log", "--workers", "1") as served:
            rows = 100_000
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                future = pool.submit(served.invoke, PAIR * rows)
                while served.log.read_text().count("invocations.count") < 1:
                    time.sleep(0.001)
                served.process.send_signal(signal.SIGTERM)
                assert served.process.wait(timeout=60) == 0
                status, answer = future.result()
            assert (status, json.loads(answer)) == (200, {"predictions": rows * [{"dot_product": score}]})

    def test_sigterm_in_the_middle_of_a_request(self, model: Path, tmp_path: Path, score: float) -> None:
        """A request whose rest comes at once is answered still, and its connection is the last."""
        with Running(model, tmp_path / "log", "--workers", "1") as served:
            client = socket.create_connection(("127.0.0.1", served.port), timeout=30)
            client.sendall(b"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Length: 19\r\n\r\n")
            other = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
            other.request("GET", "/ping")
            assert other.getresponse().read() == b""  # by now the worker has the head
            served.process.send_signal(signal.SIGTERM)
            is_ending = False
            while not is_ending:
                other.request("GET", "/ping")
                response = other.getresponse()
                is_ending = response.getheader("Connection") == "close"
                response.read()
            client.sendall(PAIR)
            answer = read_all(client).decode()
            assert served.process.wait(timeout=60) == 0
        assert answer.startswith("HTTP/1.1 200 OK\r\n")
        assert "\r\nConnection: close\r\n" in answer
        assert answer.endswith(f'\r\n\r\n{{"predictions": [{{"dot_product": {score!r}}}]}}')

    def test_sigterm_under_load(self, model: Path, tmp_path: Path, score: float) -> None:
        """SIGTERM under full load ends the server without a truncated answer.

        There is a worker for each processor, and eight clients send without pause.
        """
        expected = f'{{"predictions": [{{"dot_product": {score!r}}}]}}'.encode()
        with Running(model, tmp_path / "log") as served:
            answers: list[bytes] = []

            def load() -> None:
                connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
                with contextlib.suppress(ConnectionError), contextlib.closing(connection):
                    while True:
                        connection.request("POST", "/invocations", PAIR, {"Content-Type": CSV})
                        answers.append(connection.getresponse().read())

            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                futures = [pool.submit(load) for _ in range(8)]
                while len(answers) < 200:
                    time.sleep(0.01)
                served.process.send_signal(signal.SIGTERM)
                assert served.process.wait(timeout=60) == 0
                for future in futures:
                    future.result()
            assert set(answers) == {expected}
            assert f"Number of server workers: {len(os.sched_getaffinity(0))}\n" in served.log.read_text()

    @pytest.mark.slow
    def test_malformed_among_good(self, server: Running, score: float) -> None:
        """With half of forty thousand requests invalid, valid requests get correct answers.

        Memory stops growing.
        """
        expected = (200, f'{{"predictions": [{{"dot_product": {score!r}}}]}}')
        rng = np.random.default_rng(1)
        bad = [rng.bytes(int(size)) for size in rng.integers(1, 300, size=100)]
        bad += [b"user_1", b"a,b\n", b'{"instances":', b'{"instances":[1]}', b"\x1f\x8b\0\0", b'"', b"a,1.2.3.4\0"]

        def exchange(number: int) -> bool:
            if number % 2:
                return server.invoke(PAIR) == expected
            content_type = (CSV, JSON, JSON_LINES)[number // 2 % 3]
            return server.invoke(bad[number // 2 % len(bad)], content_type)[0] == 400

        def memory() -> int:
            fields = [Path(f"/proc/{pid}/statm").read_text().split() for pid in server.workers()]
            return sum(int(resident) for _, resident, *_ in fields) * os.sysconf("SC_PAGE_SIZE")

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            # Until then allocators and Arrow take what they keep: 44, 20, 1 and 0 MB in steps of 9,000 requests.
            assert all(pool.map(exchange, range(22_000)))
            before = memory()
            assert all(pool.map(exchange, range(18_000)))
        assert memory() - before < 10 * 2**20


def connect(server: Running) -> socket.socket:
    """Return a connection to a server."""
    return socket.create_connection(("127.0.0.1", server.port), timeout=30)


def read_all(client: socket.socket) -> bytes:
    """Return all bytes until the server closes the connection, and close it."""
    client.settimeout(30)
    received = b""
    with client:
        while data := client.recv(65536):
            received += data
    return received

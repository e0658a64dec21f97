"""The server over real sockets, with the clients that people use."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from botocore.config import Config

from ipinsights.data.entity_hash import hash_entities
from ipinsights.inference.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CSV, JSON, JSON_LINES = "text/csv", "application/json", "application/jsonlines"
PAIR = b"user_1,192.168.1.2\n"


@dataclass
class Running:
    """A server that runs."""

    process: subprocess.Popen[str]
    port: int
    log: Path

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, **options: Any
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request; give status, headers with names in lower case, and body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, dict(headers or {}), **options)
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        finally:
            connection.close()

    def invoke(self, body: Any, content_type: str = CSV, accept: str = "") -> tuple[int, str]:
        """Post to /invocations; give status and body."""
        headers = {"Content-Type": content_type, **({"Accept": accept} if accept else {})}
        status, _, answer = self.request("POST", "/invocations", body, headers)
        return status, answer.decode()

    def workers(self) -> list[int]:
        """Return the worker processes that were booted, oldest first."""
        return [int(pid) for pid in re.findall(r"Booting worker with pid: (\d+)", self.log.read_text())]


@contextlib.contextmanager
def served(model: Path, log: Path, *options: str, **environment: str) -> Iterator[Running]:
    """Run `ipinsights serve` on a free port until it is no longer needed."""
    command = [sys.executable, "-m", "ipinsights", "serve", "--model-dir", str(model), "--port", "0", *options]
    with log.open("w") as stream:
        process = subprocess.Popen(
            command, stdout=stream, stderr=subprocess.STDOUT, text=True, env={**os.environ, **environment}
        )
    try:
        yield Running(process, _port(process, log), log)
    finally:
        process.terminate()
        process.wait(timeout=60)


def _port(process: subprocess.Popen[str], log: Path) -> int:
    """Wait for the line that says where the server listens."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"Listening at: http://[\d.]+:(\d+)", log.read_text())
        if found:
            return int(found[1])
        time.sleep(0.05)
    pytest.fail(f"The server did not start:\n{log.read_text()}")


@pytest.fixture(scope="module")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Yield a server of two workers and payloads of up to 1 MB."""
    log = tmp_path_factory.mktemp("server") / "log"
    with served(model, log, "--workers", "2", "--max-payload-mb", "1") as running:
        yield running


@pytest.fixture(scope="module")
def score(model: Path) -> float:
    """Return the score of the pair in most requests."""
    return float(Predictor.load(model).score(hash_entities(["user_1"]), np.array([0xC0A80102], dtype=np.uint32))[0])


class TestRoutes:
    """What is where."""

    def test_ping(self, server: Running) -> None:
        """It answers 200 and nothing, and leaves no line."""
        before = server.log.read_text().count("#metrics")
        status, _, body = server.request("GET", "/ping")
        assert (status, body) == (200, b"")
        assert server.log.read_text().count("#metrics") == before

    def test_execution_parameters(self, server: Running) -> None:
        """A batch transform learns the number of workers and the size of a payload."""
        status, headers, body = server.request("GET", "/execution-parameters")
        assert (status, headers["content-type"]) == (200, JSON)
        expected = {"MaxConcurrentTransforms": 2, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 1}
        assert json.loads(body) == expected

    @pytest.mark.parametrize(
        ("method", "path", "status", "message"),
        [
            ("GET", "/", 404, "There is nothing at /: this server answers GET /ping, GET /execution-parameters and "
                              "POST /invocations.\n"),
            ("GET", "/invocations", 405, "/invocations answers POST, not GET.\n"),
            ("PUT", "/invocations", 405, "/invocations answers POST, not PUT.\n"),
            ("POST", "/ping", 405, "/ping answers GET, not POST.\n"),
        ],
    )  # fmt: skip
    def test_wrong_ways_in(self, server: Running, method: str, path: str, status: int, message: str) -> None:
        """They get 404, or 405 with what is allowed."""
        found, headers, body = server.request(method, path)
        assert (found, body.decode()) == (status, message)
        assert ("allow" in headers) == (status == 405)

    def test_log(self, server: Running) -> None:
        """Each request leaves the line of the original, and no byte of what was sent."""
        server.invoke(b"secret_name,192.168.1.2")
        server.invoke(b"secret_name,no address")
        server.request("GET", "/execution-parameters")
        log = server.log.read_text()
        lines = [json.loads(line.removeprefix("#metrics ")) for line in log.splitlines() if line.startswith("#metrics")]
        dimensions = {"Algorithm": "IPInsightsModel", "Host": "UNKNOWN", "Operation": "scoring"}
        assert lines[-1]["Dimensions"] == dimensions
        one = {"sum": 1.0, "count": 1, "min": 1, "max": 1}
        assert [line["Metrics"] for line in lines[-3:]] == [
            {"invocations.count": one}, {"invocations.count": one}, {"execution_parameters.count": one}
        ]  # fmt: skip
        assert "secret_name" not in log
        for line in ("Number of server workers: 2", "loading model...", "...model loaded."):
            assert log.count(f"] {line}\n") == 1
        assert log.index("...model loaded.") < log.index("Booting worker")


class TestInvocations:
    """Requests and answers."""

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            ("", PAIR),
            (CSV, b"user_1, 192.168.1.2"),
            ("text/csv; charset=utf-8", PAIR),
            (JSON, b'{"instances": [{"features": ["user_1", "192.168.1.2"]}]}'),
            (JSON, b'{"instances": [{"data": {"features": {"values": ["user_1", "192.168.1.2"]}}}]}'),
            (JSON_LINES, b'{"features": ["user_1", "192.168.1.2"]}\n'),
        ],
    )
    def test_every_format(self, server: Running, score: float, content_type: str, body: bytes) -> None:
        """The same pair has the same score, in JSON as the original writes it."""
        expected = f'{{"predictions": [{{"dot_product": {score!r}}}]}}'
        assert server.invoke(body, content_type) == (200, expected)
        assert server.invoke(body, content_type, accept="*/*") == (200, expected)

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            (CSV, "entity_id_1, 192.168.1.2\nentity_id_2, 10.10.1.2"),
            (
                JSON,
                '{"instances": [{"data": {"features": {"values": ["entity_id_1", "192.168.1.2"]}}},'
                ' {"features": ["entity_id_2", "10.10.1.2"]}]}',
            ),
            (
                JSON_LINES,
                '{"data": {"features": {"values": ["entity_id_1", "192.168.1.2"]}}},\n'
                '{"features": ["entity_id_2", "10.10.1.2"]}]',
            ),
            (
                JSON,
                '{"instances": [{"configuration": {}, "data": {"features": {"keys": [], "values": ["entity_id_1", '
                '"192.168.1.2"], "shape": [2]}}}, {"data": {"features": ["entity_id_2", "10.10.1.2"]}}]}',
            ),
        ],
    )
    def test_documented_examples(self, server: Running, model: Path, content_type: str, body: str) -> None:
        """Each body that the developer guide shows, to the letter, has the scores of its two pairs."""
        entities, ips = hash_entities(["entity_id_1", "entity_id_2"]), np.array([0xC0A80102, 0x0A0A0102], np.uint32)
        scores = Predictor.load(model).score(entities, ips).tolist()
        expected = json.dumps({"predictions": [{"dot_product": score} for score in scores]})
        assert server.invoke(body.encode(), content_type) == (200, expected)

    @pytest.mark.parametrize(
        ("accept", "keys"),
        [
            ("application/jsonlines", ["dot_product"]),
            ("application/jsonlines; verbose=True", ["dot_product", "ip_embedding", "entity_embedding"]),
            ("application/jsonlines;verbose=True", ["dot_product", "ip_embedding", "entity_embedding"]),
            ("application/jsonlines; VERBOSE=true", ["dot_product", "ip_embedding", "entity_embedding"]),
            ("application/jsonlines; extended=True", ["dot_product", "entity_known", "probability"]),
            ("text/csv;q=0.9, application/*;q=0.1, application/jsonlines;q=0.5", ["dot_product"]),
        ],
    )
    def test_documented_answers(self, server: Running, accept: str, keys: list[str]) -> None:
        """Each way to ask for JSON Lines gives a record with its keys on a line, without blanks."""
        status, answer = server.invoke(PAIR, accept=accept)
        assert (status, list(json.loads(answer))) == (200, keys)
        assert " " not in answer
        assert answer.endswith("}\n")

    def test_json_lines(self, server: Running, score: float) -> None:
        """They are compact, a line for a record."""
        assert server.invoke(2 * PAIR, accept=JSON_LINES) == (200, 2 * f'{{"dot_product":{score!r}}}\n')

    @pytest.mark.parametrize("accept", ["application/json; verbose=True", "application/json;verbose=true"])
    def test_verbose(self, server: Running, model: Path, accept: str) -> None:
        """With the embeddings, in the original's order."""
        status, answer = server.invoke(PAIR, accept=accept)
        (record,) = json.loads(answer)["predictions"]
        assert (status, list(record)) == (200, ["dot_product", "ip_embedding", "entity_embedding"])
        expected = Predictor.load(model).entity_embeddings(hash_entities(["user_1"]))[0]
        assert record["entity_embedding"] == expected.tolist()

    def test_many_rows(self, server: Running, model: Path, rng: np.random.Generator) -> None:
        """Thirty thousand come back in their order, verbose ones in several pieces."""
        ips = rng.integers(2**32, size=30_000, dtype=np.uint32)
        rows = "".join(f"user_{i},{ip >> 24}.{ip >> 16 & 255}.{ip >> 8 & 255}.{ip & 255}\n" for i, ip in enumerate(ips))
        expected = Predictor.load(model).score(hash_entities([f"user_{i}" for i in range(30_000)]), ips).tolist()
        for accept in (JSON, "application/json; verbose=True"):
            status, answer = server.invoke(rows.encode(), accept=accept)
            assert status == 200
            assert [record["dot_product"] for record in json.loads(answer)["predictions"]] == expected

    @pytest.mark.parametrize(
        ("headers", "body", "status", "message"),
        [
            ({"Content-Type": CSV}, b"a,1.2.3.4\nb,x", 400, "the payload:2: 'x' is no IPv4 address: it must be four "
                                                          "numbers from 0 to 255, separated by dots.\n"),
            ({"Content-Type": CSV}, b"", 400, "the payload is empty: it must hold at least one row of entity,ip.\n"),
            ({"Accept": "text/csv"}, PAIR, 406, "Accept type 'text/csv' is not supported: ask for application/json or "
                                                "application/jsonlines, or leave the header out.\n"),
            ({"Content-Type": "image/png"}, PAIR, 415, "Content-Type 'image/png' is not supported: send text/csv, "
                                                       "application/json or application/jsonlines.\n"),
            ({"Content-Encoding": "gzip"}, PAIR, 415, "The payload is packed: send it without Content-Encoding.\n"),
            ({}, b"a" * (2**20 + 1), 413, "The payload is larger than 1 MB: split it, or start the server with "
                                          "--max-payload-mb.\n"),
        ],
    )  # fmt: skip
    def test_refusals(self, server: Running, headers: dict[str, str], body: bytes, status: int, message: str) -> None:
        """Each has its status and a sentence."""
        found, answered, text = server.request("POST", "/invocations", body, headers)
        assert (found, text.decode()) == (status, message)
        assert answered["content-type"] == "text/plain; charset=utf-8"

    def test_batch(self, model: Path, tmp_path: Path, score: float) -> None:
        """In a batch transform JSON Lines are the default, and the platform's limit holds."""
        environment = {"SAGEMAKER_BATCH": "true", "SAGEMAKER_MAX_PAYLOAD_IN_MB": "7"}
        with served(model, tmp_path / "log", "--workers", "1", **environment) as running:
            assert running.invoke(PAIR) == (200, f'{{"dot_product":{score!r}}}\n')
            assert running.invoke(PAIR, accept="*/*")[1].endswith("}\n")
            assert json.loads(running.request("GET", "/execution-parameters")[2])["MaxPayloadInMB"] == 7


class TestClients:
    """Clients of other people."""

    @pytest.fixture
    def runtime(self, server: Running) -> Any:
        """Return boto3's client of the SageMaker runtime for our address."""
        boto3 = pytest.importorskip("boto3")
        return boto3.client(
            "sagemaker-runtime",
            endpoint_url=f"http://127.0.0.1:{server.port}",
            region_name="eu-west-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",  # noqa: S106 - no secret
            config=Config(retries={"max_attempts": 1}),
        )

    def test_boto3(self, runtime: Any, score: float) -> None:
        """It invokes an endpoint of any name."""
        answer = runtime.invoke_endpoint(EndpointName="ipinsights", ContentType=CSV, Body=PAIR)
        assert answer["ContentType"] == JSON
        assert json.load(answer["Body"]) == {"predictions": [{"dot_product": score}]}

    def test_boto3_accept(self, runtime: Any, score: float) -> None:
        """What it accepts is obeyed."""
        answer = runtime.invoke_endpoint(EndpointName="a-b", ContentType=CSV, Body=PAIR, Accept=JSON_LINES)
        assert answer["Body"].read().decode() == f'{{"dot_product":{score!r}}}\n'

    def test_boto3_error(self, runtime: Any) -> None:
        """A refusal is the ModelError that a real endpoint's client sees."""
        with pytest.raises(runtime.exceptions.ModelError) as caught:
            runtime.invoke_endpoint(EndpointName="ipinsights", ContentType=CSV, Body=b"user_1")
        message = "the payload:1: a row must have 2 columns (entity,ip), this one has 1 column."
        assert caught.value.response["OriginalStatusCode"] == 400
        assert caught.value.response["OriginalMessage"] == message
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400

    def test_curl(self, server: Running, score: float, tmp_path: Path) -> None:
        """A post with curl of a file above its limit without Expect works with a content type."""
        file = tmp_path / "rows.csv"
        file.write_bytes(PAIR * 50_000)
        url = f"http://127.0.0.1:{server.port}/invocations"
        command = ["curl", "--silent", "--header", "Expect: 100-continue", "--data-binary", f"@{file}", url]
        try:
            refused = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout.decode()
        except FileNotFoundError:
            pytest.skip("curl is not installed")
        assert refused.startswith("Content-Type 'application/x-www-form-urlencoded' is not supported: send text/csv")
        command[1:1] = ["--header", "Content-Type: text/csv"]
        answer = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
        assert json.loads(answer) == {"predictions": 50_000 * [{"dot_product": score}]}


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
        with served(model, tmp_path / "log", "--workers", "1", "--timeout", "1") as running:
            reader = connect(running)
            reader.sendall(self.large_request())
            client = connect(running)
            client.sendall(b"POST /invocations HTTP/1.1\r\n")
            assert read_all(client).startswith(b"HTTP/1.1 408 Request Timeout\r\n")
            while "A client did not read its answer within 1 seconds." not in running.log.read_text():
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
        with served(model, tmp_path / "log", "--workers", "1") as running:
            slow = [connect(running) for _ in range(2)]
            for client in slow:
                client.sendall(self.large_request())
            for client in slow:
                assert client.recv(12) == b"HTTP/1.1 200"
            assert all(running.invoke(PAIR)[0] == 200 for _ in range(20))
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
        with served(model, tmp_path / "log", "--workers", "2") as running:
            answered, lost, stop = [], [], threading.Event()

            def load() -> None:
                while not stop.is_set():
                    try:
                        answered.append(running.invoke(PAIR)[0])
                    except (OSError, http.client.HTTPException):
                        lost.append(1)

            def wait_for(num_answers: int) -> None:
                while len(answered) < num_answers:
                    time.sleep(0.01)

            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                futures = [pool.submit(load) for _ in range(8)]
                wait_for(200)
                victim = running.workers()[0]
                os.kill(victim, signal.SIGKILL)
                while len(running.workers()) < 3:
                    time.sleep(0.01)
                wait_for(len(answered) + 200)
                stop.set()
                for future in futures:
                    future.result()
            assert len(running.workers()) == 3
            assert victim not in running.workers()[1:]
            # What it had taken from the queue and not answered yet goes with it.
            assert len(lost) <= 8
            assert set(answered) == {200}

    def test_sigterm(self, model: Path, tmp_path: Path, score: float) -> None:
        """A request that is being answered is answered whole, and the server is gone, with 0."""
        with served(model, tmp_path / "log", "--workers", "1") as running:
            rows = 100_000
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                future = pool.submit(running.invoke, PAIR * rows)
                while running.log.read_text().count("invocations.count") < 1:
                    time.sleep(0.001)
                running.process.send_signal(signal.SIGTERM)
                assert running.process.wait(timeout=60) == 0
                status, answer = future.result()
            assert (status, json.loads(answer)) == (200, {"predictions": rows * [{"dot_product": score}]})

    def test_sigterm_in_the_middle_of_a_request(self, model: Path, tmp_path: Path, score: float) -> None:
        """A request whose rest comes at once is answered still, and its connection is the last."""
        with served(model, tmp_path / "log", "--workers", "1") as running:
            client = socket.create_connection(("127.0.0.1", running.port), timeout=30)
            client.sendall(b"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Length: 19\r\n\r\n")
            other = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
            other.request("GET", "/ping")
            assert other.getresponse().read() == b""  # by now the worker has the head
            running.process.send_signal(signal.SIGTERM)
            is_ending = False
            while not is_ending:
                other.request("GET", "/ping")
                response = other.getresponse()
                is_ending = response.getheader("Connection") == "close"
                response.read()
            client.sendall(PAIR)
            answer = read_all(client).decode()
            assert running.process.wait(timeout=60) == 0
        assert answer.startswith("HTTP/1.1 200 OK\r\n")
        assert "\r\nConnection: close\r\n" in answer
        assert answer.endswith(f'\r\n\r\n{{"predictions": [{{"dot_product": {score!r}}}]}}')

    def test_sigterm_under_load(self, model: Path, tmp_path: Path, score: float) -> None:
        """SIGTERM under full load ends the server without a truncated answer.

        There is a worker for each processor, and eight clients send without pause.
        """
        expected = f'{{"predictions": [{{"dot_product": {score!r}}}]}}'.encode()
        with served(model, tmp_path / "log") as running:
            answers: list[bytes] = []

            def load() -> None:
                connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
                with contextlib.suppress(ConnectionError), contextlib.closing(connection):
                    while True:
                        connection.request("POST", "/invocations", PAIR, {"Content-Type": CSV})
                        answers.append(connection.getresponse().read())

            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                futures = [pool.submit(load) for _ in range(8)]
                while len(answers) < 200:
                    time.sleep(0.01)
                running.process.send_signal(signal.SIGTERM)
                assert running.process.wait(timeout=60) == 0
                for future in futures:
                    future.result()
            assert set(answers) == {expected}
            assert f"Number of server workers: {len(os.sched_getaffinity(0))}\n" in running.log.read_text()

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


class TestStart:
    """What keeps a server from starting."""

    def run(self, *arguments: str) -> tuple[int, str]:
        """Return the exit code and the last line of a server that cannot start."""
        done = subprocess.run(
            [sys.executable, "-m", "ipinsights", "serve", *arguments], capture_output=True, text=True, check=False,
            timeout=60,
        )  # fmt: skip
        return done.returncode, done.stderr.splitlines()[-1]

    def test_no_model(self, tmp_path: Path) -> None:
        """The path is named."""
        assert self.run("--model-dir", str(tmp_path), "--port", "0") == (
            2,
            f"ClientError: There is no model in the folder {tmp_path}: it holds neither model_algo-1, which training "
            "writes, nor model.tar.gz.",
        )

    def test_port_in_use(self, server: Running, model: Path) -> None:
        """It is told at once, with what to do."""
        assert self.run("--model-dir", str(model), "--port", str(server.port)) == (
            2,
            f"ClientError: The server cannot listen at 127.0.0.1:{server.port}: Address already in use. Stop what "
            "does, or choose another with --port.",
        )


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

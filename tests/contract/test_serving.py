"""Answers of the server, request by request, over a raw socket."""

from __future__ import annotations

import gzip
import json
import socket
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import TYPE_CHECKING

import pytest

from .golden import decoded
from .masking import masked

if TYPE_CHECKING:
    from .builds import Build, Server
    from .golden import Golden

pytestmark = pytest.mark.slow

CSV, JSON, LINES = "text/csv", "application/json", "application/jsonlines"
# Headers that say what a body is; all others may change.
FROZEN_HEADERS = ("Content-Type", "Content-Length", "Transfer-Encoding", "Allow", "X-Amzn-ErrorType")
PAIRS = b"user_1,8.8.8.8\nnobody,10.0.0.1\n"
FEATURES = {"features": ["user_1", "8.8.8.8"]}
VALUES = {"data": {"features": {"values": ["user_1", "8.8.8.8"]}}}


@dataclass(frozen=True)
class Request:
    """A request: a head without its framing, and a body."""

    name: str
    line: str
    headers: tuple[str, ...] = ()
    body: bytes | None = None

    def __str__(self) -> str:
        return self.name

    def send(self, connection: socket.socket) -> None:
        """Send the request; a body has the framing that its headers name, or a length."""
        headers = ["Host: localhost", *self.headers]
        if self.body is not None and "Transfer-Encoding: chunked" not in headers:
            headers.append(f"Content-Length: {len(self.body)}")
        connection.sendall("\r\n".join([self.line, *headers, "", ""]).encode())
        if "Expect: 100-continue" in headers:
            interim = connection.recv(100)
            assert interim == b"HTTP/1.1 100 Continue\r\n\r\n", interim
        connection.sendall(self.body or b"")


def post(name: str, body: bytes, *headers: str, path: str = "/invocations") -> Request:
    """Return a request that invokes the model."""
    return Request(name, f"POST {path} HTTP/1.1", headers, body)


def in_json(name: str, content: object, *headers: str) -> Request:
    """Return a request whose body is JSON."""
    return post(name, json.dumps(content).encode(), f"Content-Type: {JSON}", *headers)


def in_lines(name: str, body: bytes, *headers: str) -> Request:
    """Return a request whose body is JSON Lines."""
    return post(name, body, f"Content-Type: {LINES}", *headers)


def in_csv(name: str, body: bytes = PAIRS, *headers: str) -> Request:
    """Return a request whose body is CSV."""
    return post(name, body, f"Content-Type: {CSV}", *headers)


def accepting(name: str, accept: str) -> Request:
    """Return a request for an answer of some media type."""
    return in_csv(f"accept-{name}", PAIRS, f"Accept: {accept}")


def get(name: str, path: str, method: str = "GET") -> Request:
    """Return a request without a body."""
    return Request(name, f"{method} {path} HTTP/1.1")


MANY = b"".join(b"user_%d,10.%d.2.3\n" % (number % 40, number % 200) for number in range(50))
LARGE = b"".join(b"user_%d,10.1.%d.%d\n" % (number % 40, number // 250, number % 250) for number in range(20_000))
RUNTIME = "/endpoints/any-name/invocations"

REQUESTS = (
    get("ping", "/ping"),
    get("ping-query", "/ping?deep=1"),
    get("execution-parameters", "/execution-parameters"),
    get("root", "/"),
    get("slash", "/invocations/"),
    get("unknown-model", "/models"),
    get("get-invocations", "/invocations"),
    get("put-invocations", "/invocations", "PUT"),
    get("delete-ping", "/ping", "DELETE"),
    get("get-runtime", RUNTIME),
    post("post-ping", b"", path="/ping"),
    post("post-execution-parameters", b"x", path="/execution-parameters"),
    # media types of requests
    post("no-content-type", PAIRS),
    in_csv("csv"),
    in_csv("csv-one-line", b"user_1,8.8.8.8"),
    in_csv("csv-crlf", b"user_1,8.8.8.8\r\nnobody,10.0.0.1\r\n"),
    in_csv("csv-quoted", b'"user_1","8.8.8.8"\n"comma, inside",1.2.3.4\n'),
    in_csv("csv-blank-lines", b"\nuser_1,8.8.8.8\n\n\nnobody,10.0.0.1\n\n"),
    in_csv("csv-blanks", b"user_1, 8.8.8.8 \n"),
    in_csv("csv-mark", b"\xef\xbb\xbfuser_1,8.8.8.8\n"),
    in_csv("csv-many", MANY),
    post("csv-charset", "naïve,1.2.3.4\n".encode(), "Content-Type: text/csv; charset=UTF-8"),
    post("csv-upper-case", PAIRS, "Content-Type: Text/CSV;header=absent"),
    in_json("json-features", {"instances": [FEATURES]}),
    in_json("json-values", {"instances": [VALUES, FEATURES]}),
    in_json("json-integer-entity", {"instances": [{"features": [12345, "127.0.0.1"]}]}),
    in_json("json-more-keys", {"instances": [{**FEATURES, "id": 1}], "parameters": {}}),
    in_lines("lines", b'{"features": ["user_1", "8.8.8.8"]}\n{"features": ["nobody", "10.0.0.1"]}\n'),
    in_lines("lines-values", json.dumps(VALUES).encode()),
    in_lines("lines-guide", b'{"features": ["user_1", "8.8.8.8"]},\n\n{"features": ["nobody", "10.0.0.1"]}]\n'),
    # media types of answers
    accepting("json", JSON),
    accepting("lines", LINES),
    accepting("any", "*/*"),
    accepting("application", "application/*"),
    accepting("upper-case", "Application/JsonLines"),
    accepting("quality", f"{JSON};q=0.2, {LINES};q=0.9"),
    accepting("order", f"{LINES}, {JSON}"),
    accepting("none-of-one", f"{JSON};q=0, */*;q=0.5"),
    accepting("fallback", "text/csv, */*;q=0.1"),
    accepting("verbose", f"{JSON}; verbose=True"),
    accepting("verbose-lines", f"{LINES};verbose=true"),
    accepting("not-verbose", f"{JSON}; verbose=False"),
    accepting("extended", f"{JSON}; extended=True"),
    accepting("extended-lines", f'{LINES}; extended="true"'),
    accepting("both", f"{JSON}; verbose=True; extended=True"),
    in_csv("many-extended", MANY, f"Accept: {JSON}; extended=True"),
    in_csv("many-both-lines", MANY, f"Accept: {LINES}; extended=True; verbose=True"),
    in_csv("large", LARGE),
    # other ways in
    post("runtime", PAIRS, path=RUNTIME),
    post("runtime-accept", PAIRS, f"Accept: {LINES}; extended=true", path=RUNTIME),
    post("query", PAIRS, path="/invocations?a=b"),
    post("chunked", b"a\r\nuser_1,8.8\r\n5\r\n.8.8\n\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
    post("expect", PAIRS, "Expect: 100-continue"),
    post("identity", PAIRS, "Content-Encoding: identity"),
    post("close", PAIRS, "Connection: close"),
    Request("http-1.0", "POST /invocations HTTP/1.0", (f"Content-Type: {CSV}",), PAIRS),
    Request("http-1.0-ping", "GET /ping HTTP/1.0"),
    # refusals
    accepting("csv", CSV),
    accepting("image", "image/png, text/html"),
    accepting("nothing", f"{JSON};q=0, {LINES};q=0"),
    accepting("bad-quality", f"{JSON};q=2"),
    accepting("text-quality", f"{JSON};q=high"),
    accepting("bad-verbose", f"{JSON}; verbose=maybe"),
    accepting("bad-extended", f"{JSON}; extended=1"),
    post("content-type", PAIRS, "Content-Type: application/xml"),
    post("charset", PAIRS, "Content-Type: text/csv; charset=latin-1"),
    post("content-encoding", gzip.compress(PAIRS, mtime=0), "Content-Encoding: gzip"),
    in_csv("gzip", gzip.compress(PAIRS, mtime=0)),
    in_csv("too-large", b"user_1,8.8.8.8\n" * 70_000),
    in_csv("empty", b""),
    in_csv("only-blank-lines", b"\n\n"),
    in_csv("header", b"entity,ip\nuser_1,8.8.8.8\n"),
    in_csv("ipv6", b"user_1,2001:db8::1\n"),
    in_csv("bad-address", b"user_1,8.8.8.8\nuser_2,8.8.8.256\n"),
    in_csv("leading-zero", b"user_1,8.8.8.08\n"),
    in_csv("no-address", b"user_1,\n"),
    in_csv("no-entity", b",8.8.8.8\n"),
    in_csv("one-column", b"user_1\n"),
    in_csv("three-columns", b"user_1,8.8.8.8,x\n"),
    in_csv("not-utf8", b"\xff,8.8.8.8\n"),
    in_csv("zero-byte", b"a\0b,8.8.8.8\n"),
    in_csv("open-quote", b'"user_1,8.8.8.8\n'),
    in_csv("many-faults", b"user_1,8.8.8.8\n" + b"user_1,here\n" * 9),
    in_csv("long-address", b"user_1," + b"1" * 100 + b"\n"),
    in_json("json-list", [FEATURES]),
    in_json("json-no-instances", {"rows": []}),
    in_json("json-instances-text", {"instances": "all"}),
    in_json("json-empty", {"instances": []}),
    in_json("json-number", {"instances": [FEATURES, 5]}),
    in_json("json-three", {"instances": [{"features": ["a", "1.2.3.4", "b"]}]}),
    in_json("json-null-entity", {"instances": [{"features": [None, "1.2.3.4"]}]}),
    in_json("json-real-entity", {"instances": [{"features": [1.5, "1.2.3.4"]}]}),
    in_json("json-true-entity", {"instances": [{"features": [True, "1.2.3.4"]}]}),
    in_json("json-number-address", {"instances": [{"features": ["a", 16909060]}]}),
    in_json("json-empty-entity", {"instances": [{"features": ["", "1.2.3.4"]}]}),
    in_json("json-address", {"instances": [FEATURES, {"features": ["a", "1.2.3"]}]}),
    in_json("json-long-instance", {"instances": [{"nothing": "x" * 100}]}),
    in_lines("lines-number", b'{"features": ["user_1", "8.8.8.8"]}\n5\n'),
    in_lines("lines-address", b'\n{"features": ["user_1", "8.8.8.8"]}\n\n{"features": ["a", "b"]}\n'),
    in_lines("lines-empty", b"\n"),
    post("runtime-refusal", b"user_1,here\n", path=RUNTIME),
    post("runtime-accept-refusal", PAIRS, "Accept: text/csv", path=RUNTIME),
    post("runtime-type-refusal", PAIRS, "Content-Type: a/b", path=RUNTIME),
)
# The end of the message is the JSON library's: only its beginning is frozen.
BROKEN_JSON = (
    post("json-broken", b'{"instances": [', f"Content-Type: {JSON}"),
    post("json-nothing", b"", f"Content-Type: {JSON}"),
    in_lines("lines-broken", b'{"features": ["user_1", "8.8.8.8"]}\n{"features"\n'),
)


@dataclass(frozen=True)
class Answer:
    """What is frozen of an answer."""

    status: int
    headers: tuple[str, ...]
    body: bytes

    def text(self) -> str:
        """Return the answer for a golden file, without a length that depends on digits."""
        body = decoded(self.body)
        shown = body if len(body) < 20_000 else f"{body[:1000]}\n(more)"
        framing = [line for line in self.headers if self.status >= 400 or "Content-Length" not in line]
        return "\n".join([str(self.status), *framing, "", shown, ""])


def asked(server: Server, request: Request) -> Answer:
    """Return the answer to a request on a new connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        request.send(connection)
        response = HTTPResponse(connection, method=request.line.split()[0])
        response.begin()
        body = response.read()
    found = [(name, response.getheader(name)) for name in FROZEN_HEADERS]
    headers = tuple(f"{name}: {value}" for name, value in found if value is not None)
    assert response.chunked or f"Content-Length: {len(body)}" in headers
    return Answer(response.status, headers, body)


@pytest.mark.parametrize("request_", REQUESTS, ids=str)
def test_answers_are_close_to_the_golden_file_s(request_: Request, server: Server, golden: Golden) -> None:
    """A request gets the status, the headers of its body, and the body that it always got."""
    golden.check(f"serve/{request_}", asked(server, request_).text(), close=True)


@pytest.mark.parametrize("request_", [*REQUESTS, *BROKEN_JSON], ids=str)
def test_answers_are_the_base_s(request_: Request, server: Server, base_server: Server) -> None:
    """A request gets the bytes that the base commit answers."""
    assert asked(server, request_) == asked(base_server, request_)


@pytest.mark.parametrize("request_", BROKEN_JSON, ids=str)
def test_broken_json_is_refused(request_: Request, server: Server) -> None:
    """A body that is not JSON gets 400, with the place where it stands."""
    answer = asked(server, request_)
    place = b"the payload:2: it is" if request_.name.startswith("lines") else b"the payload: it is"
    assert answer.status == 400
    assert answer.body.startswith(place)


def test_a_large_answer_is_chunked(head: Build, base: Build) -> None:
    """An answer of over half a million records is chunked, with the bytes of the base commit."""
    records = b"u,1.2.3.4\n" * 530_000
    answers = []
    for build in (head, base):
        with build.serving("--model-dir", "model", "--workers", "1") as running:
            answers.append(asked(running, in_csv("huge", records)))
    assert answers[0].headers == (f"Content-Type: {JSON}", "Transfer-Encoding: chunked")
    assert answers[0] == answers[1]


def test_log_of_a_server_in_a_batch_transform(head: Build, golden: Golden) -> None:
    """In a batch transform the server logs each request, prefers JSON Lines, and ends with 0."""
    requests = (in_csv("csv"), in_csv("ipv6", b"secret,::1\n"), get("parameters", "/execution-parameters"))
    with head.serving("--model-dir", "model", "--workers", "2", SAGEMAKER_BATCH="true") as running:
        answers = [asked(running, request).text() for request in requests]
    assert running.process.returncode == 0
    log = masked(running.log.read_text(encoding="utf-8"))
    golden.check("serve/batch-transform", "\n".join([log, *answers]), close=True)


def test_a_container_s_tree_is_served(head: Build) -> None:
    """With --base-dir the model is that of the tree."""
    with head.serving("--base-dir", "tree", "--workers", "1") as running:
        assert asked(running, in_csv("csv")).status == 200


def test_the_size_of_a_payload_is_a_variable_s(head: Build) -> None:
    """Without an option the largest payload is that of SageMaker's variable."""
    with head.serving("--model-dir", "model", "--workers", "1", SAGEMAKER_MAX_PAYLOAD_IN_MB="7") as running:
        answer = asked(running, get("parameters", "/execution-parameters"))
    assert json.loads(answer.body) == {
        "MaxConcurrentTransforms": 1, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 7,
    }  # fmt: skip

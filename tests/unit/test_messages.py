"""Requests and responses as ASGI passes them."""

from __future__ import annotations

import asyncio
import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest

from ipinsights.serving.access_log import new_request_id
from ipinsights.serving.media_types import JSON, JSON_LINES
from ipinsights.serving.messages import Request, Response, refusal, send_large, send_small
from ipinsights.serving.service import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

SLICE = 128 * 2**10
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def parse(path: str = "/ping", version: str = "1.1", headers: list[tuple[bytes, bytes]] | None = None) -> Request:
    """Return the request of a scope."""
    return Request.parse({"method": "POST", "path": path, "http_version": version, "headers": headers or []})


class TestRequest:
    """The head of a request."""

    def test_fields(self) -> None:
        """Method, path, version and headers are those of the scope."""
        found = parse("/invocations", "1.0", [(b"host", b"a"), (b"x-request-id", b"order-17")])
        headers = {b"host": b"a", b"x-request-id": b"order-17"}
        assert found == Request("POST", "/invocations", "1.0", headers, "order-17", is_received=True)

    @pytest.mark.parametrize(
        ("path", "expected"),
        [("http://host/ping", "/ping"), ("http://host", "/"), ("http://[::1/ping", ""), ("*", "*")],
    )
    def test_absolute_targets(self, path: str, expected: str) -> None:
        """The path of an absolute target is taken, and is empty if the target is not valid."""
        assert parse(path).path == expected

    @pytest.mark.parametrize(
        ("headers", "is_received"),
        [
            ([], True),
            ([(b"content-length", b"0")], True),
            ([(b"content-length", b"1")], False),
            ([(b"transfer-encoding", b"chunked")], False),
        ],
    )
    def test_whether_a_body_follows(self, headers: list[tuple[bytes, bytes]], is_received: bool) -> None:  # noqa: FBT001
        """A length or a transfer encoding announces it."""
        assert parse(headers=headers).is_received is is_received

    def test_headers_that_are_repeated(self) -> None:
        """Values of Accept are joined in their order, and of other headers the last one counts."""
        repeated = [(b"accept", b"a/b"), (b"content-type", b"x"), (b"accept", b"c/d;q=0.5"), (b"content-type", b"y")]
        found = parse(headers=repeated)
        assert (found.accept, found.content_type) == ("a/b,c/d;q=0.5", "y")

    def test_headers_that_are_missing_or_not_ascii(self) -> None:
        """A missing header is empty, and any byte is a character."""
        assert (parse().accept, parse().content_type) == ("", "")
        assert parse(headers=[(b"accept", b"\xff")]).accept == "\xff"

    def test_ids(self) -> None:
        """Each request without an id has a random one, in the form of a UUID."""
        ids = {parse().id for _ in range(100)} | {new_request_id() for _ in range(100)}
        assert len(ids) == 200
        assert all(UUID.fullmatch(identifier) for identifier in ids)


class TestResponse:
    """Bodies that are complete, and bodies that are not."""

    @pytest.mark.parametrize("media_type", [JSON, JSON_LINES])
    def test_of_a_whole_body(self, media_type: str) -> None:
        """The response has the media type, and nothing is left to compute."""
        assert Response.of(media_type, b"{}") == Response(200, [(b"Content-Type", media_type.encode())], b"{}")

    @pytest.mark.parametrize(
        ("pieces", "body", "rest"),
        [([b"a"], b"a", None), ([b"a", b"b"], b"ab", None), ([b"a", b"b", b"c", b"d"], b"ab", [b"c", b"d"])],
    )
    def test_the_beginning_of_an_answer(self, pieces: list[bytes], body: bytes, rest: list[bytes] | None) -> None:
        """Two pieces are computed, and further ones are left for later, in their order."""
        response = Response.begin(Answer(JSON, iter(pieces), rows=7))
        assert (response.status, response.body, response.rows) == (200, body, 7)
        assert (response.rest if response.rest is None else list(response.rest)) == rest

    def test_small_bodies(self) -> None:
        """A complete body of up to 128 KiB is small."""
        sizes = [Response(200, [], bytes(size)).is_small for size in (0, SLICE, SLICE + 1)]
        assert sizes == [True, True, False]
        assert not Response(200, [], b"", rest=iter([b"a"])).is_small


class TestRefusal:
    """Responses that say why a request is refused."""

    def test_text(self) -> None:
        """A client gets the sentence on a line, and further headers."""
        response = refusal(HTTPStatus.NOT_FOUND, "Nothing is here.", {"Retry-After": "1"}, from_runtime=False)
        headers = [(b"Content-Type", b"text/plain; charset=utf-8"), (b"Retry-After", b"1")]
        assert response == Response(404, headers, b"Nothing is here.\n")

    @pytest.mark.parametrize(("status", "whose"), [(415, "client"), (500, "server"), (503, "server")])
    def test_model_error(self, status: int, whose: str) -> None:
        """A client of SageMaker's runtime gets the members of its ModelError."""
        response = refusal(HTTPStatus(status), 'Say "please".', from_runtime=True)
        assert response.headers == [(b"Content-Type", b"application/json"), (b"X-Amzn-ErrorType", b"ModelError")]
        assert json.loads(response.body) == {
            "Message": f'Received {whose} error ({status}) from primary with message "Say "please".".',
            "OriginalStatusCode": status,
            "OriginalMessage": 'Say "please".',
        }


def send(response: Response, *, version: str = "1.1", is_small: bool = False) -> list[dict[str, Any]]:
    """Return the messages that a response becomes."""
    messages: list[dict[str, Any]] = []

    async def keep(message: Any) -> None:
        """Keep a message."""
        messages.append(dict(message))

    async def compute(function: Callable[[], bytes | None]) -> bytes | None:
        """Call a function in a thread."""
        return await asyncio.to_thread(function)

    request = parse(version=version, headers=[(b"x-request-id", b"order-17")])
    if is_small:
        asyncio.run(send_small(response, request, keep))
    else:
        asyncio.run(send_large(response, request, keep, seconds=5, next_piece=compute))
    return messages


IDS = [(b"X-Request-Id", b"order-17"), (b"X-Amzn-RequestId", b"order-17")]


class TestSend:
    """Responses as messages."""

    def test_small(self) -> None:
        """Two messages: the head with ids and length, and the body."""
        response = Response(200, [(b"Content-Type", b"a/b")], b"body")
        assert send(response, is_small=True) == [
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"Content-Type", b"a/b"), *IDS, (b"Content-Length", b"4")],
            },
            {"type": "http.response.body", "body": b"body"},
        ]

    def test_a_large_body_is_sent_in_slices(self) -> None:
        """Each has up to 128 KiB, and an empty message ends the body."""
        body = bytes(range(256)) * 1024 + b"end"
        response = Response(200, [], body)
        head, *parts, last = send(response)
        assert head["headers"] == [*IDS, (b"Content-Length", b"%d" % len(body))]
        assert [len(part["body"]) for part in parts] == [SLICE, SLICE, 3]
        assert all(part["more_body"] for part in parts)
        assert last == {"type": "http.response.body", "body": b""}
        assert b"".join(part["body"] for part in parts) == body
        assert response.bytes_sent == len(body)

    def test_a_body_that_is_not_computed_yet(self) -> None:
        """A body without a known length is sent piece by piece."""
        response = Response(200, [], b"a", rest=iter([b"b" * (SLICE + 1), b"c"]))
        head, *parts, _ = send(response)
        assert head["headers"] == IDS
        assert [part["body"] for part in parts] == [b"a", b"b" * SLICE, b"b", b"c"]
        assert response.bytes_sent == SLICE + 3

    def test_a_client_of_http_1_0_gets_a_length(self) -> None:
        """The client knows no chunks, so the body is computed to its end first."""
        head, *parts, _ = send(Response(200, [], b"a", rest=iter([b"b", b"c"])), version="1.0")
        assert head["headers"] == [*IDS, (b"Content-Length", b"3")]
        assert [part["body"] for part in parts] == [b"abc"]

    def test_a_client_that_does_not_read(self) -> None:
        """The response is given up when a slice is not read in time."""
        response = Response(200, [], bytes(SLICE + 1))

        async def block(message: Any) -> None:
            """Read one slice, and then no more."""
            if message["type"] == "http.response.body" and response.bytes_sent:
                await asyncio.Event().wait()

        async def compute(function: Callable[[], bytes | None]) -> bytes | None:
            """Call a function."""
            return function()

        with pytest.raises(asyncio.TimeoutError):
            asyncio.run(send_large(response, parse(), block, seconds=0.02, next_piece=compute))
        assert response.bytes_sent == SLICE

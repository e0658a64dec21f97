"""Requests and responses as ASGI passes them."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from itertools import chain, islice
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ipinsights.serving.access_log import REQUEST_ID_HEADERS, new_request_id, request_id_of
from ipinsights.serving.media_types import JSON, JSON_LINES

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:  # pragma: no cover - the backport of the above
    from async_timeout import timeout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ipinsights.serving.service import Answer

__all__ = [
    "BODY_IS_HERE", "Receive", "Request", "Response", "Scope", "Send", "refusal", "send_large", "send_small",
    "timeout",
]  # fmt: skip

BODY_IS_HERE = "ipinsights.body_is_here"
"""Extension of ASGI's scope: the server has the whole body of the request, and nobody waits for it."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_NextPiece = Callable[[Callable[[], "bytes | None"]], Awaitable["bytes | None"]]
_Header = tuple[bytes, bytes]

# Each must be read within the timeout.
_SLICE_BYTES = 128 * 2**10
_TEXT = (b"Content-Type", b"text/plain; charset=utf-8")
_MEDIA_TYPES = {media_type: [(b"Content-Type", media_type.encode())] for media_type in (JSON, JSON_LINES)}


@dataclass(slots=True)
class Request:
    """The head of a request."""

    method: str
    path: str  # without escapes, empty if the target is not valid
    version: str  # such as ``1.1``
    headers: dict[bytes, bytes]  # values by lower-case name
    id: str  # request id, returned to the client
    is_received: bool  # whether the whole body was received, which is so from the beginning without one
    bytes_received: int = 0  # size of what was received of the body
    is_complete: bool = False  # whether the server has the whole body, so that receiving it takes no time

    @classmethod
    def parse(cls, scope: Scope) -> Request:
        """Return the request that an ASGI scope describes."""
        fields = scope["headers"]
        headers = dict(fields)
        if len(headers) < len(fields):
            headers[b"accept"] = b",".join(value for name, value in fields if name == b"accept")
        has_body = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
        path = scope["path"]
        if not path.startswith("/"):
            path = _path_of(path)
        is_named = not headers.keys().isdisjoint(REQUEST_ID_HEADERS)
        identifier = request_id_of(fields) if is_named else new_request_id()
        is_complete = BODY_IS_HERE in scope.get("extensions", ())
        return cls(scope["method"], path, scope["http_version"], headers, identifier, not has_body, 0, is_complete)

    @property
    def accept(self) -> str:
        """The ``Accept`` header, empty without one."""
        return self.headers.get(b"accept", b"").decode("latin-1")

    @property
    def content_type(self) -> str:
        """The ``Content-Type`` header, empty without one."""
        return self.headers.get(b"content-type", b"").decode("latin-1")


@dataclass(slots=True)
class Response:
    """A response, the body of which may not be computed to its end."""

    status: int
    headers: list[_Header]  # headers of this response, without those that every response has
    body: bytes  # the body, or its beginning
    rest: Iterator[bytes] | None = None  # further pieces of the body, or None
    rows: int = 0  # number of scored records
    bytes_sent: int = 0  # size of what was sent of the body

    @property
    def is_small(self) -> bool:
        """Whether the body is complete and can be sent at once."""
        return self.rest is None and len(self.body) <= _SLICE_BYTES

    @classmethod
    def of(cls, media_type: str, body: bytes) -> Response:
        """Return a response with a whole body."""
        return cls(HTTPStatus.OK, _MEDIA_TYPES[media_type], body)

    @classmethod
    def begin(cls, answer: Answer) -> Response:
        """Compute the first pieces of an answer: a block of records and the end.

        Most answers have no further pieces.
        """
        first = b"".join(islice(answer.pieces, 2))
        third = next(answer.pieces, None)
        rest = None if third is None else chain([third], answer.pieces)
        return cls(HTTPStatus.OK, _MEDIA_TYPES[answer.media_type], first, rest, answer.rows)


def refusal(
    status: HTTPStatus, message: str, headers: Mapping[str, str] | None = None, *, from_runtime: bool
) -> Response:
    """Return a response that says why a request is refused.

    A client of SageMaker's runtime expects a ``ModelError``.
    """
    extra = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    if not from_runtime:
        return Response(status, [_TEXT, *extra], f"{message}\n".encode())
    whose = "client" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server"
    content = {
        "Message": f'Received {whose} error ({status.value}) from primary with message "{message}".',
        "OriginalStatusCode": status.value,
        "OriginalMessage": message,
    }
    extra.append((b"X-Amzn-ErrorType", b"ModelError"))
    return Response(status, [(b"Content-Type", JSON.encode()), *extra], json.dumps(content).encode())


async def send_small(response: Response, request: Request, send: Send) -> None:
    """Send a response whose body is small and complete."""
    await send(_start(response, request, len(response.body)))
    await send({"type": "http.response.body", "body": response.body})


async def send_large(
    response: Response, request: Request, send: Send, *, seconds: float, next_piece: _NextPiece
) -> None:
    """Send a response slice by slice, each of which the client must read within some seconds.

    ``next_piece`` calls a function that computes the next piece, in a thread.
    """
    if response.rest is not None and request.version == "1.0":  # a client that knows no chunks
        response.body += b"".join(response.rest)
        response.rest = None
    rest = response.rest
    await send(_start(response, request, len(response.body) if rest is None else None))
    piece: bytes | None = response.body
    while piece is not None:
        for start in range(0, len(piece), _SLICE_BYTES):
            part = piece[start : start + _SLICE_BYTES]
            async with timeout(seconds):
                await send({"type": "http.response.body", "body": part, "more_body": True})
            response.bytes_sent += len(part)
        piece = None if rest is None else await next_piece(partial(next, rest, None))
    await send({"type": "http.response.body", "body": b""})


def _start(response: Response, request: Request, length: int | None) -> dict[str, Any]:
    identifier = request.id.encode()
    headers = [*response.headers, (b"X-Request-Id", identifier), (b"X-Amzn-RequestId", identifier)]
    if length is not None:
        headers.append((b"Content-Length", b"%d" % length))
    return {"type": "http.response.start", "status": response.status, "headers": headers}


def _path_of(target: str) -> str:
    """Return the path of a target in absolute form, empty if the target is not valid."""
    try:
        return urlsplit(target).path or "/"
    except ValueError:
        return ""

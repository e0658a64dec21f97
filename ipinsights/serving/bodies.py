"""Bodies of requests: read whole, within a limit of size and time, or refused."""

from __future__ import annotations

import asyncio
import contextlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ipinsights._system import release_freed_memory
from ipinsights.serving.media_types import RequestError
from ipinsights.serving.messages import timeout

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from ipinsights.serving.messages import Receive, Request

__all__ = ["BodyReader"]

_MEBIBYTE = 2**20
# A client that is refused before it has sent its whole body may finish sending for so long. It could not read the
# answer if the connection were reset under it.
_DISCARD_SECONDS = 2.0
# Bodies and answers that a worker holds at a time: this much, or four of the largest bodies.
_MIN_HELD_BYTES = 256 * _MEBIBYTE
_NUM_HELD = 4
# What large bodies took is returned to the system after so long, because workers share it with the model's pages.
_RELEASE_SECONDS = 0.5
_CLOSE = {"Connection": "close"}


class BodyReader:
    """Reader of bodies, each within some seconds, one reader for each worker process."""

    def __init__(self, max_payload_mb: int, seconds: float) -> None:
        self._max_bytes = max_payload_mb * _MEBIBYTE
        self._seconds = seconds
        self._held_bytes = 0
        self._is_release_due = False
        self._max_held_bytes = max(_MIN_HELD_BYTES, _NUM_HELD * self._max_bytes)

    @contextlib.contextmanager
    def hold(self, num_bytes: int) -> Iterator[None]:
        """Count bytes of a large body or answer as held in memory until the end of the block."""
        self._held_bytes += num_bytes
        try:
            yield
        finally:
            self._held_bytes -= num_bytes
            if not self._is_release_due:
                self._is_release_due = True
                asyncio.get_running_loop().call_later(_RELEASE_SECONDS, self._release)

    def _release(self) -> None:
        """Return the memory of large bodies to the system, unless another one is there."""
        self._is_release_due = False
        if self._held_bytes == 0:
            pa.default_memory_pool().release_unused()
            release_freed_memory()

    async def read(self, request: Request, receive: Receive) -> bytes:
        """Return the body of a request, or raise the reason why it is refused."""
        self._check_head(request)
        if request.is_received:
            return b""
        try:
            if request.is_complete:  # A timer takes a tenth of the time of a small request.
                return await self._receive(request, receive)
            async with timeout(self._seconds):
                return await self._receive(request, _until(self._seconds, receive))
        except asyncio.TimeoutError:
            raise RequestError(
                HTTPStatus.REQUEST_TIMEOUT,
                f"The payload did not arrive within {self._seconds:g} seconds.",
                reason="the payload did not arrive in time",
                headers=_CLOSE,
            ) from None
        finally:
            self._held_bytes -= request.bytes_received

    async def _receive(self, request: Request, receive: Receive) -> bytes:
        pieces: list[bytes] = []
        while not request.is_received:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _incomplete(request)
            pieces.append(message["body"])
            request.is_received = not message.get("more_body", False)
            request.bytes_received += len(pieces[-1])
            self._held_bytes += len(pieces[-1])
            self._check_size(request)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def discard(self, receive: Receive) -> None:
        """Receive the rest of a body that nobody needs, for a short time."""
        with contextlib.suppress(asyncio.TimeoutError):
            async with timeout(_DISCARD_SECONDS):
                receive = _until(_DISCARD_SECONDS, receive)
                while (await receive()).get("more_body"):
                    pass

    def _check_head(self, request: Request) -> None:
        if request.headers.get(b"content-encoding", b"").lower() not in (b"", b"identity"):
            raise RequestError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "The payload is packed: send it without Content-Encoding.",
                reason="the payload has a Content-Encoding",
            )
        if int(request.headers.get(b"content-length", b"0")) > self._max_bytes:
            raise self._too_large()

    def _check_size(self, request: Request) -> None:
        if request.bytes_received > self._max_bytes:
            raise self._too_large()
        if self._held_bytes > self._max_held_bytes:
            raise RequestError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "The server holds too many large payloads: send this one again later.",
                reason="too many large payloads are held",
                headers={**_CLOSE, "Retry-After": "1"},
            )

    def _too_large(self) -> RequestError:
        return RequestError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The payload is larger than {self._max_bytes // _MEBIBYTE} MB: split it, or start the server with "
            "--max-payload-mb.",
            reason="the payload is larger than --max-payload-mb",
            headers=_CLOSE,
        )


def _until(seconds: float, receive: Receive) -> Receive:
    """Return a function that receives for some seconds, and raises a TimeoutError afterwards.

    A timeout alone may be lost: before Python 3.12 ``asyncio.wait_for``, by which gunicorn waits for a body, ignores a
    cancellation in the moment in which a piece arrives.
    """
    time = asyncio.get_running_loop().time
    end = time() + seconds

    async def received() -> MutableMapping[str, Any]:
        if time() > end:
            raise asyncio.TimeoutError
        return await receive()

    return received


def _incomplete(request: Request) -> RequestError:
    length = request.headers.get(b"content-length")
    missing = f"all of its {length.decode()} bytes" if length else "its last chunk"
    return RequestError(
        HTTPStatus.BAD_REQUEST,
        f"The payload ended before {missing} arrived.",
        reason="the payload ended early",
        headers=_CLOSE,
    )

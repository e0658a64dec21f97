"""An ASGI client in this process: applications around a model, and requests to them."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

from ipinsights.serving.application import Application
from ipinsights.serving.log_stream import LogStream
from ipinsights.serving.media_types import JSON

if TYPE_CHECKING:
    from ipinsights.serving.service import InferenceModel


NOWHERE = LogStream(os.open(os.devnull, os.O_WRONLY))


def made(model: InferenceModel, **options: Any) -> Application:
    """Return an application around a model."""
    settings = {"num_workers": 2, "max_payload_mb": 6, "default": JSON, "timeout": 60, "log": NOWHERE, **options}
    return Application(model=model, **settings)


async def ask(
    application: Application,
    method: str,
    path: str,
    pieces: list[bytes],
    headers: list[tuple[str, str]],
    *,
    hangs_up: bool = True,
) -> tuple[int, dict[str, str], bytes]:
    """Send a request in pieces.

    Return status, headers and body of the response. Afterwards the client disconnects, or waits if ``hangs_up``
    is False.
    """
    waiting, sent = list(pieces), []
    encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    scope = {"type": "http", "http_version": "1.1", "method": method, "path": path, "headers": encoded}

    async def receive() -> dict[str, Any]:
        """Return the next piece."""
        if not waiting and not hangs_up:
            await asyncio.Event().wait()
        if not waiting:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    async def send(message: Any) -> None:
        """Keep a message."""
        sent.append(message)

    await application(scope, receive, send)
    assert [message["type"] for message in sent].count("http.response.start") == 1
    assert not sent[-1].get("more_body", False)
    found = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found, b"".join(message["body"] for message in sent[1:])


def asked(
    application: Application, method: str, path: str, *pieces: bytes, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Send a request with a Host, and return status, headers and body of the response."""
    fields = [("Host", "x"), *((name.replace("_", "-"), value) for name, value in headers.items())]
    if pieces:
        fields.append(("Content-Length", str(sum(map(len, pieces)))))
    return asyncio.run(ask(application, method, path, list(pieces), fields))


def poster(model: InferenceModel) -> Any:
    """Return a function that posts a body to an application around a model."""
    application = made(model)

    def post(body: bytes, content_type: str, accept: str = "") -> tuple[int, bytes]:
        headers = [("Host", "x"), ("Content-Type", content_type), ("Accept", accept)]
        headers.append(("Content-Length", str(len(body))))
        status, _, answer = asyncio.run(ask(application, "POST", "/invocations", [body], headers))
        return status, answer

    return post

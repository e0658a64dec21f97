"""From a request that gunicorn has parsed to a WSGI application, and from its answer to the bytes of HTTP/1.1.

Gunicorn's own way does this for every application there may be: it took longer than to score a pair.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from wsgiref.types import WSGIApplication, WSGIEnvironment

__all__ = ["exchange"]

_Headers = list[tuple[str, str]]
# These two have names of their own in an environment.
_BARE_NAMES = {"CONTENT_TYPE", "CONTENT_LENGTH"}


def exchange(request: Any, body: Any, application: WSGIApplication, *, may_stay: bool) -> tuple[Iterator[bytes], bool]:
    """Let an application answer a request.

    Parameters
    ----------
    request
        Its head as gunicorn has parsed it; not changed.
    body
        A file to read its body from.
    application
        Which calls ``start_response`` before it returns.
    may_stay
        Whether another request may come on the connection, as far as the server is concerned.

    Returns
    -------
    tuple
        The bytes of the answer, piece by piece, and whether the connection may carry another request.
    """
    started: list[tuple[str, _Headers]] = []
    answer = application(_environment(request, body), lambda status, headers, *_: started.append((status, headers)))  # type: ignore[arg-type]
    ((status, headers),) = started
    is_sized = any(name == "Content-Length" for name, _ in headers)
    is_chunked = request.version >= (1, 1) and not is_sized
    # A body of neither kind ends with the connection.
    stays = may_stay and (is_sized or is_chunked) and not request.should_close()
    head = _head(request.version, status, headers, is_chunked=is_chunked, stays=stays)
    if request.method == "HEAD":
        return iter([head]), stays
    return _with_head(head, _chunks(answer) if is_chunked else filter(None, answer)), stays


def _with_head(head: bytes, body: Iterator[bytes]) -> Iterator[bytes]:
    """Give an answer whose head comes with the first piece of its body: a small one in one packet."""
    yield head + next(body, b"")
    yield from body


def _chunks(body: Iterable[bytes]) -> Iterator[bytes]:
    for piece in filter(None, body):
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def _environment(request: Any, body: Any) -> WSGIEnvironment:
    """Give what an application may look at; a header that comes twice is one, with a comma between."""
    environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(request.path).decode("latin-1"),
        "QUERY_STRING": request.query,
        "wsgi.input": body,
    }
    for name, value in request.headers:
        key = name.replace("-", "_")
        if key not in _BARE_NAMES:
            key = f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ


def _head(version: tuple[int, int], status: str, headers: _Headers, *, is_chunked: bool, stays: bool) -> bytes:
    lines = [
        f"HTTP/{version[0]}.{version[1]} {status}",
        "Server: gunicorn",
        f"Date: {_date(int(time.time()))}",
        f"Connection: {'keep-alive' if stays else 'close'}",
        *(f"{name}: {value}" for name, value in headers),
        *(["Transfer-Encoding: chunked"] if is_chunked else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


@lru_cache(maxsize=1)
def _date(now: int) -> str:
    return formatdate(now, usegmt=True)

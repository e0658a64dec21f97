"""From a request to a WSGI application, and from its answer to bytes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http.parser import RequestParser

from ipinsights.sagemaker.exchange import exchange

DATE = re.compile(rb"Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n")


def answered(head: bytes, *body: bytes, sized: bool, may_stay: bool = True) -> tuple[bytes, bool, dict[str, Any]]:
    """Give the answer to a request without its date, whether the connection stays, and what the application saw."""
    request = next(RequestParser(Config(), [head + b"\r\n\r\n", b"a,1.2.3.4"], ("127.0.0.1", 1)))
    seen: dict[str, Any] = {}

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ)
        size = [("Content-Length", str(sum(map(len, body))))] if sized else []
        start_response("200 OK", [("Content-Type", "text/plain"), *size])
        return list(body)

    pieces, stays = exchange(request, request.body, application, may_stay=may_stay)  # type: ignore[arg-type]
    text, found = DATE.subn(b"", b"".join(pieces))
    assert found == 1
    return text, stays, seen


class TestAnswer:
    """What is sent."""

    def test_a_body_of_known_length(self) -> None:
        """It comes with the head, and the connection stays."""
        assert answered(b"GET / HTTP/1.1", b"ab", b"c", sized=True)[:2] == (
            b"HTTP/1.1 200 OK\r\nServer: gunicorn\r\nConnection: keep-alive\r\nContent-Type: text/plain\r\n"
            b"Content-Length: 3\r\n\r\nabc",
            True,
        )

    def test_a_body_in_pieces(self) -> None:
        """It is sent in chunks; an empty piece, which would end it, is left out."""
        assert answered(b"GET / HTTP/1.1", b"ab", b"", b"c" * 16, sized=False)[:2] == (
            b"HTTP/1.1 200 OK\r\nServer: gunicorn\r\nConnection: keep-alive\r\nContent-Type: text/plain\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n10\r\n" + b"c" * 16 + b"\r\n0\r\n\r\n",
            True,
        )

    @pytest.mark.parametrize("sized", [True, False])
    def test_an_old_client(self, sized: bool) -> None:  # noqa: FBT001
        """It knows no chunks: a body without a length ends with the connection, even if it wants to keep that."""
        text, stays, _ = answered(b"GET / HTTP/1.0\r\nConnection: keep-alive", b"ab", b"c", sized=sized)
        assert text.startswith(b"HTTP/1.0 200 OK\r\n")
        assert text.endswith(b"\r\n\r\nabc")
        assert (b"Connection: keep-alive" in text) == stays == sized

    @pytest.mark.parametrize("sized", [True, False])
    def test_a_head_alone(self, sized: bool) -> None:  # noqa: FBT001
        """Who asks for it gets no body, nor the end of one."""
        assert answered(b"HEAD / HTTP/1.1", b"ab", sized=sized)[0].endswith(b"\r\n\r\n")

    @pytest.mark.parametrize(
        ("head", "may_stay"), [(b"GET / HTTP/1.1\r\nConnection: close", True), (b"GET / HTTP/1.1", False)]
    )
    def test_a_connection_that_ends(self, head: bytes, may_stay: bool) -> None:  # noqa: FBT001
        """Because the client wants it, or the server."""
        text, stays, _ = answered(head, b"a", sized=True, may_stay=may_stay)
        assert not stays
        assert b"\r\nConnection: close\r\n" in text


class TestEnvironment:
    """What an application is told."""

    def test_it_is_told_what_it_may_look_at(self) -> None:
        """Path without escapes, question, headers by their WSGI names; of a header that comes twice both."""
        head = (
            b"POST /a%20b?c=d HTTP/1.1\r\nContent-Type: text/csv\r\nContent-Length: 9\r\nAccept: a\r\nAccept: b\r\n"
            b"X-Y: z"
        )
        _, _, seen = answered(head, b"", sized=True)
        assert seen.pop("wsgi.input").read() == b"a,1.2.3.4"
        assert seen == {
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/a b",
            "QUERY_STRING": "c=d",
            "CONTENT_TYPE": "text/csv",
            "CONTENT_LENGTH": "9",
            "HTTP_ACCEPT": "a,b",
            "HTTP_X_Y": "z",
        }

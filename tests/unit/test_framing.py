"""How much of a request has come in, beside what gunicorn makes of the same bytes."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
from gunicorn.config import Config
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.sagemaker.framing import Framing

LIMIT = 100
HEAD = b"POST /invocations HTTP/1.1\r\nHost: a\r\n"
LENGTHS = [b"Content-Length: 5", b"content-length:5 ", b"Content-Length: 7", b"Content-Length: 0",
           b"Content-Length: 101", b"Content-Length: +5", b"Content-Length: 5, 5", b"Content-Length : 5",
           b" Content-Length: 5", b"Content-Length: 0x5", b"Content-Length: \xb2", b"X: a\nContent-Length: 5",
           b"X-Content-Length: 5", b"Content_Length: 5", b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity",
           b"Transfer-Encoding: \x0bchunked", b"transfer-encoding:gzip, chunked", b"Accept: */*", b"\0: 1"]  # fmt: skip
BODIES = [
    b"",
    b"a,1.2",
    b"a,1.2.3",
    b"5\r\na,1.2\r\n0\r\n\r\n",
    b"0\r\n\r\n",
    b"zz\r\n",
    b"5;x=1\r\na,1.2\r\n0\r\nT: 1\r\n\r\n",
]
SECOND = b"GET /ping HTTP/1.1\r\n\r\n"


def fed(content: bytes, cuts: list[int] = []) -> Framing:  # noqa: B006 - it is not changed
    """Give what is known when bytes have come in, in pieces that end where it is cut."""
    framing = Framing(LIMIT)
    ends = sorted({cut for cut in cuts if cut < len(content)} | {len(content)})
    for begin, end in zip([0, *ends], ends, strict=False):
        if not framing.is_done:
            framing.feed(content[begin:end])
    return framing


class TestFraming:
    """When there is nothing more to wait for."""

    @pytest.mark.parametrize(
        ("content", "whole", "alone", "hopeless"),
        [
            (HEAD, False, False, False),
            (HEAD + b"\r\n", True, True, False),
            (HEAD + b"Content-Length: 5\r\n\r\na,1.", False, False, False),
            (HEAD + b"Content-Length: 5\r\n\r\na,1.2", True, True, False),
            (HEAD + b"Content-Length: 5\r\n\r\na,1.2.3.4", True, False, False),
            (HEAD + b"Content-Length: 101\r\n\r\n", False, False, True),
            (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\na,1.2\r\n", False, False, False),
            (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\na,1.2\r\n0\r\n\r\n", True, False, False),
            (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", False, False, True),
            (HEAD + b"Transfer-Encoding: chunked\r\n\r\n65\r\n" + 101 * b"a", False, False, True),
            (b"a" * 70_000, False, False, True),
        ],
    )
    def test_states(self, content: bytes, whole: bool, alone: bool, hopeless: bool) -> None:  # noqa: FBT001
        """A request is whole, alone on its connection, or will be refused."""
        framing = fed(content)
        assert (framing.is_whole, framing.is_alone, framing.is_hopeless) == (whole, alone, hopeless)

    @given(st.lists(st.integers(0, 120), max_size=8))
    def test_pieces_do_not_matter(self, cuts: list[int]) -> None:
        """Wherever a request is cut on its way."""
        content = HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\na,1\r\n2\r\n.2\r\n0\r\n\r\n"
        framing = fed(content, cuts)
        assert framing.is_whole
        assert b"".join(framing.take()) == content

    @hypothesis.settings(max_examples=500)
    @given(
        st.lists(st.sampled_from(LENGTHS), max_size=3),
        st.sampled_from(BODIES),
        st.sampled_from([b"", SECOND, b"X", b"\r\n"]),
    )
    def test_no_request_is_smuggled(self, headers: list[bytes], body: bytes, behind: bytes) -> None:
        """Where a connection goes on behind a request, gunicorn has read the same request, to the same byte."""
        content = HEAD + b"".join(header + b"\r\n" for header in headers) + b"\r\n" + body + behind
        framing = fed(content)
        if not framing.is_alone:
            return  # the connection ends behind the answer, so that nothing that follows is a request
        head, taken = framing.take()
        parser: Any = RequestParser(Config(), [head, taken], ("127.0.0.1", 1))
        try:
            request = next(parser)
        except ParseException:
            return  # refused, and the connection ends, too
        assert head + taken == content
        assert request.body.read() == taken
        assert parser.unreader.read() == b""

"""Streams around streams give the same bytes in pieces."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.data.wrapped_streams import Forward, Pieces, concatenated, in_utf8


@given(st.lists(st.binary(max_size=9), max_size=5), st.integers(1, 20))
def test_joined_streams_end_their_lines(contents: list[bytes], size: int) -> None:
    """Each stream begins a line, whatever the size of the buffer."""
    stream = io.BufferedReader(Pieces(concatenated(iter(map(io.BytesIO, contents))), "joined"), buffer_size=size)
    lines = (content if content.endswith(b"\n") or not content else content + b"\n" for content in contents)
    assert stream.read() == b"".join(lines)


@given(st.text(max_size=50), st.integers(1, 9), st.sampled_from(["utf-16", "utf-32", "utf-8"]))
def test_another_encoding(text: str, size: int, encoding: str) -> None:
    """A text is the same in UTF-8."""
    content = text.replace("\ufeff", "").encode(encoding)
    decoded = io.BufferedReader(Pieces(in_utf8(io.BytesIO(content), encoding), "text"), buffer_size=size).read()
    assert decoded.decode() == text.replace("\ufeff", "")


def test_moving_forward() -> None:
    """A stream goes forward, and back by one byte."""
    stream = Forward(io.BytesIO(b"abcdef"))
    assert (stream.read(2), stream.seek(1), stream.read(2), stream.seek(4), stream.read(9)) == (
        b"ab",
        1,
        b"bc",
        4,
        b"ef",
    )
    assert stream.tell() == 6
    with pytest.raises(tarfile.ReadError, match="unexpected end of data"):
        stream.seek(7)
    with pytest.raises(tarfile.ReadError, match="it has a header of 1048577 bytes"):
        stream.read(2**20 + 1)

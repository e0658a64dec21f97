"""Zero bytes in front of lines are dropped, wherever a stream is cut into pieces."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.data.zero_bytes import WithoutZeros

from .log_samples import COMBINED, FRANK, SSHD

if TYPE_CHECKING:
    from .log_samples import Bench


@given(st.lists(st.sampled_from([b"\0", b"\n", b"a"])).map(b"".join), st.integers(1, 5))
def test_pieces(content: bytes, size: int) -> None:
    """Zeros within a line stay, and those at its beginning do not."""
    stream = WithoutZeros(io.BytesIO(content))
    pieces = list(iter(lambda: stream.read(size), b""))
    assert b"".join(pieces) == re.sub(rb"(?m)^\0+", b"", content)


@pytest.mark.parametrize(
    ("log_format", "line"), [("apache", COMBINED), ("sshd", SSHD), ("jsonl", '{"entity": "ann", "ip": "192.0.2.7"}')]
)
def test_a_log_that_was_cut_while_it_was_written(bench: Bench, log_format: str, line: str) -> None:
    """The first record behind the hole is read, however large the hole is."""
    rows, skipped = bench.of(log_format, bytes(5 * 2**20) + f"{line}\n{line}\n".encode(), no_timestamps=True)
    assert (len(rows), skipped) == (2, {})


def test_zeros_within_a_line(bench: Bench) -> None:
    """A zero byte elsewhere is part of the line."""
    assert bench.of("apache", COMBINED.replace("Mozilla", "\0")) == ([FRANK], {})

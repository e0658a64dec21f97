"""Rows of an input that is still being written come out at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ipinsights.data.live_input import LiveInput, is_live
from ipinsights.errors import ClientError

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
LINE = '192.0.2.7 - alice [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 2 "-" "x"\n'


def test_a_short_read_is_not_the_end() -> None:
    """A read returns what is there, and nothing only at the end."""
    reading, writing = os.pipe()
    live = LiveInput(reading)
    os.write(writing, b"ab")
    assert live.read(1) == b"a"
    assert live.read(100) == b"b"
    os.close(writing)
    assert live.read(100) == b""
    os.close(reading)
    assert is_live(live)


def test_a_file_is_not_live(tmp_path: Path) -> None:
    """A regular file is not live input."""
    path = tmp_path / "x"
    path.write_bytes(b"")
    with path.open("rb") as stream:
        assert LiveInput.of(stream) is None
        assert not is_live(stream)


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("extract --format apache --no-timestamps -", LINE),
        ("extract --format csv --no-timestamps -", "alice,192.0.2.7\n"),
        ("extract --format jsonl --no-timestamps -", '{"entity": "alice", "ip": "192.0.2.7"}\n'),
        ("extract --format logfmt --no-timestamps -", "entity=alice ip=192.0.2.7\n"),
        (f"score - --json-lines --model-dir {GOLDEN}", "alice,192.0.2.7\n"),
    ],
)
def test_a_row_comes_before_the_next_is_written(command: str, line: str) -> None:
    """Each command answers to a line while its input is open."""
    words = [sys.executable, "-m", "ipinsights", *command.split()]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(2):
            process.stdin.write(line.encode())
            process.stdin.flush()
            assert b"alice" in process.stdout.readline()
        process.stdin.close()
        assert process.wait() == 0


def test_an_input_that_cannot_be_read() -> None:
    """The error is about standard input, whatever is being written."""
    with open(os.devnull, "wb") as stream, pytest.raises(ClientError) as caught:  # noqa: PTH123 - not a path of ours
        LiveInput(stream.fileno()).read(1)
    assert str(caught.value) == "standard input cannot be read: Bad file descriptor."

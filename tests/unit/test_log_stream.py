"""Standard output of a server: lines are written at once, or dropped."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ipinsights.serving.log_stream import LogStream

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Yield the two ends of a pipe, for reading and for writing."""
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


def test_text_is_written_at_once(pipe: tuple[int, int]) -> None:
    """Text is written without a buffer, in UTF-8."""
    reader, writer = pipe
    LogStream(writer).write("Zoë\n")
    assert os.read(reader, 100) == "Zoë\n".encode()


def test_a_full_pipe_is_not_waited_for(pipe: tuple[int, int]) -> None:
    """Lines are dropped while nobody reads, and written again when somebody does."""
    reader, writer = pipe
    stream, line = LogStream(writer), "x" * 99 + "\n"
    for _ in range(2000):  # 200 KB, and a pipe holds 64 KiB
        stream.write(line)
    written = os.read(reader, 2**20)
    assert 0 < len(written) < 100_000
    assert written == line.encode() * (len(written) // 100)
    stream.write("later\n")
    assert os.read(reader, 100) == b"later\n"


def test_a_reader_that_has_gone() -> None:
    """Writing to a closed pipe does nothing."""
    reader, writer = os.pipe()
    os.close(reader)
    LogStream(writer).write("line\n")
    os.close(writer)


def test_a_full_disk() -> None:
    """A line that does not fit is dropped."""
    descriptor = os.open("/dev/full", os.O_WRONLY)
    LogStream(descriptor).write("line\n")
    os.close(descriptor)


@pytest.mark.parametrize(("redirection", "printed"), [("", "line\n"), (">&-", "")])
def test_standard_output_is_the_default(redirection: str, printed: str) -> None:
    """A process that was started without one goes on."""
    code = "from ipinsights.serving.log_stream import LogStream; LogStream().write('line\\n'); LogStream().flush()"
    command = f'"{sys.executable}" -c "$0" {redirection}'
    done = subprocess.run(["sh", "-c", command, code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, printed, "")

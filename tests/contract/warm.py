"""Commands that do not import anew what every command imports.

Each still runs in a process of its own, with its own streams, folder and environment, and ends as every command does.
Only the time of the imports is saved, half a second to four seconds a command.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PROCESS = Path(__file__).with_name("warm_process.py")
_SECONDS = 300


class NotStartedError(Exception):
    """The package cannot be imported."""


class WarmCommands:
    """Commands of one build.

    Parameters
    ----------
    environment
        Environment of the process that imports the package.
    folder
        Folder that the process starts in.

    Raises
    ------
    NotStartedError
        The package cannot be imported.
    """

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._requests, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, _PROCESS, str(theirs.fileno())],
                env=dict(environment),
                cwd=folder,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        self._answers = self._requests.makefile("rb")
        if self._answers.readline() != b"loaded\n":
            raise NotStartedError(self._process.communicate()[1].decode())

    def close(self) -> None:
        """End the process."""
        self._answers.close()
        self._requests.close()
        self._process.communicate(timeout=20)

    def run(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], stdin: bytes
    ) -> subprocess.CompletedProcess[bytes]:
        """Run `python -m ipinsights` with arguments, and return its exit code and what it printed."""
        theirs, ours = zip(*((out, into) for out, into in (os.pipe(), os.pipe()[::-1], os.pipe()[::-1])), strict=True)
        asked = {"arguments": list(arguments), "folder": str(folder), "environment": dict(environment)}
        payload = json.dumps(asked).encode()
        socket.send_fds(self._requests, [len(payload).to_bytes(8, "big")], theirs)
        self._requests.sendall(payload)
        for stream in theirs:
            os.close(stream)
        process = int(self._answers.readline())
        with ThreadPoolExecutor(3) as pool:
            pool.submit(_write, ours[0], stdin)
            texts = [pool.submit(_read, stream) for stream in ours[1:]]
            try:
                stdout, stderr = (text.result(timeout=_SECONDS) for text in texts)
            except FutureTimeoutError:
                os.kill(process, signal.SIGKILL)
                raise
        return subprocess.CompletedProcess(arguments, int(self._answers.readline()), stdout, stderr)


def _write(stream: int, content: bytes) -> None:
    with open(stream, "wb") as pipe:
        pipe.write(content)


def _read(stream: int) -> bytes:
    with open(stream, "rb") as pipe:
        return pipe.read()

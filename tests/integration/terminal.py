"""A terminal of a given width, for commands that look for one."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True)
class Shown:
    """What a command showed on a terminal.

    Attributes
    ----------
    code
        Exit code.
    raw
        Everything written to the terminal.
    """

    code: int
    raw: str

    @property
    def text(self) -> str:
        """What was written, without colours, positions and carriage returns before line ends."""
        return _ESCAPE.sub("", self.raw).replace("\r\n", "\n")

    @property
    def lines(self) -> list[str]:
        """Return the lines, each as it was drawn last."""
        return [line.rpartition("\r")[2].rstrip() for line in self.text.split("\n")]


def on_terminal(
    *arguments: object, folder: Path, width: int = 80, environment: Mapping[str, str] | None = None, **streams: Any
) -> Shown:
    """Run `ipinsights` with a terminal for standard output and error unless they are given."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, width, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "ipinsights", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "TERM": "xterm-256color", **(environment or {})},
        **{"stdin": subprocess.DEVNULL, "stdout": theirs, "stderr": theirs, **streams},
    )
    os.close(theirs)
    raw = _read_all(ours)
    return Shown(process.wait(), raw)


def _read_all(terminal: int) -> str:
    parts: list[bytes] = []
    while True:
        try:
            part = os.read(terminal, 2**16)
        except OSError:  # Linux's way to say that the other end is closed
            part = b""
        if not part:
            os.close(terminal)
            return b"".join(parts).decode()
        parts.append(part)

"""Heartbeats, which detect a paused host or process whose system still acknowledges packets."""

from __future__ import annotations

import contextlib
import socket
import time
from pathlib import Path

__all__ = ["BEATS_PER_SILENCE", "SILENCE_SECONDS", "Silence", "is_paused", "keep_alive"]

SILENCE_SECONDS = 45.0
"""How long a host may be silent before it counts as lost."""
BEATS_PER_SILENCE = 18
"""Messages that a host sends in that time, at least: a busy machine may be late with some of them."""

# A host that vanishes without a word (a cut cable, a lost machine) is noticed 10 seconds after the next heartbeat.
# On macOS TCP_KEEPIDLE is called TCP_KEEPALIVE, and TCP_USER_TIMEOUT is missing.
_KEEP_ALIVE = {"TCP_KEEPIDLE": 4, "TCP_KEEPALIVE": 4, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 10_000}


class Silence:
    """Time since another host was heard, without the time that this process was paused."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._heard = self._looked = time.monotonic()

    def end(self) -> None:
        """Note that something was heard."""
        self._heard = time.monotonic()

    def is_too_long(self) -> bool:
        """Check whether the silence lasts too long. To be called at every beat."""
        now = time.monotonic()
        # A process that was paused itself, as by Ctrl-Z, has heard nobody: it begins to wait anew.
        if now - self._looked > self._seconds / 2:
            self._heard = now
        self._looked = now
        return now - self._heard > self._seconds


def is_paused(pid: int) -> bool:
    """Check whether a process is stopped, as by SIGSTOP."""
    with contextlib.suppress(OSError):
        # The name of the program stands in parentheses before the state, and may hold any character.
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2].startswith(b"T")
    return False


def keep_alive(connection: socket.socket) -> None:
    """Let the system notice the loss of the other end of a connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

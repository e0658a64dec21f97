"""Heartbeats: a silence, also while the listener slept, and processes that are stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from ipinsights.distributed.heartbeat import Silence, is_paused, keep_alive


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock that silences are measured by."""
    moved = Clock()
    monkeypatch.setattr(time, "monotonic", moved)
    return moved


def test_a_silence_ends_with_a_word(clock: Clock) -> None:
    """A silence is too long at the first beat behind its time, and not while messages arrive."""
    silence = Silence(45)
    for _ in range(30):
        clock.now += 5
        silence.end()
        assert not silence.is_too_long()
    beats = 0
    while not silence.is_too_long():
        clock.now += 5
        beats += 1
    assert beats == 10


def test_who_was_paused_itself_waits_anew(clock: Clock) -> None:
    """After Ctrl-Z and `fg` every host has heard nothing for as long, and none is lost."""
    silence = Silence(45)
    clock.now += 3600
    assert not silence.is_too_long()
    clock.now += 20
    assert not silence.is_too_long()


def test_a_stopped_process_is_seen() -> None:
    """A stopped process is recognized whatever the name of its program."""
    name = "x) R (y"
    with subprocess.Popen([sys.executable, "-c", f"open('/proc/self/comm', 'w').write({name!r}); input()"],
                          stdin=subprocess.PIPE) as process:  # fmt: skip
        assert not is_paused(process.pid)
        os.kill(process.pid, signal.SIGSTOP)
        deadline = time.monotonic() + 60
        while not is_paused(process.pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert is_paused(process.pid)
        os.kill(process.pid, signal.SIGCONT)
        process.communicate(b"\n")
    assert not is_paused(process.pid)


def test_ten_seconds_without_an_answer_end_a_connection() -> None:
    """On Linux a probe is sent after 4 seconds, then every 2, and sent data may wait for 10."""
    names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
    with socket.socket() as connection:
        keep_alive(connection)
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert [connection.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names] == [
            4,
            2,
            3,
            10_000,
        ]


def test_options_that_a_system_lacks_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Because macOS has no TCP_USER_TIMEOUT, and another name for TCP_KEEPIDLE."""
    for name in ("TCP_USER_TIMEOUT", "TCP_KEEPIDLE"):
        monkeypatch.delattr(socket, name)
    with socket.socket() as connection:
        keep_alive(connection)
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1

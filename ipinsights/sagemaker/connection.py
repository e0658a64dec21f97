"""A client's connection, at which nobody waits: a request is gathered, and an answer sent, as far as it goes."""

from __future__ import annotations

import contextlib
import enum
import socket
import time
from typing import TYPE_CHECKING, Any

from ipinsights.sagemaker.framing import Framing

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Connection", "Phase"]

_RECEIVE_BYTES = 2**18
# A client that is refused before it has sent all is listened to for so long, or it would not read why.
_LINGER_SECONDS = 2.0
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_TOO_SLOW = (
    b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 37\r\n\r\nThe request did not come in in time.\n"
)


class Phase(enum.Enum):
    """What a connection is at."""

    IDLE = enum.auto()
    GATHERING = enum.auto()
    ANSWERING = enum.auto()
    LINGERING = enum.auto()


class Connection(socket.socket):
    """A connection that was accepted.

    Parameters
    ----------
    accepted
        The socket, which is taken over.
    address
        The client's.
    timeout
        Seconds in which a request must come in, and in which some of an answer must be read.
    max_payload_bytes
        See :class:`ipinsights.sagemaker.framing.Framing`.
    """

    def __init__(self, accepted: socket.socket, address: Any, *, timeout: float, max_payload_bytes: int) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        self.setblocking(False)
        self.address = address
        self._timeout = timeout
        self._max_payload_bytes = max_payload_bytes
        self.expect(timeout)

    def expect(self, seconds: float) -> None:
        """Begin to wait for a request, for so long."""
        self.phase, self.deadline = Phase.IDLE, time.monotonic() + seconds
        self.request = Framing(self._max_payload_bytes)
        self.may_stay = False

    def gather(self) -> bool:
        """Take what has come in; give whether there is nothing more to wait for."""
        try:
            data = self.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if self.phase is Phase.LINGERING or not data:
            return not data
        if self.phase is Phase.IDLE:
            self.phase, self.deadline = Phase.GATHERING, time.monotonic() + self._timeout
        self.request.feed(data)
        if self.request.expects_continue and not self.request.is_done:
            self.request.expects_continue = False
            self._say(_CONTINUE)
        return self.request.is_done

    def answer(self, pieces: Iterator[bytes], *, may_stay: bool) -> None:
        """Begin to answer.

        Parameters
        ----------
        pieces
            The bytes of the answer; each is asked for when those before it are sent, and none is empty.
        may_stay
            Whether another request may follow.
        """
        self.phase, self.deadline = Phase.ANSWERING, time.monotonic() + self._timeout
        self.may_stay = may_stay
        self._pieces, self._unsent = pieces, memoryview(b"")

    def send_on(self) -> bool:
        """Send what can be sent; give whether that was all.

        Raises
        ------
        OSError
            The client has gone.
        """
        while self._unsent or (piece := next(self._pieces, b"")):
            self._unsent = self._unsent or memoryview(piece)
            try:
                self._unsent = self._unsent[self.send(self._unsent) :]
            except BlockingIOError:
                return False
            self.deadline = time.monotonic() + self._timeout
        return True

    def linger(self) -> None:
        """Say that there is no more to come, and wait for the client to see it."""
        self.phase, self.deadline = Phase.LINGERING, time.monotonic() + _LINGER_SECONDS
        with contextlib.suppress(OSError):
            self.shutdown(socket.SHUT_WR)

    def dismiss(self) -> None:
        """Close the connection; a client that was sending is told why."""
        if self.phase is Phase.GATHERING:
            self._say(_TOO_SLOW)
        self.close()

    def _say(self, data: bytes) -> None:
        """Send a few bytes if they can be sent."""
        with contextlib.suppress(OSError):
            self.send(data)

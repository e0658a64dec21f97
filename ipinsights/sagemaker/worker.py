"""Gunicorn's sync worker with a waiting room: a request is answered when all of it is there, and not looked at before.

Gunicorn's own sync worker reads a request as it comes in and does nothing else meanwhile, so that a few slow clients
stop the service. This one takes several connections, gathers what they send, and answers one request after the other.
A client may then send its next request on the same connection, which saves half the cost of a small one. Before a large
request is answered the idle connections are closed, so that their next requests go to whichever worker is free.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import time
from typing import TYPE_CHECKING, Any

from gunicorn.http import wsgi
from gunicorn.workers.sync import SyncWorker

from ipinsights.sagemaker.framing import Framing

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["WaitingRoomWorker"]

_MAX_WAITING = 64
_RECEIVE_BYTES = 2**18
_SEND_BYTES = 2**16
_LOOK_UP_SECONDS = 0.5
# A request that is larger than this may take longer than a client should wait behind it.
_LARGE_BYTES = 2**16
# A client that is refused before it has sent all is listened to for so long, or it would not read why.
_LINGER_SECONDS = 2.0
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_TOO_SLOW = (
    b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 37\r\n\r\nThe request did not come in in time.\n"
)


class _Connection(socket.socket):
    """A connection whose request is gathered without blocking, and then read by gunicorn from memory."""

    def __init__(self, accepted: socket.socket, address: Any, *, deadline: float, max_payload_bytes: int) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        self.address = address
        self.is_answered = False
        self._max_payload_bytes = max_payload_bytes
        self.expect(deadline)

    @property
    def is_idle(self) -> bool:
        """Whether nothing has come in since the last answer, and something may."""
        return not (self.request.received or self.is_answered)

    def expect(self, deadline: float) -> None:
        """Begin to wait for a request."""
        self.deadline = deadline
        self.request = Framing(self._max_payload_bytes)
        self.may_stay = False
        self._unsent = bytearray()

    def gather(self) -> bool:
        """Take what has come in; give whether there is nothing more to wait for."""
        try:
            data = super().recv(_RECEIVE_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if self.is_answered or not data:
            return not data
        self.request.feed(data)
        if self.request.expects_continue and not self.request.is_done:
            self.request.expects_continue = False
            self.say(_CONTINUE)
        return self.request.is_done

    def say(self, data: bytes) -> None:
        """Send a few bytes if they can be sent."""
        with contextlib.suppress(OSError):
            super().send(data, socket.MSG_DONTWAIT)

    def linger(self, deadline: float) -> None:
        """Say that there is no more to come, and wait for the client to see it."""
        self.is_answered, self.deadline = True, deadline
        with contextlib.suppress(OSError):
            super().shutdown(socket.SHUT_WR)

    def hang_up(self) -> None:
        """Close the connection."""
        super().close()

    # What gunicorn does with a connection:

    def recv(self, *_: Any) -> bytes:
        """Give the head of the request first, then the rest, then nothing: it never blocks."""
        received = self.request.received
        size = self.request.head_bytes or len(received)
        self.request.head_bytes = 0
        data = bytes(received[:size])
        del received[:size]
        return data

    def send(self, data: Any, *_: Any) -> int:
        """Leave out gunicorn's ``100 Continue``, which is all it sends this way: it has been said."""
        return len(data)

    def sendall(self, data: Any, *_: Any) -> None:
        """Send an answer, small pieces of it together; who does not read it in time has hung up."""
        self._unsent += data
        if len(self._unsent) >= _SEND_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send what there is."""
        data, self._unsent = self._unsent, bytearray()
        try:
            super().sendall(data)
        except socket.timeout:
            raise BrokenPipeError(errno.EPIPE, "the client does not read its answer") from None

    def shutdown(self, how: int) -> None:
        """Do nothing: how a connection ends is the worker's business."""

    def close(self) -> None:
        """Send the rest, and do nothing more, for the same reason."""
        with contextlib.suppress(OSError):
            self.flush()


class WaitingRoomWorker(SyncWorker):
    """Worker that gathers several requests and answers one at a time."""

    def run(self) -> None:
        """Serve until told to stop."""
        self._waiting: set[_Connection] = set()
        with selectors.DefaultSelector() as self._selector:
            for listener in self.sockets:
                listener.setblocking(False)
                self._selector.register(listener, selectors.EVENT_READ, self._accept)
            self._selector.register(self.PIPE[0], selectors.EVENT_READ, self._wake_up)
            while self.alive and self.is_parent_alive():
                self.notify()
                for key, _ in self._selector.select(_LOOK_UP_SECONDS):
                    key.data(key.fileobj)
                self._dismiss(connection for connection in self._waiting if connection.deadline < time.monotonic())
            self._dismiss(self._waiting)

    def handle_request(self, listener: Any, req: Any, client: Any, addr: Any) -> None:
        """Answer a request as gunicorn's own worker does, but for a connection that may carry another one."""
        response, environ = wsgi.create(req, client, addr, listener.getsockname(), self.cfg)
        if not client.request.is_alone:
            response.force_close()
        for piece in self.wsgi(environ, response.start_response):
            response.write(piece)
        response.close()
        client.may_stay = not response.should_close()

    def _accept(self, listener: Any) -> None:
        try:
            accepted, address = listener.accept()
        except OSError:  # another worker was faster, or the client has gone
            return
        if len(self._waiting) >= _MAX_WAITING:
            self._dismiss([min(self._waiting, key=lambda each: each.deadline)])
        connection = _Connection(
            accepted,
            address,
            deadline=time.monotonic() + self.cfg.timeout,
            max_payload_bytes=self.wsgi.max_payload_bytes,
        )
        self._waiting.add(connection)
        self._selector.register(connection, selectors.EVENT_READ, self._gather)
        self._gather(connection)

    def _gather(self, connection: Any) -> None:
        if connection not in self._waiting:  # closed by what came in just before
            return
        was_idle = connection.is_idle
        if connection.gather():
            self._answer(connection)
        elif was_idle:
            connection.deadline = time.monotonic() + self.cfg.timeout

    def _answer(self, connection: _Connection) -> None:
        if connection.is_idle or connection.is_answered:
            self._hang_up(connection)
            return
        if len(connection.request.received) > _LARGE_BYTES:
            self._dismiss(each for each in self._waiting if each.is_idle)
        connection.settimeout(self.cfg.timeout)
        self.handle(self.sockets[0], connection, connection.address)
        if connection.may_stay:
            connection.expect(time.monotonic() + self.cfg.keepalive)
        elif connection.request.is_whole:
            self._hang_up(connection)
        else:
            connection.linger(time.monotonic() + _LINGER_SECONDS)

    def _hang_up(self, connection: _Connection) -> None:
        self._waiting.remove(connection)
        self._selector.unregister(connection)
        connection.hang_up()

    def _dismiss(self, connections: Iterable[_Connection]) -> None:
        """Let clients go that took too long, or for whom there is no room; idle ones without a word."""
        for connection in list(connections):
            if not (connection.is_answered or connection.is_idle):
                connection.say(_TOO_SLOW)
            self._hang_up(connection)

    def _wake_up(self, pipe: int) -> None:
        os.read(pipe, 1)

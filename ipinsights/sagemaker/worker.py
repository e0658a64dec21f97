"""Gunicorn's sync worker with a waiting room: a request is answered when all of it is there, and not looked at before.

Gunicorn's own sync worker reads a request as it comes in and does nothing else meanwhile, so that a few slow clients
stop the service. This one takes several connections, gathers what they send, and answers one request after the other.
A client may then send its next request on the same connection, which saves half the cost of a small one. Before a large
request is answered the idle connections are closed, so that their next requests go to whichever worker is free.
"""

from __future__ import annotations

import io
import os
import selectors
import time
from functools import lru_cache
from selectors import EVENT_READ, EVENT_WRITE
from typing import TYPE_CHECKING, Any

from gunicorn.http.parser import RequestParser
from gunicorn.workers.sync import SyncWorker

from ipinsights.sagemaker.connection import Connection, Phase
from ipinsights.sagemaker.exchange import exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["WaitingRoomWorker"]

_MAX_WAITING = 64
_LOOK_UP_SECONDS = 0.5
# What a request that is on its way when the server ends may still take.
_MOMENT_SECONDS = 0.5
# Heads of requests, each of up to 64 kB, and whose they are as far as they tell.
_HEADS_KEPT, _NOBODY = 64, ("", 0)
# A request that is larger than this may take longer than a client should wait behind it.
_LARGE_BYTES = 2**16


class WaitingRoomWorker(SyncWorker):
    """Worker that gathers several requests and answers one at a time."""

    def run(self) -> None:
        """Serve until told to stop."""
        # Gunicorn looks settings up in a chain of tables, some twenty times a request.
        self.cfg.__dict__.update({name: setting.get() for name, setting in self.cfg.settings.items()})
        self._read_head = lru_cache(_HEADS_KEPT)(lambda head: next(RequestParser(self.cfg, [head], _NOBODY)))
        self._waiting: set[Connection] = set()
        with selectors.DefaultSelector() as self._selector:
            for listener in self.sockets:
                listener.setblocking(False)
                self._selector.register(listener, EVENT_READ, self._accept)
            self._selector.register(self.PIPE[0], EVENT_READ, self._wake_up)
            while self.alive and self.is_parent_alive():
                self._look(_LOOK_UP_SECONDS)
            self._finish()

    def _finish(self) -> None:
        """Answer what is coming in, if it is all there in a moment, and send every answer to its end."""
        for listener in self.sockets:
            self._selector.unregister(listener)
        self._look(0)
        moment = time.monotonic() + _MOMENT_SECONDS
        for connection in self._waiting:
            if connection.phase is Phase.GATHERING:
                connection.deadline = min(connection.deadline, moment)
        while self._dismiss(each for each in self._waiting if each.phase in {Phase.IDLE, Phase.LINGERING}):
            self._look(_MOMENT_SECONDS / 10)

    def _look(self, seconds: float) -> None:
        """Do what there is to do, or wait for it for some seconds."""
        self.notify()
        for key, _ in self._selector.select(seconds):
            key.data(key.fileobj)
        now = time.monotonic()
        self._dismiss(connection for connection in self._waiting if connection.deadline < now)

    def _accept(self, listener: Any) -> None:
        try:
            accepted, address = listener.accept()
        except OSError:  # another worker was faster, or the client has gone
            return
        if len(self._waiting) >= _MAX_WAITING:
            self._dismiss([min(self._waiting, key=lambda each: each.deadline)])
        limit = self.wsgi.max_payload_bytes
        connection = Connection(accepted, address, timeout=self.cfg.timeout, max_payload_bytes=limit)
        self._waiting.add(connection)
        self._selector.register(connection, EVENT_READ, self._gather)
        self._gather(connection)

    def _gather(self, connection: Any) -> None:
        if connection not in self._waiting:  # closed by what came in just before
            return
        if not connection.gather():
            return
        if connection.phase is Phase.GATHERING:
            self._answer(connection)
        else:  # the client has gone
            self._dismiss([connection])

    def _answer(self, connection: Connection) -> None:
        if len(connection.request.received) > _LARGE_BYTES:
            self._dismiss(each for each in self._waiting if each.phase is Phase.IDLE)
        try:
            request, body = self._parsed(connection)
        except OSError:  # the client has gone before it had sent all of the head
            self._dismiss([connection])
        except Exception as error:  # noqa: BLE001 - gunicorn tells them apart, and answers
            self.handle_error(None, connection, connection.address, error)
            self._end(connection)
        else:
            pieces, stays = exchange(request, body, self.wsgi, may_stay=connection.request.is_alone and self.alive)
            connection.answer(pieces, may_stay=stays)
            self._send(connection)

    def _parsed(self, connection: Connection) -> tuple[Any, Any]:
        """Give a request as gunicorn reads it, and its body; what a client sends again and again is read once."""
        head, body = connection.request.take()
        if connection.request.is_chunked:
            request = next(RequestParser(self.cfg, [head, body], connection.address))
            return request, request.body
        return self._read_head(head), io.BytesIO(body)

    def _send(self, connection: Any) -> None:
        if connection not in self._waiting:
            return
        try:
            if connection.send_on():
                self._end(connection)
            else:
                self._expect(connection, EVENT_WRITE, self._send)
        except Exception as error:
            if not isinstance(error, OSError):  # the client has gone
                self.log.exception("An answer could not be finished.")
            self._dismiss([connection])

    def _end(self, connection: Connection) -> None:
        """Go on after an answer."""
        if connection.may_stay:
            connection.expect(self.cfg.keepalive)
        elif connection.request.is_whole:
            self._dismiss([connection])
            return
        else:
            connection.linger()
        self._expect(connection, EVENT_READ, self._gather)

    def _expect(self, connection: Connection, event: int, then: Callable[[Any], None]) -> None:
        if self._selector.get_key(connection).events != event:
            self._selector.modify(connection, event, then)

    def _dismiss(self, connections: Iterable[Connection]) -> int:
        """Let clients go; give how many are left."""
        for connection in list(connections):
            self._waiting.remove(connection)
            self._selector.unregister(connection)
            connection.dismiss()
        return len(self._waiting)

    def _wake_up(self, pipe: int) -> None:
        os.read(pipe, 1)

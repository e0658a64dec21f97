"""Gunicorn's ASGI worker with connection timeouts, connection limits and graceful shutdown.

The parser, the framing of responses and the ASGI interface are gunicorn's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from typing import TYPE_CHECKING, Any

from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers.gasgi import ASGIWorker

from ipinsights.serving.messages import BODY_IS_HERE

if TYPE_CHECKING:
    import socket
    from asyncio import Transport

__all__ = ["Connection", "Worker"]

_logger = logging.getLogger(__name__)

_MAX_HEAD_BYTES = 2**16
# A client that is refused, or that does not read the end of its answer, is listened to for so long.
_LINGER_SECONDS = 2.0
# Requests that are on their way when the server ends may take so long to arrive.
_LAST_REQUESTS_SECONDS = 0.5
_HEARTBEAT_SECONDS = 1.0
# Python refuses to parse numbers of more than 4,300 digits. Gunicorn does not expect that of a Content-Length, which
# may be as long as a header.
_MAX_DIGITS = 10_000
_REFUSALS = {
    400: "The request is not valid HTTP.",
    408: "The request did not arrive in time.",
    414: "The request line is too long.",
    431: "The head of the request is too large.",
    501: "The Transfer-Encoding is not supported.",
    503: "The server has too many connections: send the request again later.",
}


class Connection(ASGIProtocol):
    """A client's connection."""

    # Gunicorn's own attributes.
    _closed: bool
    _current_request: Any
    _body_receiver: Any

    _served_request: Any = None  # what the application has been called with, and records
    _arrival_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _is_counted = False
    _is_answered = False
    _is_end_announced = False
    _is_last = False

    @property
    def is_busy(self) -> bool:
        """Whether a whole request is being answered."""
        return self._current_request is not None and self._body_receiver._complete  # noqa: SLF001 - gunicorn's own

    @property
    def is_idle(self) -> bool:
        """Whether nothing of a request has arrived."""
        return self._current_request is None and not self._head_bytes

    def connection_made(self, transport: Transport) -> None:
        """Begin to wait for a request."""
        if len(self.worker.connections) >= self.worker.worker_connections:
            self.transport = transport
            self._refuse(503)
            return
        self._is_counted = True
        self.worker.connections.add(self)
        super().connection_made(transport)
        self._start_arrival_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_arrival_timer()
        if self._is_counted:
            self.worker.connections.discard(self)
            super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what a client sent, unless it was refused."""
        if not self._closed:
            super().data_received(data)
            self._watch_arrival(len(data))

    def _watch_arrival(self, num_bytes: int) -> None:
        """Limit the time and the size of a request that has not arrived yet."""
        if self._closed or self.is_busy:
            self._stop_arrival_timer()
            return
        if self._current_request is None:
            self._head_bytes += num_bytes
            self._cancel_keepalive_timer()
        if self._head_bytes > _MAX_HEAD_BYTES:
            self._refuse(431)
        elif self._arrival_timer is None:
            self._start_arrival_timer()

    def eof_received(self) -> bool:
        """Return whether the connection stays open for an answer to a client that closed its side."""
        if self._closed:
            return False
        self._is_last = True
        if self._current_request is not None:
            if not self.is_busy:  # the application is told that the body does not arrive, and its response is sent
                self._body_receiver._body_wait_expired = True  # noqa: SLF001 - gunicorn's own
                self._body_receiver._wake_waiter()  # noqa: SLF001 - gunicorn's own
            return True
        if self._head_bytes:
            self._refuse(400, "The request ended before it was complete.")
        return False

    def close_idle(self) -> None:
        """Close the connection unless a whole request is being answered."""
        if not self.is_busy:
            self._close_transport()

    def _on_headers_complete(self) -> bool:
        self._head_bytes = 0
        self._is_answered = False
        skips_body: bool = super()._on_headers_complete()
        return skips_body

    async def _serve_http_request(self, request: Any, *args: Any) -> bool:
        self._served_request = request
        is_kept_alive: bool = await super()._serve_http_request(request, *args)
        return is_kept_alive

    def _build_http_scope(self, *args: Any) -> dict[str, Any]:
        scope: dict[str, Any] = super()._build_http_scope(*args)
        if self._body_receiver._complete:  # noqa: SLF001 - gunicorn's own
            scope["extensions"] = {BODY_IS_HERE: {}}
        return scope

    def _will_close(self, *args: Any) -> bool:
        """Return whether the connection ends with this response, as its head announces."""
        if not self._is_answered:
            self._is_end_announced = self.worker.stop_requested.is_set() or super()._will_close(*args)
        return self._is_end_announced

    def _is_websocket_upgrade(self, _request: Any) -> bool:
        return False

    def _send_response_start(self, *args: Any, **options: Any) -> None:
        self._is_answered = True
        super()._send_response_start(*args, **options)

    def _send_error_response(self, status: int, *_: Any) -> None:
        """Refuse what gunicorn's parser does not accept. Its own answer would repeat a part of it."""
        self._refuse(status)

    def _refuse(self, status: int, reason: str = "") -> None:
        """Send a refusal unless an answer has begun, and close the connection after it is read."""
        if self._closed:
            return
        if self._current_request is None or not self._is_answered:
            reason = reason or _REFUSALS.get(status, "The request cannot be answered.")
            if self._current_request is None or self._current_request is not self._served_request:
                _logger.warning("Refused a request with %d: %s", status, reason)
                self.worker.asgi.record_refusal(status)
            else:
                self._body_receiver.signal_disconnect()  # The application logs and records the end of the body.
            head = f"HTTP/1.1 {status} {self._get_reason_phrase(status)}\r\nConnection: close\r\n"
            body = f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(reason) + 1}\r\n\r\n{reason}\n"
            self._safe_write((head + body).encode())
        self._closed = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.worker.loop.call_later(_LINGER_SECONDS, self.transport.abort)

    def _close_transport(self) -> None:
        if not self._closed and self.transport.get_write_buffer_size():
            self.worker.loop.call_later(_LINGER_SECONDS, self.transport.abort)
        super()._close_transport()

    def _arm_keepalive_timer(self) -> None:
        """Wait for another request, unless the client has said that none comes."""
        if self._is_last:
            self._keepalive_timeout()
        else:
            super()._arm_keepalive_timer()

    def _start_arrival_timer(self) -> None:
        self._arrival_timer = self.worker.loop.call_later(self.worker.app.timeout, self._arrival_timeout)

    def _stop_arrival_timer(self) -> None:
        if self._arrival_timer is not None:
            self._arrival_timer.cancel()
            self._arrival_timer = None

    def _arrival_timeout(self) -> None:
        """Refuse a request whose head has not arrived. The application limits the time of bodies."""
        self._arrival_timer = None
        if self._current_request is None and self._head_bytes:
            self._refuse(408)
        elif self._current_request is None:
            self._close_transport()


class Worker(ASGIWorker):
    """Worker process.

    After SIGTERM it accepts no connection. If the server ends, it answers every request that arrives within half a
    second. If it was replaced, by one with a new model, it answers a last request on each of its connections.
    """

    def init_process(self) -> None:
        """Prepare the process, then serve."""
        if hasattr(sys, "set_int_max_str_digits"):
            sys.set_int_max_str_digits(_MAX_DIGITS)
        self.connections: set[Connection] = set()
        # Gunicorn looks up a setting in a chain of tables, and some twenty settings for each connection.
        self.cfg.__dict__.update({name: setting.get() for name, setting in self.cfg.settings.items()})
        super().init_process()

    def run(self) -> None:
        """Serve until a stop is requested."""
        self.stop_requested = asyncio.Event()
        self._opening: set[asyncio.Task[Any]] = set()
        self.loop.set_exception_handler(_log_unexpected)
        self._reopen_access_log()  # the master's, which may have been renamed before this process handled signals
        try:
            self.loop.run_until_complete(self._serve())
        finally:
            self._cleanup()

    def handle_exit_signal(self) -> None:
        """Begin to stop. Gunicorn's own handler ends connections that are to be kept."""
        self.stop_requested.set()

    def handle_quit_signal(self) -> None:
        """Stop at once."""
        super().handle_quit_signal()
        self.stop_requested.set()

    def handle_usr1_signal(self) -> None:
        """Reopen log files."""
        super().handle_usr1_signal()
        self._reopen_access_log()

    def _reopen_access_log(self) -> None:
        if self.asgi.access_log is not None:
            self.asgi.access_log.reopen()

    async def _serve(self) -> None:
        for listener in self.sockets:
            self.loop.add_reader(listener.sock, self._accept, listener.sock)
        # A signal that comes before this process handles signals is lost.
        while not self.stop_requested.is_set() and not self.app.is_stopping and self.ppid == os.getppid():
            self.notify()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.stop_requested.wait(), _HEARTBEAT_SECONDS)
        self.stop_requested.set()
        for listener in self.sockets:
            self.loop.remove_reader(listener.sock)
        await self._drain()

    def _accept(self, listener: socket.socket) -> None:
        """Accept one connection.

        The event loop's own server would accept all waiting connections, and leave none to other workers.
        """
        try:
            accepted, _ = listener.accept()
        except OSError:  # another worker was faster, or the client has hung up
            return
        opening = self.loop.create_task(self.loop.connect_accepted_socket(lambda: Connection(self), accepted))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _drain(self) -> None:
        """Answer what comes on connections that are open."""
        begun = self.loop.time()
        while (self.connections or self._opening) and not self._quick_shutdown:
            self.notify()
            self.asgi.is_stopping = self.app.is_stopping
            patience = _LAST_REQUESTS_SECONDS if self.app.is_stopping else self.cfg.keepalive
            if self.loop.time() > begun + patience:
                for connection in list(self.connections):
                    if connection.is_idle or self.app.is_stopping:
                        connection.close_idle()
            await asyncio.sleep(_LAST_REQUESTS_SECONDS / 20)


def _log_unexpected(_loop: Any, context: dict[str, Any]) -> None:
    """Log an error that nothing handled, without its text, which may quote a request."""
    _logger.error("Unexpected error in a worker: %s (%s).", context.get("message"), type(context.get("exception")))

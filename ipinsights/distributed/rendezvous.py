"""Rendezvous: hosts of a job connect, compare their settings and detect the end of others.

MXNet's processes wait for ever for a process that has died. Therefore each host keeps one TCP connection to the first
host. A host is alive while its connection is open and its heartbeats arrive. Messages are lines of JSON:

=============================  =========================================================================
to the first host              meaning
=============================  =========================================================================
``{"host": name}``             registers the host, always the first line
``{"ready": facts}``           the host has read its data
``{"done": path}``             the host's worker has ended well
``{"stopped": true}``          the host was stopped before training
``{"failed": {...}}``          the host failed, with a message and an exit code
``{"beat": true}``             heartbeat, in both directions
=============================  =========================================================================

The first host answers with ``everybody`` (the facts of all hosts) when all are ready, and with one outcome at the end:
``failed``, ``stopped`` or ``over``.
"""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import threading
import time
from typing import TYPE_CHECKING, Any

from ipinsights.distributed.heartbeat import BEATS_PER_SILENCE, SILENCE_SECONDS, Silence, keep_alive
from ipinsights.errors import AlgorithmError, ClientError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from io import BufferedIOBase

    from typing_extensions import Self

    from ipinsights.distributed.cluster import Cluster

__all__ = ["Link", "Rendezvous", "check_alike", "lost"]

# Seconds that the first host waits for the last one. Containers start minutes apart.
_JOIN_SECONDS = 300.0
_MAX_LINE_BYTES = 2**20
# Seconds that a host waits for the first one to close the connection as well.
_CLOSE_SECONDS = 2.0
_BEAT = {"beat": True}


class Rendezvous(socketserver.ThreadingTCPServer):
    """Server on the first host for the connections of all hosts, as a context manager.

    The server handles each connection in a thread. When all hosts are ready with equal settings, each receives the
    facts of all. The first failure, the loss of a host or the success of all hosts is the outcome, which each host
    receives. A host is lost if it does not connect within ``join_seconds``, or sends nothing for ``silence_seconds``.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(
        self, cluster: Cluster, *, join_seconds: float = _JOIN_SECONDS, silence_seconds: float = SILENCE_SECONDS
    ) -> None:
        self._hosts = cluster.hosts
        self._silence_seconds = silence_seconds
        self._silences: dict[str, Silence] = {}
        self._lock = threading.RLock()
        self._streams: dict[str, BufferedIOBase] = {}
        self._facts: dict[str, Mapping[str, Any]] = {}
        self._done: set[str] = set()
        self._outcome: Mapping[str, Any] = {}
        self._over = threading.Event()
        self._alarm = threading.Timer(join_seconds, self._check_presence, [join_seconds])
        address = (cluster.own_address, cluster.rendezvous_port)
        try:
            super().__init__(address, _Host)
        except OSError as error:
            raise ClientError(f"Cannot listen on {address[0]}:{address[1]}: {error.strerror}.") from None

    def __enter__(self) -> Self:
        self._alarm.daemon = True
        self._alarm.start()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # The link of this host is closed by now, so there is an outcome, or there will be one soon.
        self._over.wait()
        self._alarm.cancel()
        self.shutdown()
        self.server_close()

    def register(self, host: str, stream: BufferedIOBase) -> bool:
        """Register a host. Return False if it is unknown or already registered."""
        with self._lock:
            if host not in self._hosts or host in self._streams:
                return False
            self._streams[host] = stream
            self._silences[host] = Silence(self._silence_seconds)
            if self._outcome:
                self._send(self._outcome, [stream])
            return True

    def receive(self, host: str, message: Mapping[str, Any]) -> None:
        """Handle a message of a host."""
        with self._lock:
            self._silences[host].end()
            if "ready" in message:
                self._facts[host] = message["ready"]
                if len(self._facts) == len(self._hosts):
                    self._compare()
            elif "failed" in message:
                self._end({"failed": {**message["failed"], "host": host}})
            elif "stopped" in message:
                self._end({"stopped": True})
            elif "done" in message:
                self._done.add(host)
                if len(self._done) == len(self._hosts):
                    self._end({"over": True})

    def disconnect(self, host: str) -> None:
        """Handle the end of a host's connection."""
        with self._lock:
            self._lose(host, "its connection to the first host has ended")

    def _beat(self) -> None:
        """Send heartbeats, and end the job when a host has been silent for too long."""
        while not self._over.wait(self._silence_seconds / BEATS_PER_SILENCE):
            with self._lock:
                self._send(_BEAT)
                for host, silence in self._silences.items():
                    if silence.is_too_long():
                        self._lose(host, f"it has been silent for {self._silence_seconds:g} seconds")

    def _check_presence(self, join_seconds: float) -> None:
        with self._lock:
            for host in self._hosts:
                if host not in self._streams:
                    self._lose(host, f"it did not connect within {join_seconds:g} seconds")

    def _compare(self) -> None:
        """Start all hosts if their settings agree, otherwise end the job."""
        try:
            check_alike({host: self._facts[host]["agreed"] for host in self._hosts})
        except ClientError as error:
            self._end({"failed": {"host": "", "message": str(error), "exit_code": error.exit_code}})
        else:
            self._send({"everybody": [self._facts[host] for host in self._hosts]})

    def _lose(self, host: str, reason: str) -> None:
        error = lost(host, reason)
        self._end({"failed": {"host": "", "message": str(error), "exit_code": error.exit_code}})

    def _end(self, outcome: Mapping[str, Any]) -> None:
        if not self._outcome:
            self._outcome = outcome
            self._send(outcome)
            self._over.set()

    def _send(self, message: Mapping[str, Any], streams: Iterable[BufferedIOBase] | None = None) -> None:
        line = _line(message)
        for stream in streams or self._streams.values():
            with contextlib.suppress(OSError):
                stream.write(line)


class _Host(socketserver.StreamRequestHandler):
    """The connection of one host, on the first one."""

    server: Rendezvous

    def setup(self) -> None:
        """Let the kernel notice a peer that has vanished."""
        super().setup()
        keep_alive(self.request)

    def handle(self) -> None:
        """Handle lines until the connection ends. A first line without a known host ends it at once."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            host = json.loads(self.rfile.readline(_MAX_LINE_BYTES))["host"]
            if self.server.register(host, self.wfile):
                try:
                    while line := self.rfile.readline(_MAX_LINE_BYTES):
                        self.server.receive(host, json.loads(line))
                finally:
                    self.server.disconnect(host)


class Link:
    """The connection of this host to the first one, which must listen. A context manager."""

    def __init__(self, cluster: Cluster, *, silence_seconds: float = SILENCE_SECONDS) -> None:
        self._first = cluster.hosts[0]
        self._socket = _connect(cluster)
        self._silence = Silence(silence_seconds)
        self._silence_seconds = silence_seconds
        self._buffer = b""
        self.send(host=cluster.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Unread heartbeats would make the kernel reset the connection, and the last message might be lost.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            self._socket.settimeout(_CLOSE_SECONDS)
            while self._socket.recv(_MAX_LINE_BYTES):
                pass
        self._socket.close()

    def fileno(self) -> int:
        """Return the file descriptor of the socket, for `select`."""
        return self._socket.fileno()

    def send(self, **message: Any) -> None:
        """Send a message to the first host."""
        with contextlib.suppress(OSError):  # `receive` reports a broken connection.
            self._socket.sendall(_line(message))

    def beat(self) -> None:
        """Send a heartbeat, and raise an error if the first host has been silent for too long."""
        self.send(**_BEAT)
        if self._silence.is_too_long():
            raise lost(self._first, f"it has been silent for {self._silence_seconds:g} seconds")

    def receive(self) -> list[dict[str, Any]]:
        """Return the messages that have arrived except heartbeats. Wait if nothing has arrived.

        A host's failure, and the loss of the first host, are raised.
        """
        try:
            piece = self._socket.recv(_MAX_LINE_BYTES)
        except OSError:
            piece = b""
        if not piece:
            raise lost(self._first, "its connection has ended")
        self._silence.end()
        *lines, self._buffer = (self._buffer + piece).split(b"\n")
        messages = [message for message in map(json.loads, lines) if message != _BEAT]
        for message in messages:
            if "failed" in message:
                host, text, exit_code = (message["failed"][name] for name in ("host", "message", "exit_code"))
                error = ClientError if exit_code == ClientError.exit_code else AlgorithmError
                raise error(f"Host '{host}' failed: {text}" if host else text)
        return messages


def lost(host: str, reason: str) -> AlgorithmError:
    """Return the error for a host that was lost."""
    return AlgorithmError(f"Host '{host}' was lost: {reason}. Training cannot go on without it; start the job again.")


def check_alike(agreed: Mapping[str, Mapping[str, str]]) -> None:
    """Raise an error that names how another host's settings differ from the first host's."""
    (first, one), *others = agreed.items()
    for host, other in others:
        differences = [
            f"{name} is {one.get(name, 'not given')} and {other.get(name, 'not given')}"
            for name in {**one, **other}
            if one.get(name) != other.get(name)
        ]
        if differences:
            raise ClientError(
                f"Hosts '{first}' and '{host}' were given different jobs: {'; '.join(differences)}. Give all the same."
            )


def _connect(cluster: Cluster) -> socket.socket:
    """Connect to the first host as soon as it listens, from this host's own address."""
    address = (cluster.first_address, cluster.rendezvous_port)
    deadline = time.monotonic() + _JOIN_SECONDS
    while True:
        try:
            connection = socket.create_connection(address, timeout=5, source_address=(cluster.own_address, 0))
        except OSError as error:
            if time.monotonic() > deadline:
                raise AlgorithmError(
                    f"Host '{cluster.hosts[0]}' was lost: {address[0]}:{address[1]} cannot be reached: {error}."
                ) from None
            time.sleep(0.2)
        else:
            connection.settimeout(None)
            keep_alive(connection)
            return connection


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"

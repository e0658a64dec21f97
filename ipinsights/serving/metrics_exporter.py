"""The process that serves Prometheus metrics: the sum over the files of all workers.

It is a process of its own for three reasons. A slow or hostile scraper cannot hold up the endpoint or its master. The
master stays free of threads, which do not go together with ``fork``. And the folder of metrics is removed even if the
master is killed: this process ends, and cleans up, when its standard input ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from ipinsights._system import address_reason
from ipinsights.data.files import locked
from ipinsights.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Exporter", "start_exporter"]

_SLOW_SCRAPER_SECONDS = 10
# Nobody waits longer for an exporter that still waits for a worker. It ends and cleans up by itself.
_LAST_WORKER_SECONDS = 2
# A manager of services sends these to all processes of a service. This one ends after the last worker.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


class Exporter:
    """A running exporter, with the address that serves the metrics.

    The exporter ends after this process and all workers, even if nobody calls `close`.
    """

    def __init__(self, process: subprocess.Popen[bytes], host: str, port: int) -> None:
        self._process = process
        self.host = host
        self.port = port

    def close(self) -> None:
        """Wait until the exporter has ended, which it does after the last worker."""
        if self._process.stdin:
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_LAST_WORKER_SECONDS)


def start_exporter(folder: Path, host: str = "127.0.0.1", port: int = 0) -> Exporter:
    """Start to serve the metrics of a folder at ``http://host:port/metrics``.

    The exporter removes the folder when this process and the workers have ended. Keep the object, because the exporter
    ends with it. Port 0 is any free port.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise ClientError(
            f"Metrics cannot be served at {host}:{port}: {address_reason(error)}. Choose another address or port "
            "for them."
        ) from None
    with listener:
        process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", __name__, str(folder), str(listener.fileno())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
            start_new_session=True,  # Ctrl-C is for the server
            # The same modules as here, and none from the folder in which the server happens to be started.
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
        )
        return Exporter(process, host, listener.getsockname()[1])


class _Collector:
    """Reader of the files of all processes, none of which is merged meanwhile."""

    def __init__(self, folder: Path) -> None:
        from prometheus_client.multiprocess import MultiProcessCollector

        self._folder = folder
        self._collector = MultiProcessCollector(None, str(folder))

    def collect(self) -> Iterable[Any]:
        """Return all metrics, added up over all processes."""
        with locked(self._folder):
            return list(self._collector.collect())


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, listener: socket.socket, application: Any) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_name, self.server_port = listener.getsockname()[:2]
        self.setup_environ()
        self.set_app(application)


class _Handler(WSGIRequestHandler):
    timeout = _SLOW_SCRAPER_SECONDS

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in the base class
        """Log nothing: a scraper comes every few seconds."""


def _export(folder: Path, listener: socket.socket) -> None:
    """Serve metrics until standard input ends, then close the port and remove the folder."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    from prometheus_client import CollectorRegistry, make_wsgi_app

    registry = CollectorRegistry()
    registry.register(_Collector(folder))
    server = _Server(listener, make_wsgi_app(registry))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.buffer.read()
    # The other way round, a scraper would find no folder and get an error 500.
    server.shutdown()
    server.server_close()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    _export(Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])))

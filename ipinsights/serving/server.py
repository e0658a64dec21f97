"""The server: gunicorn with ASGI workers that share one copy of the model in memory."""

from __future__ import annotations

import gc
import logging
import mmap
import os
import signal
import socket
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter

from ipinsights._system import address_reason, folder_in_memory
from ipinsights.errors import ClientError
from ipinsights.inference.scorers import DOT_PRODUCT
from ipinsights.log_format import ContainerFormatter, set_up_logging
from ipinsights.serving.access_log import AccessLog
from ipinsights.serving.application import Application
from ipinsights.serving.log_stream import LogStream
from ipinsights.serving.media_types import JSON, JSON_LINES, default_media_type
from ipinsights.serving.metrics_exporter import start_exporter
from ipinsights.serving.service import InferenceModel

if TYPE_CHECKING:
    from pathlib import Path

    from ipinsights.serving.metrics_exporter import Exporter
    from ipinsights.serving.server_metrics import ServerMetrics

__all__ = ["Server"]

_logger = logging.getLogger(__name__)

# A worker that does not respond for so long is replaced. Its event loop is never busy for a second.
_HEARTBEAT_SECONDS = 30
# Requests that were accepted before SIGTERM are answered within this time, or not at all.
_GRACE_SECONDS = 8
# Longer than the keep-alive of proxies (60 s in nginx and AWS load balancers), so that they close and not the server.
_KEEPALIVE_SECONDS = 75
# Connections of a worker. With its other files it stays below 1,024, the usual limit of open files.
_MAX_CONNECTIONS = 900


@dataclass(frozen=True)
class Server:
    """A server that is not started yet."""

    model_path: Path  # model directory, ``model_algo-1`` or ``model.tar.gz``
    host: str = "127.0.0.1"
    port: int = 8080  # 0 is any free port
    num_workers: int = 1
    timeout: int = 60  # seconds in which a request must arrive, and in which a client must read a piece of its answer
    max_payload_mb: int = 6  # largest body in mebibytes
    watch_model: bool = False  # whether a model file that was replaced is loaded without SIGHUP
    metrics_port: int | None = None  # port of Prometheus metrics on the same host, 0 for any free port
    access_log: Path | None = None  # file for a JSON line about each request, or None
    scorer: str = DOT_PRODUCT  # name of the scorer of requests that name no scorer

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        log = LogStream()
        # Without the lock of the progress bars, which a killed worker would keep.
        handler = logging.StreamHandler(log)
        handler.setFormatter(ContainerFormatter())
        set_up_logging(handler=handler)
        _check_address(self.host, self.port)
        access_log = AccessLog(self.access_log) if self.access_log else None
        metrics, exporter = self._start_metrics()
        for media_type in (JSON, JSON_LINES, "text/csv"):
            _logger.info("loaded request iterator %s", media_type)
        for media_type in (JSON, JSON_LINES):
            _logger.info("loaded response encoder %s", media_type)
        _logger.info("Number of server workers: %d", self.num_workers)
        application = Application(
            model=_load(self.model_path, self.scorer, metrics),
            num_workers=self.num_workers,
            max_payload_mb=self.max_payload_mb,
            default=default_media_type(os.environ),
            timeout=self.timeout,
            log=log,
            metrics=metrics,
            access_log=access_log,
        )
        _freeze_memory()
        _Gunicorn(self, application, exporter).run()

    def _start_metrics(self) -> tuple[ServerMetrics | None, Exporter | None]:
        if self.metrics_port is None:
            return None, None
        # prometheus_client decides at its import how it counts.
        from ipinsights.serving.server_metrics import ServerMetrics

        metrics = ServerMetrics()
        exporter = start_exporter(metrics.folder, self.host, self.metrics_port)
        _logger.info("Metrics at: http://%s:%d/metrics", exporter.host, exporter.port)
        return metrics, exporter

    def settings(self) -> dict[str, Any]:
        """Return gunicorn's settings."""
        return {
            "bind": f"{self.host}:{self.port}",
            "workers": self.num_workers,
            "worker_class": "ipinsights.serving.gunicorn_worker.Worker",
            "worker_connections": _MAX_CONNECTIONS,
            "keepalive": _KEEPALIVE_SECONDS,
            # Longer than a body may take, because gunicorn gives up a body after this time, too, without an answer.
            "timeout": max(_HEARTBEAT_SECONDS, 2 * self.timeout),
            "graceful_timeout": _GRACE_SECONDS,
            # For heartbeats, which must not wait for a disk.
            "worker_tmp_dir": folder_in_memory(),
            # Nothing here depends on what a proxy says of its client.
            "forwarded_allow_ips": "",
            # The socket of gunicorn's own command line, which nobody asked for.
            "control_socket_disable": True,
        }


class _Gunicorn(BaseApplication):
    """Gunicorn around an application that is loaded before it forks."""

    def __init__(self, server: Server, application: Application, exporter: Exporter | None) -> None:
        self._server = server
        self._exporter = exporter
        self._application = application
        self._seen = self._tried = application.model.identity_at_path()
        # One byte in memory that all processes share: whether the server ends.
        self._stopping = mmap.mmap(-1, 1)
        self.timeout = server.timeout
        super().__init__()

    @property
    def is_stopping(self) -> bool:
        """Whether the server ends."""
        return self._stopping[0] == 1

    def announce_stop(self) -> None:
        """Let all processes know that the server ends."""
        self._stopping[0] = 1

    def load_config(self) -> None:
        """Set what differs from gunicorn's defaults."""
        for name, value in self._server.settings().items():
            self.cfg.set(name, value)
        metrics = self._application.metrics
        if metrics is not None:
            self.cfg.set("child_exit", lambda _arbiter, worker: metrics.worker_ended(worker.pid))
        if self._exporter is not None:
            exporter = self._exporter
            self.cfg.set("on_exit", lambda _arbiter: exporter.close())

    def load(self) -> Application:
        """Return the application."""
        return self._application

    def run(self) -> None:
        """Serve."""
        _Arbiter(self).run()

    def is_model_replaced(self) -> bool:
        """Return whether the model file was replaced and has not changed since the last call."""
        before, self._seen = self._seen, self._application.model.identity_at_path()
        return self._server.watch_model and self._seen not in (None, self._tried) and self._seen == before

    def reload_model(self) -> bool:
        """Load the model again for future workers. Return whether it can be used."""
        self._tried = self._application.model.identity_at_path()
        try:
            model = _load(self._server.model_path, self._server.scorer, self._application.metrics)
        except ClientError as error:
            _logger.error("The new model is not used: %s", error)  # noqa: TRY400 - the sentence says it all
            return False
        self._application = self.callable = replace(self._application, model=model)
        _freeze_memory()
        return True


class _Arbiter(Arbiter):
    """Master process, which replaces the workers when there is a new model."""

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        """Return the signals that came in, each once. A new model file counts as SIGHUP."""
        signals = super().wait_for_signals(timeout)
        if self.app.is_model_replaced():
            signals.append(signal.SIGHUP)
        return list(dict.fromkeys(signals))

    def reload(self) -> None:
        """Start workers with the new model, and let the old ones finish."""
        if self.app.reload_model():
            for _ in range(self.num_workers):
                self.spawn_worker()
            self.manage_workers()

    def stop(self, graceful: bool = True) -> None:  # noqa: FBT001, FBT002 - gunicorn's signature
        """End the workers."""
        self.app.announce_stop()
        super().stop(graceful)


def _load(path: Path, scorer: str, metrics: ServerMetrics | None) -> InferenceModel:
    _logger.info("loading model...")
    is_loaded = False
    try:
        model = InferenceModel.load(path, scorer)
        model.warm_up()
        is_loaded = True
    finally:
        if metrics is not None:
            metrics.model_loaded(succeeded=is_loaded)
    _logger.info("...model loaded.")
    return model


def _freeze_memory() -> None:
    """Exclude existing objects from garbage collection, which would copy shared pages."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


def _check_address(host: str, port: int) -> None:
    """Raise an error if the address is in use. Gunicorn would retry for five seconds first."""
    try:
        with socket.create_server((host, port)):
            pass
    except OSError as error:
        raise ClientError(
            f"The server cannot listen at {host}:{port}: {address_reason(error)}. Stop what does, or choose another "
            "with `port`."
        ) from None

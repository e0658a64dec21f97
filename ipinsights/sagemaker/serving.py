"""The inference container: gunicorn with sync workers that share one copy of the model, as the original has it."""

from __future__ import annotations

import gc
import logging
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication

from ipinsights.errors import ClientError
from ipinsights.sagemaker.formats import JSON, JSON_LINES, default_media_type
from ipinsights.sagemaker.inference import InferenceModel
from ipinsights.sagemaker.logs import ContainerFormatter
from ipinsights.sagemaker.wsgi import Application

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Server"]

_logger = logging.getLogger(__name__)

# SIGTERM ends the server within two seconds; until then requests that came in are answered.
_GRACE_SECONDS = 1
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - for heartbeats, which must not wait for a disk


@dataclass(frozen=True)
class Server:
    """A server that is not started yet.

    Attributes
    ----------
    model_path
        Model directory, ``model_algo-1`` or ``model.tar.gz``.
    host, port
        Where it listens; port 0 is any that is free.
    num_workers
        Processes, each of which answers a request at a time.
    timeout
        Seconds that a request may take.
    max_payload_mb
        Mebibytes that a body may have.
    """

    model_path: Path
    host: str = "127.0.0.1"
    port: int = 8080
    num_workers: int = 1
    timeout: int = 60
    max_payload_mb: int = 6

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises
        ------
        ClientError
            The model cannot be opened, or the address cannot be had.
        SystemExit
            When it is over.
        """
        _set_up_logging()
        _check_address(self.host, self.port)
        for media_type in (JSON, JSON_LINES, "text/csv"):
            _logger.info("loaded request iterator %s", media_type)
        for media_type in (JSON, JSON_LINES):
            _logger.info("loaded response encoder %s", media_type)
        _logger.info("Number of server workers: %d", self.num_workers)
        _logger.info("loading model...")
        model = InferenceModel.load(self.model_path)
        model.warm_up()
        # What there is now stays; looked at for garbage, it would be copied by each worker.
        gc.collect()
        gc.freeze()
        _logger.info("...model loaded.")
        application = Application(model, self.num_workers, self.max_payload_mb, default_media_type(os.environ))
        _Gunicorn(application, self._settings()).run()

    def _settings(self) -> dict[str, Any]:
        return {
            "bind": f"{self.host}:{self.port}",
            "workers": self.num_workers,
            "worker_class": "ipinsights.sagemaker.worker.WaitingRoomWorker",
            "timeout": self.timeout,
            "graceful_timeout": _GRACE_SECONDS,
            "worker_tmp_dir": str(_SHARED_MEMORY) if os.access(_SHARED_MEMORY, os.W_OK) else None,
            # Nothing here depends on what a proxy says of its client.
            "forwarded_allow_ips": "",
            # A door for gunicorn's own command line, which nobody asked for; old versions have none.
            "control_socket_disable": True,
        }


class _Gunicorn(BaseApplication):
    """Gunicorn around an application that is loaded already, before it forks."""

    def __init__(self, application: Application, settings: Mapping[str, Any]) -> None:
        self._application = application
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        """Set what differs from gunicorn's defaults."""
        for name, value in self._settings.items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)

    def load(self) -> Application:
        """Give the application."""
        return self._application


def _check_address(host: str, port: int) -> None:
    """Refuse an address that is taken at once; gunicorn would try for five seconds and not say what to do."""
    try:
        with socket.create_server((host, port)):
            pass
    except OSError as error:
        # Names that cannot be resolved have negative numbers, and texts of their own.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise ClientError(
            f"The server cannot listen at {host}:{port}: {reason}. Stop what does, or choose another with --port."
        ) from None


def _set_up_logging() -> None:
    """Log in the container's format, without the lock of the progress bars: a worker that is killed would keep it."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(ContainerFormatter())
    logger = logging.getLogger("ipinsights")
    logger.handlers = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False

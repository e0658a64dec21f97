"""The roles of a distributed job: MXNet's scheduler, servers and workers (ps-lite), one process each.

The servers hold the parameters and run the optimizer. MXNet sends them that optimizer as a pickle. Ours build it from
their own hyperparameters and unpickle nothing.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from ipinsights.distributed.kvstore_collectives import FACTS, SAVES, VOTES
from ipinsights.model._mxnet import mx
from ipinsights.training.learners.kvstore_adam import StoredAdam

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ipinsights.config.hyperparameters import Hyperparameters

__all__ = ["connect", "serve"]

_logger = logging.getLogger(__name__)


def serve(environment: Mapping[str, str], hyperparameters: Hyperparameters) -> None:
    """Be the scheduler or a server, as the environment's ``DMLC_ROLE`` says, until the last worker leaves.

    Parameters
    ----------
    environment
        MXNet's ``DMLC_*`` variables. They must not be set when MXNet is imported: it would serve at once, with pickles.
    hyperparameters
        Of the job.
    """
    os.environ.update(environment)
    _Server(mx.kv.create("dist"), hyperparameters).run()


def connect(environment: Mapping[str, str], store: str) -> mx.kv.KVStore:
    """Be a worker: give the store of the job, of a type like ``dist_sync``, once every process is there."""
    os.environ.update(environment)
    return mx.kv.create(store)


class _Server(mx.kv.kvstore_server.KVStoreServer):
    """MXNet's server, with an optimizer of its own."""

    def __init__(self, store: mx.kv.KVStore, hyperparameters: Hyperparameters) -> None:
        super().__init__(store)
        self._adam = StoredAdam(hyperparameters)

    def _controller(self) -> Callable[[int, bytes, Any], None]:
        """Give what hears a command, in place of MXNet's own, which unpickles it."""

        def control(_command: int, body: bytes, _: Any) -> None:
            self._adam.obey(body.decode(errors="replace"))
            self.kvstore._set_updater(self._update)  # noqa: SLF001 - as MXNet's set_optimizer does on a server

        return control

    def _update(self, key: int, pushed: mx.nd.NDArray, stored: mx.nd.NDArray) -> None:
        """Act on a push to any key, or end: without it training would go wrong unnoticed."""
        try:
            self._act_on(key, pushed, stored)
        except Exception:
            # MXNet would print it and go on, as if the update had been made.
            _logger.exception("The server failed")
            os._exit(1)

    def _act_on(self, key: int, pushed: mx.nd.NDArray, stored: mx.nd.NDArray) -> None:
        if key in (SAVES, FACTS):
            stored[:] = pushed
        elif key >= VOTES:
            stored += pushed
        else:
            self._adam.update(key, pushed, stored)

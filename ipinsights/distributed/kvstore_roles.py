"""The roles of a distributed job, one process each: ps-lite scheduler, servers and workers.

The servers add up what the workers push. MXNet's own would unpickle an optimizer that anybody may send. Ours ignore
every command.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ipinsights.model._mxnet import mx

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["connect", "serve"]


def serve(environment: Mapping[str, str]) -> None:
    """Run the scheduler or a server, according to ``DMLC_ROLE``, until the last worker leaves.

    MXNet's ``DMLC_*`` variables must not be set when MXNet is imported: it would serve at once, with pickles.
    """
    os.environ.update(environment)
    _Server(mx.kv.create("dist")).run()


def connect(environment: Mapping[str, str]) -> mx.kv.KVStore:
    """Be a worker: return the store of the job once every process is there."""
    os.environ.update(environment)
    return mx.kv.create("dist_sync")


class _Server(mx.kv.kvstore_server.KVStoreServer):
    """MXNet's server without an optimizer."""

    def _controller(self) -> Callable[[int, bytes, Any], None]:
        """Return the handler of commands, in place of MXNet's own, which unpickles them."""
        return lambda *_: None

"""A server of a distributed job, spoken to by somebody who should not."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest

from ipinsights.distributed.kvstore_collectives import _Server
from ipinsights.model._mxnet import mx

if TYPE_CHECKING:
    from pathlib import Path


class Mine:
    """An object whose pickle makes a folder when it is read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        import os

        return os.mkdir, (self._folder,)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    """Where MXNet's own server would run what is sent as an optimizer, ours ignores it."""
    mine = pickle.dumps(Mine(tmp_path / "broken in"), 0)
    server = _Server(mx.kv.create("local"))
    server._controller()(0, mine, None)
    assert not (tmp_path / "broken in").exists()
    original = mx.kv.kvstore_server.KVStoreServer(mx.kv.create("local"))
    with pytest.raises(AttributeError, match="aggregate_num"):  # a folder is no optimizer, but it is there
        original._controller()(0, mine, None)
    assert (tmp_path / "broken in").exists()

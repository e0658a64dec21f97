"""Collectives of several hosts through a store, over real sockets."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from . import sums
from .kvstore_processes import run

pytestmark = pytest.mark.slow


class Exploit:
    """What runs code when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self._path,)


def send_pickle(environment: dict[str, str], path: Path) -> None:
    """Be a worker that sends what MXNet's own servers unpickle."""
    from ipinsights.distributed.kvstore_collectives import connect

    store = connect(environment)
    store._send_command_to_servers(0, pickle.dumps(Exploit(path), 0).decode())


def work(environment: dict[str, str], folder: Path, rank: int, num_hosts: int) -> None:
    """Be a worker that uses every collective, trains, and writes down what it found."""
    from ipinsights.distributed.kvstore_collectives import KVStoreGroup, connect

    group = KVStoreGroup(rank, num_hosts, connect(environment))
    found = {"collectives": sums.use_collectives(group), "training": sums.train(group)}
    (folder / f"{rank}.json").write_text(json.dumps(found), encoding="utf-8")
    group.wait()


@pytest.mark.parametrize(("num_hosts", "num_servers"), [(1, 1), (2, 2), (3, 1), (4, 3)])
def test_hosts_agree_and_train_together(tmp_path: Path, num_hosts: int, num_servers: int) -> None:
    """Every collective has its result on each host, and all have one encoder after training."""
    run(num_hosts, num_servers, work, tmp_path, ..., num_hosts)
    found = [json.loads((tmp_path / f"{rank}.json").read_text(encoding="utf-8")) for rank in range(num_hosts)]
    assert [each["collectives"] for each in found] == [sums.expected_of(num_hosts, rank) for rank in range(num_hosts)]
    check_training([each["training"] for each in found])


def check_training(found: list[dict[str, Any]]) -> None:
    """Check that all hosts have one encoder, and together the whole table and all rows."""
    assert len({each["encoder"] for each in found}) == 1
    assert sum(each["num_rows"] for each in found) == 300
    assert [each["first"] for each in found] == np.cumsum([0, *(len(each["table"]) for each in found)])[:-1].tolist()
    assert sum(len(each["table"]) for each in found) == 40


def test_a_pickle_is_not_unpickled(tmp_path: Path) -> None:
    """A server that is sent what MXNet calls an optimizer does not run it."""
    run(1, 1, send_pickle, tmp_path / "exploited")
    assert not (tmp_path / "exploited").exists()
    pickle.loads(pickle.dumps(Exploit(tmp_path / "exploited"), 0))  # noqa: S301 - our own, to see that it would have
    assert (tmp_path / "exploited").exists()

"""What two hosts agree on through a store, over real sockets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from .kvstore_processes import run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

# Which of the two hosts want to stop, and to save, each time they are asked.
STOPS = [[False, False], [False, True], [False, False]]
SAVES = [[True, False], [False, False], [True, True], [False, False]]
FACTS = [{"rows": 7, "name": "Zoë"}, {"rows": 2**40, "name": "x" * 900}]
# 30 bytes each, of which no byte is equal.
BITS = [np.arange(30, dtype=np.uint8), np.arange(30, dtype=np.uint8) * 8]


def agree(environment: dict[str, str], folder: Path, rank: int) -> None:
    """Be a worker of two, and write down what was agreed on."""
    from ipinsights.distributed import kvstore_collectives
    from ipinsights.distributed.kvstore_collectives import KVStoreGroup
    from ipinsights.distributed.kvstore_roles import connect
    from ipinsights.training.learners.kvstore_adam import command_servers

    kvstore_collectives._PART_BYTES = 8  # bits of real jobs are cut into parts as well
    store = connect(environment, "dist_sync")
    command_servers(store, "nothing")  # as a learner does, and servers act on pushes from then on
    group = KVStoreGroup(rank, 2, 3, store)
    found: dict[str, Any] = {
        "stops": [group.agree_to_stop(wanted[rank]) for wanted in STOPS],
        "saves": [group.agree_to_save(wanted[rank]) for wanted in SAVES],
        "facts": [group.gather(FACTS[rank]), group.gather({"rank": rank})],
        "bits": [group.any_of(BITS[rank]).tolist(), group.any_of(BITS[1 - rank][:5]).tolist()],
    }
    group.wait()
    (folder / f"{rank}.json").write_text(json.dumps(found), encoding="utf-8")


def test_two_hosts_agree(tmp_path: Path) -> None:
    """Both have the same answers: a stop lasts, a save does not, facts are in order, and bits are or-ed."""
    run(2, 2, agree, tmp_path, ...)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text(encoding="utf-8")) for rank in range(2))
    assert first == second
    assert first["stops"] == [False, True, True]
    assert first["saves"] == [True, False, True, False]
    assert first["facts"] == [FACTS, [{"rank": 0}, {"rank": 1}]]
    both = (BITS[0] | BITS[1]).tolist()
    assert first["bits"] == [both, both[:5]]

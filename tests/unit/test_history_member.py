"""What an artifact says of its history."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ipinsights.model.history_member import (
    HistoryRecord,
    check_version,
    history_columns,
    history_options,
    sizes,
    with_history,
)
from ipinsights.model.history_settings import settings
from ipinsights.model.pair_history import PairHistory

ENTITIES = np.array([7, 7, 9], dtype=np.uint64)
IPS = np.array([1, 1, 3], dtype=np.uint32)
SOURCE = {"kind": "training", "num_rows": 3, "num_entities": 2, "fingerprint": "f"}
PLAIN: dict[str, Any] = {"format_version": 1, "training": {}}


def history(*, ipv6: bool = False) -> PairHistory:
    """Return a history of two entities."""
    return PairHistory.from_pairs(ENTITIES, IPS, (ENTITIES[:1], ENTITIES[:1]) if ipv6 else None)


def test_meta_data_describe_the_history() -> None:
    """Version, constants, families, bound and sources, which are read again."""
    record = HistoryRecord([SOURCE, {**SOURCE, "fingerprint": "g"}], 100)
    meta = with_history(PLAIN, history(ipv6=True), record)
    assert meta["format_version"] == 2
    assert meta["history"]["settings"] == settings()
    assert HistoryRecord.read(meta) == record
    assert record.fingerprints == {"f", "g"}
    check_version(meta)


def test_removing_a_history_restores_the_meta_data() -> None:
    """Without its history a model has the meta data of one that never had any."""
    meta = with_history(PLAIN, history(), HistoryRecord([SOURCE]))
    assert with_history(meta, None, None) == PLAIN
    assert "history" not in PLAIN


@pytest.mark.parametrize("limit", [None, 5])
@pytest.mark.parametrize("ipv6", [False, True])
def test_options_of_a_history(limit: int | None, *, ipv6: bool) -> None:
    """The options of a history are the hyperparameters that lead to the same one."""
    meta = with_history(PLAIN, history(ipv6=ipv6), HistoryRecord([SOURCE], limit))
    bound = {} if limit is None else {"history_rows_per_entity": limit}
    assert history_options(meta) == {"keep_history": True, "ipv6": ipv6, **bound}
    assert history_options(PLAIN) == {}


def test_sizes() -> None:
    """Distinct pairs, events, entities and bytes."""
    assert sizes(history()) == {"num_rows": 2, "num_events": 3, "num_entities": 2, "num_bytes": 2 * 8 + 3 * 4 + 2 * 8}


def test_members_are_named_after_the_arrays() -> None:
    """Below a folder of the archive."""
    found = history(ipv6=True)
    assert {name.removeprefix("history/"): array.tobytes() for name, array in history_columns(found).items()} == {
        name: array.tobytes() for name, array in found.arrays.items()
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"format_version": 1},
        {"history": None},
        {"history": {"has_ipv6": False, "sources": [{"kind": "training"}]}},
        {"history": {"has_ipv6": False, "sources": {}, "rows_per_entity": None}},
        {"history": {"has_ipv6": False, "sources": [SOURCE], "rows_per_entity": 0}},
        {"history": {"has_ipv6": "no", "sources": [SOURCE]}},
    ],
)
def test_a_description_that_does_not_fit_is_refused(changes: dict[str, Any]) -> None:
    """A version 1 has no history, and a version 2 has a sound one."""
    meta = with_history(PLAIN, history(), HistoryRecord([SOURCE]))
    with pytest.raises(ValueError, match=r"^its meta\.json does not fit the history of its format$"):
        check_version({**meta, **changes})


def test_other_versions_are_refused() -> None:
    """The message has those that are read."""
    with pytest.raises(ValueError, match=r"^its format is version 3, this ipinsights reads versions 1 and 2$"):
        check_version({"format_version": 3})

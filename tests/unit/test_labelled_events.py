"""Events to test on, with labels or without, of every kind of source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from ipinsights.errors import ClientError, InvalidValueError
from ipinsights.evaluation.labelled_events import as_test_set

if TYPE_CHECKING:
    from pathlib import Path

FRAME = pd.DataFrame({"user": ["a", "b", "c"], "ip": ["192.0.2.1", "192.0.2.2", "192.0.2.3"], "label": [0, 1, 0]})
KINDS: dict[str, Any] = {
    "label by name": FRAME,
    "label among others": FRAME.rename(columns={"user": "entity"}).assign(time=1),
    "third column": FRAME.rename(columns={"label": "is_attack"}),
    "truth values": FRAME.assign(label=FRAME["label"] == 1),
    "list": list(FRAME.itertuples(index=False, name=None)),
    "array": FRAME.to_numpy(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_attacks_are_told_by_their_label(kind: str) -> None:
    """Ordinary events keep their order."""
    test = as_test_set(KINDS[kind])
    assert test.ordinary.ips.tolist() == [0xC0000201, 0xC0000203]
    assert test.attacks is not None
    assert test.attacks.ips.tolist() == [0xC0000202]


def test_a_file_gives_the_same_events(tmp_path: Path) -> None:
    """Of a path, as text or as object, with labels or with times."""
    path = tmp_path / "test.csv"
    FRAME.to_csv(path, header=False, index=False)
    for given in (path, str(path)):
        assert as_test_set(given).ordinary.ips.tolist() == [0xC0000201, 0xC0000203]
    path.write_text("a,192.0.2.1,2018-11-11T09:30:00Z\n")
    assert as_test_set(path).attacks is None
    assert as_test_set(FRAME[["user", "ip"]]).attacks is None


@pytest.mark.parametrize("data", [FRAME.assign(label=[0, 2, 0]), FRAME.assign(label=[0, 2, 0]).to_numpy()], ids=type)
def test_other_labels_are_refused(data: Any) -> None:
    """With row and value."""
    with pytest.raises(InvalidValueError) as caught:
        as_test_set(data)
    assert str(caught.value) == "The label in row 1 of test must be 0, or 1 for an attack. Got 2."


def test_attacks_alone_are_refused() -> None:
    """There is nothing to count false alarms of."""
    with pytest.raises(ClientError) as caught:
        as_test_set(FRAME.assign(label=np.ones(3, dtype=int)))
    assert str(caught.value) == (
        "test holds no ordinary events: give rows of entity,ip, or of entity,ip,label with label 0."
    )

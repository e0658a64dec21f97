"""The record of each epoch, and the bar over a run."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.testing import PlantedNetworks
from ipinsights.training.epoch_records import EpochRecorder, RunBar, is_in_notebook
from ipinsights.training.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipinsights.training.callbacks import Callback

SMALL = Hyperparameters(num_entity_vectors=20, vector_dim=8, mini_batch_size=32, epochs=3)


def train(callbacks: Sequence[Callback]) -> Trainer:
    """Train and validate on a hundred planted rows."""
    rng = np.random.default_rng(2)
    pairs = PlantedNetworks.draw(5, rng=rng).pairs(100, rng=rng)
    trainer = Trainer(SMALL, callbacks=callbacks)
    trainer.fit(pairs, pairs)
    return trainer


def test_each_epoch_is_recorded() -> None:
    """A record has the epoch's number, its metrics and the AUC."""
    recorder = EpochRecorder()
    trainer = train([recorder])
    assert [record["epoch"] for record in recorder.records] == [1, 2, 3]
    last = recorder.records[-1]
    assert last["validation_auc"] == trainer.state.validation_auc
    assert [last["accuracy"], last["cross_entropy"]] == list(trainer.metrics.get().values())
    assert last["seconds"] > 0


@pytest.mark.parametrize(("is_shown", "is_seen"), [(True, True), (False, False), (None, False)])
def test_a_bar_is_shown_if_wanted(
    is_shown: bool | None,  # noqa: FBT001
    is_seen: bool,  # noqa: FBT001
    capsys: pytest.CaptureFixture[str],
) -> None:
    """None leaves it to tqdm, which sees that standard error is no terminal here."""
    train([RunBar(is_shown=is_shown)])
    shown = capsys.readouterr().err
    assert ("epoch 3/3" in shown) is is_seen
    assert ("12/12" in shown or "cross-entropy" in shown) is is_seen


def test_a_notebook_is_known_by_its_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel of a notebook has a shell of that name, and a script has none."""
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert not is_in_notebook()
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert is_in_notebook()

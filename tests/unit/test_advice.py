"""Warnings about a training job."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.data.pairs import Pairs
from ipinsights.training.advice import ValidationWatch, advice_on_data, advice_on_steps
from ipinsights.training.trainer import Trainer


def hyperparameters(**changes: Any) -> Hyperparameters:
    """Return hyperparameters with changes."""
    return Hyperparameters(num_entity_vectors=10, vector_dim=4, **changes)


class TestSteps:
    """A job with too few steps hardly learns."""

    def test_the_default_batch_is_too_large_for_few_rows(self) -> None:
        """8,314 rows are one batch: three steps an epoch."""
        assert advice_on_steps(hyperparameters(), 8314) == (
            "An epoch has 3 optimizer steps of mini_batch_size 10,000, and the job 30 in all: a model needs some 3,000 "
            "to learn. Lower mini_batch_size or raise epochs, or set both to auto."
        )

    @pytest.mark.parametrize("num_rows", [299, 300, 301])
    def test_the_border_is_at_900_steps(self, num_rows: int) -> None:
        """Steps are those of all epochs: rows over batches, rounded up, times three."""
        warned = advice_on_steps(hyperparameters(mini_batch_size=1, epochs=1), num_rows) is not None
        assert warned == (math.ceil(num_rows / 1) * 3 < 900)


class TestData:
    """Entities with one row have no habit."""

    @pytest.mark.parametrize("num_single", [3, 4])
    def test_most_entities_have_one_row(self, num_single: int) -> None:
        """More than half of them, not just half."""
        entities = np.array([*range(num_single), *[100, 101, 102] * 2], dtype=np.uint64)
        expected = (
            "4 of 7 entities have one training row: what is normal for them is hardly learned. Train on more days."
        )
        found = advice_on_data(Pairs(entities, np.zeros(len(entities), dtype=np.uint32)))
        assert found == (expected if num_single == 4 else None)


def warnings_of(*aucs: float | None) -> list[str]:
    """Return the warnings after epochs with these AUCs."""
    warned: list[str] = []
    watch, trainer = ValidationWatch(warned.append), Trainer(hyperparameters())
    for epoch, auc in enumerate(aucs):
        trainer.state.epoch, trainer.state.validation_auc = epoch, auc
        watch.on_epoch_end(trainer)
    watch.on_train_end(trainer)
    return warned


class TestValidation:
    """A falling AUC means too many epochs."""

    def test_worse_than_the_best(self) -> None:
        """The warning names the best epoch and the last one."""
        assert warnings_of(0.9, 0.95, 0.93, 0.94) == [
            "Validation gets worse: its AUC was 0.9500 after epoch 2 and is 0.9400 after epoch 4. Train for 2 epochs, "
            "or keep the best model with `early_stopping_patience`."
        ]

    @pytest.mark.parametrize("aucs", [(), (None, None), (0.9, 0.95), (0.95, 0.9451), (0.9, 0.8, 0.91)])
    def test_no_warning(self, aucs: tuple[float | None, ...]) -> None:
        """Nothing is said without validation, while the AUC grows, or if it falls within noise."""
        assert warnings_of(*aucs) == []

"""The training loop: counters, steps, calls of callbacks, and ends."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.data.pairs import Pairs
from ipinsights.errors import ClientError
from ipinsights.training.callbacks import Callback
from ipinsights.training.trainer import Trainer

if TYPE_CHECKING:
    from numpy.typing import NDArray

Params = dict[str, "NDArray[np.float64]"]


def values(**changes: Any) -> Hyperparameters:
    """Return small hyperparameters, with changes."""
    small = {"num_entity_vectors": 40, "vector_dim": 8, "mini_batch_size": 10, "epochs": 1, "learning_rate": 0.01}
    return Hyperparameters(**{**small, **changes})


def numbered(num_rows: int) -> Pairs:
    """Return distinguishable rows: entity i at address 1000 + i."""
    return Pairs(np.arange(num_rows, dtype=np.uint64), np.arange(1000, 1000 + num_rows, dtype=np.uint32))


def arrays(trainer: Trainer) -> dict[str, NDArray[np.float32]]:
    """Return copies of the parameters."""
    return {name: array.copy() for name, array in trainer.learner.parameters().items()}


class Diary(Callback):
    """Callback that writes down every moment with the state it finds."""

    def __init__(self, *, with_metrics: bool = False) -> None:
        self._with_metrics = with_metrics
        self.moments: list[tuple[str, int, int]] = []
        self.metrics: list[dict[str, float]] = []

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("on_"):
            return super().__getattribute__(name)
        return lambda trainer: self.write(name, trainer)

    def write(self, moment: str, trainer: Trainer) -> None:
        """Write down one moment."""
        self.moments.append((moment, trainer.state.epoch, trainer.state.batch))
        if moment == "on_batch_end" and self._with_metrics:
            self.metrics.append(trainer.metrics.get())

    def batches(self) -> list[tuple[int, int]]:
        """Return the epoch and the batch of each step."""
        return [(epoch, batch) for moment, epoch, batch in self.moments if moment == "on_batch_end"]


class StopAt(Callback):
    """Callback that asks for an end at a batch of the first epoch."""

    def __init__(self, batch: int) -> None:
        self._batch = batch

    def on_batch_end(self, trainer: Trainer) -> None:
        """Ask for an end."""
        trainer.state.stop |= trainer.state.batch == self._batch


class PoisonAt(Callback):
    """Callback that ruins the network after a batch."""

    def __init__(self, batch: int) -> None:
        self._batch = batch

    def on_batch_end(self, trainer: Trainer) -> None:
        """Ruin the network, if it is time."""
        if trainer.state.batch == self._batch:
            octets = trainer.learner.parameters()["ip_octet_weight"]
            octets *= math.inf


class TestCounting:
    """With N rows, batches of B and K = 1 + R + S, an epoch has K * N records.

    Its number of steps is K * ceil(N / B).
    """

    @pytest.mark.parametrize(
        ("num_rows", "num_random", "num_shuffled", "records", "batches"),
        [(20, 1, 1, 60, 6), (21, 1, 1, 63, 9), (3, 5, 1, 21, 7), (23, 0, 2, 69, 9), (1, 3, 0, 4, 4)],
    )
    def test_an_epoch_has_its_records_and_batches(
        self, num_rows: int, num_random: int, num_shuffled: int, records: int, batches: int
    ) -> None:
        """Padding counts in the metrics, since the optimizer saw it, and not among the records."""
        rates = {"random_negative_sampling_rate": num_random, "shuffled_negative_sampling_rate": num_shuffled}
        trainer = Trainer(values(epochs=3, **rates))
        trainer.fit(numbered(num_rows))
        state = trainer.state
        assert trainer.batches_per_epoch == batches
        assert (state.epoch, state.num_records, state.num_batches) == (3, 3 * records, 3 * batches)
        assert (state.epoch_records, state.epoch_batches, state.batch) == (records, batches, batches - 1)
        assert trainer.metrics._num_records == 10 * batches


class TestFit:
    """A whole run."""

    def test_entities_without_data_neither_move_nor_decay(self) -> None:
        """Not a bit of their rows changes, however strong the decay; every other row does change."""
        trainer = Trainer(values(weight_decay=10.0, learning_rate=0.1, epochs=2))
        before = arrays(trainer)["entity_weight"]
        trainer.fit(numbered(23))
        changed = (arrays(trainer)["entity_weight"] != before).all(axis=1)
        assert changed.tolist() == [True] * 23 + [False] * 17

    def test_the_first_batch_costs_ln_2(self) -> None:
        """An untrained network of 128 dimensions has a loss of ln 2 within .0005 for any seed."""
        for seed in range(5):
            diary = Diary(with_metrics=True)
            given = values(num_entity_vectors=1000, vector_dim=128, mini_batch_size=1000)
            Trainer(given, seed=seed, callbacks=[diary, StopAt(0)]).fit(numbered(1000))
            loss = diary.metrics[0]["binary_classification_cross_entropy"]
            assert loss == pytest.approx(math.log(2), abs=0.0005)

    def test_a_seed_gives_the_same_model_to_the_bit(self) -> None:
        """The same seed trains the same model, and another seed another model."""
        models = []
        for seed in (7, 7, 8):
            trainer = Trainer(values(epochs=2), seed=seed)
            trainer.fit(numbered(25))
            models.append(arrays(trainer))
        assert all((models[0][name] == models[1][name]).all() for name in models[0])
        assert all((models[0][name] != models[2][name]).any() for name in models[0])

    def test_callbacks_are_told_of_every_moment_in_order(self) -> None:
        """Begin, batches, trained, end; the epoch is counted after its end."""
        diary = Diary()
        trainer = Trainer(values(epochs=2), callbacks=[Callback(), diary])
        trainer.fit(numbered(4), numbered(4))
        epochs = [
            [
                ("on_epoch_begin", epoch, -1),
                *(("on_batch_end", epoch, batch) for batch in range(3)),
                ("on_base_batch_end", epoch, 2),
                ("on_epoch_trained", epoch, 2),
                ("on_epoch_end", epoch, 2),
            ]
            for epoch in range(2)
        ]
        assert diary.moments == [("on_train_begin", 0, -1), *epochs[0], *epochs[1], ("on_train_end", 2, 2)]

    def test_metrics_run_over_an_epoch_and_begin_anew_with_the_next(self) -> None:
        """The value at a batch is the mean over the epoch's batches so far, and starts anew.

        Accuracies in this test are whole tenths.
        """
        diary = Diary(with_metrics=True)
        Trainer(values(epochs=2), callbacks=[diary]).fit(numbered(20))
        correct = [
            metrics["binary_classification_accuracy"] * 10 * (batch % 6 + 1)
            for batch, metrics in enumerate(diary.metrics)
        ]
        assert correct == pytest.approx(np.round(correct).tolist())
        for epoch in (correct[:6], correct[6:]):
            assert (np.diff([0.0, *epoch]) > -0.01).all()
            assert (np.diff([0.0, *epoch]) < 10.01).all()

    def test_it_stops_after_the_base_batch_in_which_it_is_asked_to(self) -> None:
        """A stopped run ends after its base batch, with consistent counters.

        The epoch does not count as finished, and no callback is called at its end.
        """
        diary = Diary()
        trainer = Trainer(values(epochs=5), callbacks=[diary, StopAt(4)])
        trainer.fit(numbered(40), numbered(4))
        assert (trainer.state.epoch, trainer.state.num_batches, trainer.state.num_records) == (0, 6, 60)
        assert trainer.state.validation_auc is None
        assert [moment for moment, _, _ in diary.moments if "batch_end" not in moment] == [
            "on_train_begin",
            "on_epoch_begin",
            "on_train_end",
        ]

    def test_divergence_ends_the_run_and_says_what_to_do(self) -> None:
        """A loss that is not finite is an error, with batch, epoch, rate and advice."""
        trainer = Trainer(values(learning_rate=2.5, epochs=3), callbacks=[(diary := Diary())])
        trainer.state.epoch = 1
        trainer.learner.parameters()["entity_weight"][:] = math.nan
        with pytest.raises(ClientError) as caught:
            trainer.fit(numbered(40))
        assert str(caught.value) == (
            "Training diverged: the loss of batch 0 in epoch 1 is not a finite number, at learning_rate 2.5. "
            "Lower learning_rate (the default is 0.001)."
        )
        assert "on_epoch_trained" not in [moment for moment, _, _ in diary.moments]

    @pytest.mark.parametrize("num_rows", [40, 400])
    def test_divergence_inside_an_epoch_is_reported_at_once(self, num_rows: int) -> None:
        """The run ends after the base batch of the first bad batch, and names that batch."""
        trainer = Trainer(values(), callbacks=[PoisonAt(10), (diary := Diary())])
        with pytest.raises(ClientError, match=r"^Training diverged: the loss of batch 11 in epoch 0 is not a finite"):
            trainer.fit(numbered(num_rows))
        assert diary.batches()[-1] == (0, 11)


class TestEvaluate:
    """Validation."""

    def test_every_pair_meets_its_entity_at_a_random_address(self, rng: np.random.Generator) -> None:
        """Validation uses R = 1 and S = 0 for any job.

        A network that knows the octet of each entity separates positives from negatives, except for ties.
        """
        trainer = Trainer(values(num_ip_encoder_layers=0, random_negative_sampling_rate=3), seed=3)
        plant_first_octets(trainer)
        entities = rng.integers(40, size=2000).astype(np.uint64)
        ips = (entities.astype(np.uint32) << np.uint32(24)) + rng.integers(2**24, size=2000, dtype=np.uint32)
        # Every positive scores 1, and a negative less, unless it has the right octet: one in 256 is a tie.
        assert trainer.evaluate(Pairs(entities, ips)) == pytest.approx(1 - 0.5 / 256, abs=0.003)

    def test_labels_are_not_swapped(self, rng: np.random.Generator) -> None:
        """A network that knows the opposite has almost no area."""
        trainer = Trainer(values(num_ip_encoder_layers=0), seed=3)
        plant_first_octets(trainer, sign=-1)
        entities = rng.integers(40, size=500).astype(np.uint64)
        auc = trainer.evaluate(Pairs(entities, entities.astype(np.uint32) << np.uint32(24)))
        assert auc == pytest.approx(0, abs=0.02)

    def test_epochs_can_be_compared(self) -> None:
        """The same network has the same AUC each time, and the draws of training are unaffected.

        The negatives of validation are the same each time.
        """
        trainer = Trainer(values(), seed=5)
        assert trainer.evaluate(numbered(33)) == trainer.evaluate(numbered(33))
        validated, alone = Trainer(values(epochs=3), seed=5), Trainer(values(epochs=3), seed=5)
        validated.fit(numbered(33), numbered(12))
        alone.fit(numbered(33))
        assert all((array == arrays(alone)[name]).all() for name, array in arrays(validated).items())
        assert validated.state.validation_auc is not None
        assert alone.state.validation_auc is None


def plant_first_octets(trainer: Trainer, sign: int = 1) -> None:
    """Make entity i score highest (lowest with sign -1) at addresses whose first octet is i.

    Octets are directions on a circle, and entity i looks in the direction of octet i: the cosine is 1 there only.
    """
    angles = 2 * np.pi * np.arange(256) / 256
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    octets, entities = np.zeros((1024, 2)), np.zeros((40, 8))
    octets[:256], entities[:, :2] = circle, sign * circle[:40]
    params = trainer.learner.parameters()
    params["ip_octet_weight"][:], params["entity_weight"][:] = octets, entities

"""The training loop: what it counts, what a step does to the parameters, who is told, and how it ends."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ipinsights._mxnet import mx
from ipinsights.callbacks import Callback
from ipinsights.data import Pairs, entity_rows
from ipinsights.errors import ClientError
from ipinsights.hyperparameters import Hyperparameters
from ipinsights.sampling import Records
from ipinsights.trainer import Trainer

if TYPE_CHECKING:
    from numpy.typing import NDArray

Params = dict[str, "NDArray[np.float64]"]


def values(**changes: Any) -> Hyperparameters:
    """Give small hyperparameters, with changes."""
    small = {"num_entity_vectors": 40, "vector_dim": 8, "mini_batch_size": 10, "epochs": 1, "learning_rate": 0.01}
    return Hyperparameters(**{**small, **changes})


def numbered(num_rows: int) -> Pairs:
    """Give rows that can be told apart: entity i at address 1000 + i."""
    return Pairs(np.arange(num_rows, dtype=np.uint64), np.arange(1000, 1000 + num_rows, dtype=np.uint32))


def arrays(trainer: Trainer) -> dict[str, NDArray[np.float32]]:
    """Give copies of the parameters."""
    return {name: array.asnumpy() for name, array in trainer.parameters().items()}


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
            trainer.net.entities.weight.set_data(trainer.net.entities.weight.data() * math.inf)


class TestCounting:
    """With N rows, batches of B and K = 1 + R + S: K * N records and K * ceil(N / B) steps an epoch."""

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

    def test_rows_keep_their_order_and_the_last_batch_is_padded_with_the_first_rows(self) -> None:
        """Base batches of 23 rows in every epoch: 0-9, 10-19, and 20-22 with 0-6 again; negatives are new each time."""
        trainer = Trainer(values())
        pairs = numbered(23)
        epochs = []
        for _ in range(2):
            batches = list(trainer._base_batches(entity_rows(pairs.entities, 40), pairs.ips))
            assert [num_rows for _, num_rows in batches] == [10, 10, 3]
            positives = [records.entity_rows[records.labels == 1].tolist() for records, _ in batches]
            assert [sorted(rows) for rows in positives] == [
                list(range(10)),
                list(range(10, 20)),
                [0, 1, 2, 3, 4, 5, 6, 20, 21, 22],
            ]
            epochs.append(batches[0][0].ips.tolist())
        assert epochs[0] != epochs[1]

    def test_fewer_rows_than_a_batch_are_repeated(self) -> None:
        """Three rows fill a batch of ten: four, three and three times."""
        trainer = Trainer(values())
        ((records, num_rows),) = trainer._base_batches(np.arange(3, dtype=np.int32), np.arange(3, dtype=np.uint32))
        assert (len(records), num_rows) == (30, 3)
        assert np.bincount(records.entity_rows[records.labels == 1]).tolist() == [4, 3, 3]


class TestStep:
    """What one optimizer step does."""

    @pytest.mark.parametrize("num_layers", [0, 1, 2])
    @pytest.mark.parametrize("weight_decay", [0.0, 0.01])
    def test_it_is_lazy_adam_with_l2(self, num_layers: int, weight_decay: float, rng: np.random.Generator) -> None:
        """Five steps, with entities that come and go, move every parameter as an independent formula says, to 1e-6."""
        given = values(num_ip_encoder_layers=num_layers, weight_decay=weight_decay)
        trainer = Trainer(given, seed=int(rng.integers(2**31)))
        for parameter in trainer.net.collect_params().values():
            parameter.set_data(mx.nd.array(rng.normal(size=parameter.shape, scale=0.5)))
        adam = Adam({name: array.astype(float) for name, array in arrays(trainer).items()}, weight_decay)
        for _ in range(5):
            batch = random_records(10, rng=rng)
            trainer._step(batch)
            adam.step(batch)
        for name, array in arrays(trainer).items():
            assert np.abs(array - adam.params[name]).max() < 1e-6, name

    def test_entities_without_data_neither_move_nor_decay(self) -> None:
        """Not a bit of their rows changes, however strong the decay; every other row does change."""
        trainer = Trainer(values(weight_decay=10.0, learning_rate=0.1, epochs=2))
        before = arrays(trainer)["entity_weight"]
        trainer.fit(numbered(23))
        changed = (arrays(trainer)["entity_weight"] != before).all(axis=1)
        assert changed.tolist() == [True] * 23 + [False] * 17

    def test_the_first_batch_costs_ln_2(self) -> None:
        """At 128 dimensions an untrained network has no opinion: ln 2 within .0005, whatever the seed."""
        for seed in range(5):
            diary = Diary(with_metrics=True)
            given = values(num_entity_vectors=1000, vector_dim=128, mini_batch_size=1000)
            Trainer(given, seed=seed, callbacks=[diary, StopAt(0)]).fit(numbered(1000))
            loss = diary.metrics[0]["binary_classification_cross_entropy"]
            assert loss == pytest.approx(math.log(2), abs=0.0005)

    @pytest.mark.slow
    def test_rows_beyond_2_to_the_24_keep_their_number(self) -> None:
        """MXNet would round them to float32 if the types were left to it."""
        trainer = Trainer(values(num_entity_vectors=2**24 + 3, vector_dim=4))
        rows = np.array([2**24 + 1, 2**24 + 2], dtype=np.int32)
        expected = trainer.net.entities.weight.data()[2**24 + 1 : 2**24 + 3].asnumpy()
        assert (trainer.embeddings(rows, np.zeros(2, dtype=np.uint32))[0] == expected).all()


class TestFit:
    """A whole run."""

    def test_a_seed_gives_the_same_model_to_the_bit(self) -> None:
        """And another seed gives another."""
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
                ("on_epoch_trained", epoch, 2),
                ("on_epoch_end", epoch, 2),
            ]
            for epoch in range(2)
        ]
        assert diary.moments == [("on_train_begin", 0, -1), *epochs[0], *epochs[1], ("on_train_end", 2, 2)]

    def test_metrics_run_over_an_epoch_and_begin_anew_with_the_next(self) -> None:
        """The value at a batch is the mean over the epoch's batches up to it: accuracies are whole tenths of it."""
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
        """The epoch does not count as finished, nobody is told that it ended, and the counters are whole."""
        diary = Diary()
        trainer = Trainer(values(epochs=5), callbacks=[diary, StopAt(4)])
        trainer.fit(numbered(40), numbered(4))
        assert (trainer.state.epoch, trainer.state.num_batches, trainer.state.num_records) == (0, 6, 60)
        assert trainer.state.validation_auc is None
        assert [moment for moment, _, _ in diary.moments if moment != "on_batch_end"] == [
            "on_train_begin",
            "on_epoch_begin",
            "on_train_end",
        ]

    def test_divergence_ends_the_run_and_says_what_to_do(self) -> None:
        """A loss that is not finite is an error, with batch, epoch, rate and advice."""
        trainer = Trainer(values(learning_rate=2.5, epochs=3), callbacks=[(diary := Diary())])
        trainer.state.epoch = 1
        trainer.net.entities.weight.set_data(mx.nd.full((40, 8), math.nan))
        with pytest.raises(ClientError) as caught:
            trainer.fit(numbered(40))
        assert str(caught.value) == (
            "Training diverged: the loss of batch 0 in epoch 1 is not a finite number, at learning_rate 2.5. "
            "Lower learning_rate (the default is 0.001)."
        )
        assert [moment for moment, _, _ in diary.moments][-1] == "on_batch_end"

    @pytest.mark.parametrize(("num_rows", "told_after"), [(40, 11), (400, 29)])
    def test_divergence_inside_an_epoch_is_told_of_soon(self, num_rows: int, told_after: int) -> None:
        """Scores are read with a lag, yet the first bad batch is named, at the epoch's end or 16 batches later."""
        trainer = Trainer(values(), callbacks=[PoisonAt(10), (diary := Diary())])
        with pytest.raises(ClientError, match=r"^Training diverged: the loss of batch 11 in epoch 0 is not a finite"):
            trainer.fit(numbered(num_rows))
        assert diary.moments[-1] == ("on_batch_end", 0, told_after)


class TestEvaluate:
    """Validation."""

    def test_every_pair_meets_its_entity_at_a_random_address(self, rng: np.random.Generator) -> None:
        """R = 1 and S = 0, whatever the job's; a network that knows the octet of each entity separates them."""
        trainer = Trainer(values(num_ip_encoder_layers=0, random_negative_sampling_rate=3), seed=3)
        plant_first_octets(trainer)
        entities = rng.integers(40, size=2000).astype(np.uint64)
        ips = (entities.astype(np.uint32) << 24) + rng.integers(2**24, size=2000, dtype=np.uint32)
        # Every positive scores 1, and a negative less, unless it has the right octet: one in 256 is a tie.
        assert trainer.evaluate(Pairs(entities, ips)) == pytest.approx(1 - 0.5 / 256, abs=0.003)

    def test_labels_are_not_swapped(self, rng: np.random.Generator) -> None:
        """A network that knows the opposite has almost no area."""
        trainer = Trainer(values(num_ip_encoder_layers=0), seed=3)
        plant_first_octets(trainer, sign=-1)
        entities = rng.integers(40, size=500).astype(np.uint64)
        assert trainer.evaluate(Pairs(entities, entities.astype(np.uint32) << 24)) < 0.02

    def test_epochs_can_be_compared(self) -> None:
        """The same network has the same AUC each time: the negatives are the same, and training draws none the less."""
        trainer = Trainer(values(), seed=5)
        assert trainer.evaluate(numbered(33)) == trainer.evaluate(numbered(33))
        validated, alone = Trainer(values(epochs=3), seed=5), Trainer(values(epochs=3), seed=5)
        validated.fit(numbered(33), numbered(12))
        alone.fit(numbered(33))
        assert all((array == arrays(alone)[name]).all() for name, array in arrays(validated).items())
        assert validated.state.validation_auc is not None
        assert alone.state.validation_auc is None

    def test_scores_and_embeddings_do_not_depend_on_the_batch(
        self, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In pieces of ten or at once, and as the dot product of the embeddings."""
        trainer = Trainer(values(), seed=5)
        rows = rng.integers(40, size=33).astype(np.int32)
        ips = rng.integers(2**32, size=33, dtype=np.uint32)
        whole = trainer.score(rows, ips)
        monkeypatch.setattr("ipinsights.trainer._SCORING_BATCH", 10)
        assert trainer.score(rows, ips).tolist() == pytest.approx(whole.tolist(), abs=1e-8)
        entities, addresses = trainer.embeddings(rows, ips)
        assert (entities * addresses).sum(axis=1).tolist() == pytest.approx(whole.tolist(), abs=1e-8)


def random_records(size: int, *, rng: np.random.Generator) -> Records:
    """Give a batch in which entities repeat, and one that misses most of them."""
    rows, ips = rng.integers(12, size=size).astype(np.int32), rng.integers(2**32, size=size, dtype=np.uint32)
    return Records(rows, ips, rng.integers(2, size=size).astype(np.float32))


def plant_first_octets(trainer: Trainer, sign: int = 1) -> None:
    """Make entity i score highest (or, with sign -1, lowest) at addresses whose first octet is i.

    Octets are directions on a circle, and entity i looks in the direction of octet i: the cosine is 1 there only.
    """
    angles = 2 * np.pi * np.arange(256) / 256
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    octets, entities = np.zeros((1024, 2)), np.zeros((40, 8))
    octets[:256], entities[:, :2] = circle, sign * circle[:40]
    trainer.net.ip_encoder.octets.weight.set_data(mx.nd.array(octets))
    trainer.net.entities.weight.set_data(mx.nd.array(entities))


class Adam:
    """Kingma and Ba's algorithm 1 in double precision, L2 added to the gradient, lazy for the entity table.

    The table's rows that are not in the batch keep value and moments; bias correction counts all steps.
    """

    def __init__(self, params: Params, weight_decay: float, learning_rate: float = 0.01) -> None:
        self.params, self._decay, self._rate = params, weight_decay, learning_rate
        self._m = {name: np.zeros_like(array) for name, array in params.items()}
        self._v = {name: np.zeros_like(array) for name, array in params.items()}
        self._t = 0

    def step(self, batch: Records) -> None:
        """Take one step on the mean cross-entropy of a batch."""
        self._t += 1
        correction = np.sqrt(1 - 0.999**self._t) / (1 - 0.9**self._t)
        for name, gradient in gradients(self.params, batch).items():
            rows = np.unique(batch.entity_rows) if name == "entity_weight" else slice(None)
            full = gradient[rows] + self._decay * self.params[name][rows]
            m, v = self._m[name], self._v[name]
            m[rows] = 0.9 * m[rows] + 0.1 * full
            v[rows] = 0.999 * v[rows] + 0.001 * full**2
            self.params[name][rows] -= self._rate * correction * m[rows] / (np.sqrt(v[rows]) + 1e-8)


def gradients(params: Params, batch: Records) -> Params:
    """Give the gradient of the mean cross-entropy of a batch by the chain rule, written out for 8 dimensions."""
    octets = (batch.ips[:, None] >> np.array([24, 16, 8, 0], dtype=np.uint32) & 255) + 256 * np.arange(4)
    # Inputs of each layer, (batch, 8) each; the last one is the embedding.
    xs = [params["ip_octet_weight"][octets].reshape(-1, 8)]
    num_layers = (len(params) - 2) // 2
    for layer in range(num_layers):
        xs.append(np.maximum(xs[-1], 0) @ params[f"ip_layer{layer}_weight"].T + params[f"ip_layer{layer}_bias"])
    entities = params["entity_weight"][batch.entity_rows]
    error = (1 / (1 + np.exp(-(entities * xs[-1]).sum(axis=1))) - batch.labels)[:, None] / len(batch)
    found = {name: np.zeros_like(array) for name, array in params.items()}
    np.add.at(found["entity_weight"], batch.entity_rows, error * xs[-1])
    backward = error * entities
    for layer in reversed(range(num_layers)):
        found[f"ip_layer{layer}_weight"] = backward.T @ np.maximum(xs[layer], 0)
        found[f"ip_layer{layer}_bias"] = backward.sum(axis=0)
        backward = backward @ params[f"ip_layer{layer}_weight"] * (xs[layer] > 0)
    np.add.at(found["ip_octet_weight"], octets, backward.reshape(-1, 4, 2))
    return found

"""The sum of a step: steps of several hosts are those of one host on their records together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.model import mxnet_package
from ipinsights.model.sampling import Records
from ipinsights.training.learners.cpu import CPULearner
from ipinsights.training.learners.gradient_sum import GradientSum

from .thread_group import on_hosts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipinsights.training.collectives import ProcessGroup

KINDS: list[type[Any]] = [CPULearner]
if mxnet_package.is_installed():
    from ipinsights.training.learners.gluon import GluonLearner

    KINDS.append(GluonLearner)

NUM_STEPS, NUM_ROWS = 12, 41


def batches(num_hosts: int) -> list[list[Records]]:
    """Draw the parts of each step's batch, by host.

    Unequal ones, and often an empty one of the last host.
    """
    rng = np.random.default_rng(8)
    cuts = np.linspace(0, NUM_ROWS, num_hosts + 1).astype(int)
    drawn = []
    for step in range(NUM_STEPS):
        sizes = [7 + 5 * rank for rank in range(num_hosts)]
        sizes[-1] = 0 if step % 3 else 4
        drawn.append([
            Records(
                rng.integers(cuts[rank], cuts[rank + 1], size=size).astype(np.int32),
                rng.integers(2**32, size=size, dtype=np.uint32),
                rng.integers(2, size=size).astype(np.float32),
            )
            for rank, size in enumerate(sizes)
        ])  # fmt: skip
    return drawn


def copied(array: Any) -> NDArray[np.float32]:
    """Return a copy as an array of NumPy."""
    return np.array(array) if isinstance(array, np.ndarray) else array.asnumpy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_hosts", [2, 3, 4])
@pytest.mark.parametrize(("num_layers", "dim"), [(1, 8), (0, 6), (3, 5)])
def test_hosts_take_the_steps_of_one_on_their_records_together(
    kind: type[Any], num_hosts: int, num_layers: int, dim: int
) -> None:
    """Scores and nearly all parameters agree to rounding, encoders of all hosts to the bit.

    Weights decay once.

    Where a gradient is nearly 0 rounding decides on its sign, and Adam makes a whole step of it.
    """
    values: dict[str, Any] = {
        "vector_dim": dim,
        "num_ip_encoder_layers": num_layers,
        "weight_decay": 0.01,
        "learning_rate": 0.001,
        "random_negative_sampling_rate": 0,
        "shuffled_negative_sampling_rate": 0,
    }
    steps, cuts = batches(num_hosts), np.linspace(0, NUM_ROWS, num_hosts + 1).astype(int)
    sizes = [sum(map(len, parts)) for parts in steps]

    def train(group: ProcessGroup) -> tuple[list[Any], dict[str, NDArray[np.float32]]]:
        first, end = cuts[group.rank : group.rank + 2]
        local = Hyperparameters(num_entity_vectors=int(end - first), mini_batch_size=30, **values)
        learner = kind(local, seed=2, group=group, first_row=int(first))
        scores = []
        for parts, size in zip(steps, sizes, strict=True):
            own = parts[group.rank]
            own = Records(own.entity_rows - np.int32(first), own.ips, own.labels)
            scores += [copied(found) for _, found in learner.learn(own, num_all=size)]
        return scores, {name: copied(array) for name, array in learner.parameters().items()}

    found = on_hosts(num_hosts, train)
    alone = kind(Hyperparameters(num_entity_vectors=NUM_ROWS, mini_batch_size=200, **values), seed=2)
    for step, parts in enumerate(steps):
        columns = ([getattr(part, name) for part in parts] for name in ("entity_rows", "ips", "labels"))
        ((_, scores),) = alone.learn(Records(*map(np.concatenate, columns)))
        expected = copied(scores)
        assert np.concatenate([scores[step] for scores, _ in found]) == pytest.approx(expected, abs=1e-5)
    one = {name: copied(array) for name, array in alone.parameters().items()}
    trained = {**found[0][1], "entity_weight": np.concatenate([params["entity_weight"] for _, params in found])}
    gaps = np.concatenate([np.abs(array - one[name]).ravel() for name, array in trained.items()])
    assert np.mean(gaps > 1e-6) < 2e-3
    assert gaps.max() < 2e-3 * NUM_STEPS
    for _, params in found[1:]:
        assert {name: array.tobytes() for name, array in params.items() if name != "entity_weight"} == {
            name: array.tobytes() for name, array in trained.items() if name != "entity_weight"
        }


def test_a_step_is_one_sum_of_all_gradients_and_the_votes() -> None:
    """A buffer of the encoder's parameters and two numbers more, summed once."""

    def reduce(group: Any) -> tuple[int, list[Any]]:
        total = GradientSum(group, {"a": (2, 3), "b": (2,)})
        total.gradients["a"][:] = group.rank + 1
        total.gradients["b"][:] = [10 * group.rank, 1]
        group.votes[0] = group.rank
        total.reduce()
        assert group.has_agreed(0)
        return group.num_sums, [array.tolist() for array in total.gradients.values()]

    assert on_hosts(2, reduce) == [(1, [[[3, 3, 3], [3, 3, 3]], [10, 2]])] * 2

"""Measure detection and training time of models of other sizes than the automatic ones.

Small and medium data are simulated logins. Large data are files of the caller's, such as the AWS tutorial's 2.3 million
rows. A model is judged by the discriminator AUC of held-out rows against the same entities at addresses of other rows
(``other``) and at random addresses (``random``).

    python benchmarks/benchmark_sizes.py logins 20 1 --batch 16 --batch 64 --epochs 60
    python benchmarks/benchmark_sizes.py files train.csv validation.csv --vectors 2 --vectors 8
"""

from __future__ import annotations

import time
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.data.entity_hash import entity_rows, hash_entities
from ipinsights.data.pairs import Pairs, read_pairs
from ipinsights.model.sampling import random_ips
from ipinsights.synthetic.ip_ranges import synthetic_ranges
from ipinsights.synthetic.logins import simulate
from ipinsights.training.callbacks import Callback
from ipinsights.training.metrics import discriminator_auc
from ipinsights.training.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_SCORED = 50_000


@click.group()
def main() -> None:
    """Measure the rule of sizes."""


def _grid(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--batch", "batches", type=int, multiple=True, help="mini_batch_size. Chosen if not given."),
        click.option("--vectors", "factors", type=float, multiple=True, help="Rows of the table for each entity."),
        click.option("--epochs", type=int, help="Chosen if not given."),
        click.option("--dim", type=int, default=128, show_default=True),
        click.option("--max-rows", type=int, help="Train on the first rows only."),
        click.option("--seed", type=int, default=0, show_default=True),
    ):
        command = option(command)
    return command


@main.command()
@click.argument("users", type=int)
@click.argument("days", type=int)
@_grid
def logins(users: int, days: int, seed: int, **grid: Any) -> None:
    """Simulate logins of users over days, and hold out three more days."""
    rng = np.random.default_rng(seed)
    events = simulate(num_users=users, num_days=days + 3, ranges=synthetic_ranges(rng), rng=rng)
    names = hash_entities([f"user_{number}" for number in range(users)])
    cut = int(np.searchsorted(events.time, events.start + days * 86_400))
    pairs = Pairs(names[events.user], events.ip)
    order = rng.permutation(cut)
    _measure(Pairs(pairs.entities[order], pairs.ips[order]), Pairs(pairs.entities[cut:], pairs.ips[cut:]), seed, **grid)


@main.command()
@click.argument("train", type=click.Path(path_type=Path))
@click.argument("test", type=click.Path(path_type=Path))
@_grid
def files(train: Path, test: Path, seed: int, **grid: Any) -> None:
    """Train on one file and judge by the other."""
    _measure(read_pairs(train), read_pairs(test), seed, **grid)


def _measure(
    train: Pairs,
    test: Pairs,
    seed: int,
    *,
    batches: tuple[int, ...],
    factors: tuple[float, ...],
    epochs: int | None,
    dim: int,
    max_rows: int | None,
) -> None:
    train = Pairs(train.entities[:max_rows], train.ips[:max_rows])
    num_entities = len(np.unique(train.entities))
    known = np.isin(test.entities, train.entities)
    test = Pairs(test.entities[known][:_MOST_SCORED], test.ips[known][:_MOST_SCORED])
    click.echo(f"{len(train):,} rows of {num_entities:,} entities, judged by {len(test):,}")
    for batch, factor in product(batches or (1000,), factors or (2.0,)):
        hyperparameters = Hyperparameters(
            num_entity_vectors=round(factor * num_entities), vector_dim=dim, mini_batch_size=batch, epochs=epochs or 10
        )
        judge = _Judge(test, seed)
        Trainer(hyperparameters, seed=seed, callbacks=(judge,)).fit(train)


class _Judge(Callback):
    """Prints detection and seconds of training after epochs 1, 2, 3, 5, 10 and so on."""

    def __init__(self, test: Pairs, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._test = test
        others = rng.permutation(test.ips)
        # An address of the entity's own /16 is no attack.
        own = {*zip(test.entities.tolist(), (test.ips >> 16).tolist(), strict=True)}
        self._is_odd = np.array(
            [pair not in own for pair in zip(test.entities.tolist(), (others >> 16).tolist(), strict=True)]
        )
        self._attacks = {"other": others, "random": random_ips(len(test), rng=rng)}
        self._seconds = 0.0

    def on_epoch_begin(self, trainer: Trainer) -> None:  # noqa: ARG002
        """Start the clock."""
        self._start = time.perf_counter()

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Score if it is time."""
        self._seconds += time.perf_counter() - self._start
        epoch = trainer.state.epoch + 1
        if epoch not in {1, 2, 3, 5, 10, 20, 30, 50, 70, 100, 150, 200, trainer.hyperparameters.epochs}:
            return
        values = trainer.hyperparameters
        rows = entity_rows(self._test.entities, values.num_entity_vectors)
        normal = trainer.learner.score(rows, self._test.ips)
        aucs = []
        for name, ips in self._attacks.items():
            odd = trainer.learner.score(rows, ips)
            aucs.append(f"{name} {discriminator_auc(normal, odd[self._is_odd] if name == 'other' else odd):.4f}")
        click.echo(
            f"vectors {values.num_entity_vectors:>7} batch {values.mini_batch_size:>6} epoch {epoch:>4} "
            f"steps {trainer.state.num_batches:>7} {self._seconds:>7.1f} s  {'  '.join(aucs)}"
        )


if __name__ == "__main__":
    main()

"""Compare a run at the AWS tutorial's settings with public runs of the original.

The public runs are in ``reference_runs.json``.

Data is given (``--train``, ``--validation``, ``--test`` as ``ipinsights simulate`` writes them) or simulated.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
from sklearn.metrics import roc_auc_score

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.data.entity_hash import entity_rows
from ipinsights.data.pairs import Pairs, read_blocks, read_pairs
from ipinsights.inference.predictor import Predictor
from ipinsights.synthetic import logins
from ipinsights.synthetic.ip_ranges import load_ranges, synthetic_ranges
from ipinsights.synthetic.traffic_files import write_traffic
from ipinsights.training.callbacks import Callback
from ipinsights.training.epoch_records import RunBar
from ipinsights.training.in_memory import trained_model
from ipinsights.training.trainer import Trainer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

TUTORIAL = {
    "num_entity_vectors": "20000",
    "random_negative_sampling_rate": "5",
    "vector_dim": "128",
    "mini_batch_size": "1000",
    "epochs": "5",
    "learning_rate": "0.01",
}
CURVE_BATCHES = (1000, 2000, 3000, 5000, 10_000, 14_000)
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
PATH = click.Path(path_type=Path)


@click.command()
@click.option("--train", type=PATH, help="Training data; simulated when not given.")
@click.option("--validation", type=PATH, help="Validation data.")
@click.option("--test", type=PATH, help="Test data: entity,ip,label, 1 for an attack.")
@click.option("--asn-table", type=PATH, help="Real IP ranges to simulate from, in iptoasn.com's format.")
@click.option("--data-dir", type=PATH, default="tutorial-data", show_default=True, help="Where simulated data goes.")
@click.option("--users", default=10_000, show_default=True, help="Users to simulate.")
@click.option("--epochs", default=5, show_default=True, help="Fewer for a quick look.")
@click.option("--seed", default=0, show_default=True, help="Of simulation and training.")
@click.option("-o", "--output", type=PATH, help="Write the report as Markdown here too.")
def main(output: Path | None, epochs: int, seed: int, **source: Any) -> None:
    """Train as the AWS tutorial does, and print the numbers next to those of real jobs."""
    train, validation, test = prepare_data(seed=seed, **source)
    record = Record()
    hyperparameters = Hyperparameters.parse({**TUTORIAL, "epochs": str(epochs)})
    trainer = Trainer(hyperparameters, seed=seed, callbacks=[record, RunBar()])
    start = time.perf_counter()
    trainer.fit(read_pairs(train), read_pairs(validation))
    record.seconds = time.perf_counter() - start
    report = "\n".join(write_report(trainer, record, *read_labelled(test)))
    click.echo(report)
    if output:
        output.write_text(report + "\n", encoding="utf-8")


def prepare_data(*, seed: int, data_dir: Path, users: int, asn_table: Path | None, **given: Path | None) -> list[Path]:
    """Return the train, validation and test files, which are simulated if not given."""
    if all(given.values()):
        return [Path(str(given[name])) for name in ("train", "validation", "test")]
    if any(given.values()):
        raise click.UsageError("Give all of --train, --validation and --test, or none to have them simulated.")
    rng = np.random.default_rng(seed)
    ranges = load_ranges(asn_table) if asn_table else synthetic_ranges(rng)
    events = logins.simulate(num_users=users, num_days=10, ranges=ranges, rng=rng)
    test = logins.attack_test(events, ranges, rng=rng)
    write_traffic(data_dir, events, test, rng=rng, access_log=False)
    return [data_dir / f"{name}.csv" for name in ("train", "validation", "test")]


def read_labelled(path: Path) -> tuple[Pairs, NDArray[np.bool_]]:
    """Return the pairs of a labelled file, and a mask of the attacks."""
    blocks = list(read_blocks(path, num_columns=3))
    entities, ips = (np.concatenate([getattr(block, name) for block in blocks]) for name in ("entities", "ips"))
    labels = np.concatenate([block.columns[2].to_numpy(zero_copy_only=False) for block in blocks])
    return Pairs(entities, ips), labels == "1"


class Record(Callback):
    """Metrics of a run: accuracy and cross-entropy by batch and epoch, and validation AUC."""

    def __init__(self) -> None:
        self.curve: dict[int, tuple[float, ...]] = {}
        self.epochs: list[tuple[float, ...]] = []
        self.auc: list[float] = []
        self.seconds = 0.0

    def on_batch_end(self, trainer: Trainer) -> None:
        """Note a point of the learning curve."""
        if trainer.state.epoch == 0 and trainer.state.batch in CURVE_BATCHES:
            self.curve[trainer.state.batch] = tuple(trainer.metrics.get().values())

    def on_epoch_trained(self, trainer: Trainer) -> None:
        """Note the epoch's metrics."""
        self.epochs.append(tuple(trainer.metrics.get().values()))

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Note the validation AUC."""
        self.auc.append(trainer.state.validation_auc or float("nan"))


def write_report(trainer: Trainer, record: Record, test: Pairs, attack: NDArray[np.bool_]) -> Iterable[str]:
    """Yield the lines of the report."""
    jobs = json.loads(Path(__file__).with_name("reference_runs.json").read_text(encoding="utf-8"))["jobs"]
    names = ["", "this run", *(job["name"] for job in jobs)]
    yield "## Accuracy / cross-entropy of each epoch\n"
    yield from table(names, epoch_rows(record.epochs, jobs))
    yield "\n## The same inside epoch 0, cumulative\n"
    yield from table(names, curve_rows(record.curve, jobs))
    yield "\n## Validation AUC (R = 1, S = 0)\n"
    yield from table(names, auc_rows(record.auc, jobs))
    yield "\n## Detection: attack if the score is below -threshold\n"
    rows = entity_rows(test.entities, trainer.hyperparameters.num_entity_vectors)
    yield from table(names, detection_rows(trainer.learner.score(rows, test.ips), attack, jobs))
    yield "\n## Counters and speed\n"
    yield from table(names, counter_rows(trainer, record, jobs))
    yield "\n## Length of the embeddings, 5 % / 50 % / 95 % (the original: entity 5-15, address 3-5)\n"
    yield from norm_lines(trainer, test)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    """Yield the lines of a Markdown table."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def both(values: Sequence[float] | None) -> str:
    """Return accuracy and cross-entropy as text, empty for None."""
    return f"{values[0]:.4f} / {values[1]:.4f}" if values else ""


def number(value: float | None, digits: int = 4) -> str:
    """Return a number as text, empty for None."""
    return "" if value is None else f"{value:.{digits}f}"


def epoch_rows(epochs: Sequence[Sequence[float]], jobs: Sequence[dict[str, Any]]) -> Iterable[list[str]]:
    """Yield a row per epoch."""
    for epoch, values in enumerate(epochs):
        yield [f"epoch {epoch}", both(values), *(both(job["epochs"][epoch]) for job in jobs)]


def curve_rows(curve: dict[int, tuple[float, ...]], jobs: Sequence[dict[str, Any]]) -> Iterable[list[str]]:
    """Yield a row per point of the learning curve."""
    for batch, values in curve.items():
        yield [f"batch {batch}", both(values), *(both(job.get("curve", {}).get(str(batch))) for job in jobs)]


def auc_rows(aucs: Sequence[float], jobs: Sequence[dict[str, Any]]) -> Iterable[list[str]]:
    """Yield a row per epoch."""
    for epoch, auc in enumerate(aucs):
        known = (job["validation_auc"][epoch] if "validation_auc" in job else None for job in jobs)
        yield [f"epoch {epoch}", number(auc), *map(number, known)]


def detection_rows(
    scores: NDArray[np.float32], attack: NDArray[np.bool_], jobs: Sequence[dict[str, Any]]
) -> Iterable[list[str]]:
    """Yield AUC, recall and false positive rate at the tutorial's thresholds, and percentiles."""
    ours = {"auc": float(roc_auc_score(attack, -scores))}
    for threshold in (0, 10):
        ours[f"recall_at_{threshold}"] = float((scores[attack] < -threshold).mean())
        ours[f"fpr_at_{threshold}"] = float((scores[~attack] < -threshold).mean())
    for name, value in ours.items():
        yield [name.replace("_", " "), number(value), *(number(job.get(name)) for job in jobs)]
    for kind, values in (("normal", scores[~attack]), ("attack", scores[attack])):
        for percentile in PERCENTILES:
            known = (job.get(f"{kind}_percentiles", {}).get(str(percentile)) for job in jobs)
            ours_there = number(float(np.percentile(values, percentile)), 2)
            yield [f"{kind} scores, {percentile} %", ours_there, *(number(value, 2) for value in known)]


def counter_rows(trainer: Trainer, record: Record, jobs: Sequence[dict[str, Any]]) -> Iterable[list[str]]:
    """Yield rows, records and batches of an epoch, and the speed."""
    state, num_epochs = trainer.state, trainer.state.epoch
    size, factor = trainer.hyperparameters.mini_batch_size, trainer.hyperparameters.records_per_row
    rows = state.num_records // num_epochs // factor
    yield ["rows N", str(rows), *(str(job["rows"]) for job in jobs)]
    records = (factor * job["rows"] for job in jobs)
    yield ["records of an epoch (7 N)", str(state.num_records // num_epochs), *map(str, records)]
    batches = (-(-job["rows"] // size) * factor for job in jobs)
    yield ["batches of an epoch (7 ceil(N/1000))", str(state.num_batches // num_epochs), *map(str, batches)]
    speed = f"{state.num_records / record.seconds:.0f}"
    yield ["records per second, validation included", speed, *(str(job["records_per_second"]) for job in jobs)]


def norm_lines(trainer: Trainer, test: Pairs) -> Iterable[str]:
    """Yield the percentiles of the embedding norms of the test's entities and addresses."""
    # Seed and rows go into the model's record only.
    predictor = Predictor(trained_model(trainer, test, seed=0))
    entities, addresses = predictor.entity_embeddings(test.entities), predictor.ip_embeddings(test.ips)
    for name, vectors in (("entity", entities), ("address", addresses)):
        lengths = np.percentile(np.linalg.norm(vectors, axis=1), (5, 50, 95))
        yield f"- {name}: " + " / ".join(f"{length:.1f}" for length in lengths)


if __name__ == "__main__":
    main()

"""Measure and print the records per second of one kind of training step.

``benchmark.py`` runs this once for each measurement: KIND of step, and hyperparameters as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights._system import available_cpus, one_ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ipinsights.model.sampling import Records

SECONDS = 3.0


def records_per_second(kind: str, settings: dict[str, Any], quantile: float | None = None) -> float:
    """Return the speed of training on random rows, after a warm-up of one base batch.

    Negatives count, as in the log.

    With a quantile, the speed is that of a base batch at this quantile of their times. A small one leaves out what
    other processes do to the machine.
    """
    build = {"cpu": our_step, "gluon": our_step, "gluon-plain": gluon_step}.get(kind, torch_step)
    train = build(kind, settings)
    batches = base_batches(settings)
    # As the trainer does.
    batches = one_ahead(batches) if available_cpus() > 1 else batches
    train(next(batches))
    times: list[float] = []
    num_records = 0
    while sum(times) < SECONDS:
        start = time.perf_counter()
        records = next(batches)
        train(records)
        times.append(time.perf_counter() - start)
        num_records = len(records)
    return num_records / (sum(times) / len(times) if quantile is None else float(np.quantile(times, quantile)))


def base_batches(settings: dict[str, Any]) -> Iterator[Records]:
    """Yield base batches of random rows without end.

    Their creation is part of the measurement.
    """
    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.training.batches import BaseBatches

    values = Hyperparameters(**settings)
    rng = np.random.default_rng(1)
    num_rows = 50 * values.mini_batch_size
    rows = rng.integers(values.num_entity_vectors, size=num_rows).astype(np.int32)
    batches = BaseBatches(rows, rng.integers(2**32, size=num_rows, dtype=np.uint32), values, seed=1)
    for epoch in range(2**31):
        for batch in batches.epoch(epoch):
            yield batch.records


def our_step(kind: str, settings: dict[str, Any]) -> Callable[[Records], None]:
    """Return a function that trains on a base batch with one of our learners."""
    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.training.learners.cpu import CPULearner
    from ipinsights.training.learners.gluon import GluonLearner
    from ipinsights.training.metrics import RunningClassification

    values = Hyperparameters(**settings)
    learner = CPULearner(values) if kind == "cpu" else GluonLearner(values)
    metrics = RunningClassification()

    def train(records: Records) -> None:
        for labels, scores in learner.learn(records):
            metrics.update(labels, scores)
        metrics.read_computed()

    return train


def gluon_step(_: str, settings: dict[str, Any]) -> Callable[[Records], None]:
    """Return a function that trains on a base batch in plain Gluon, with the same network.

    Metrics are computed after each step.
    """
    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.model._mxnet import mx
    from ipinsights.model.ip_encoder import octet_rows
    from ipinsights.model.network import IPEncoder
    from ipinsights.training.metrics import RunningClassification

    class Net(mx.gluon.HybridBlock):
        def __init__(self, values: Hyperparameters) -> None:
            super().__init__()
            with self.name_scope():
                self.entities = mx.gluon.nn.Embedding(values.num_entity_vectors, values.vector_dim, sparse_grad=True)
                self.ip_encoder = IPEncoder(values.vector_dim, values.num_ip_encoder_layers)

        def hybrid_forward(self, F: Any, rows: Any, octets: Any) -> Any:
            return F.sum(self.entities(rows) * self.ip_encoder(octets), axis=1)

    values = Hyperparameters(**settings)
    net, loss_of, metrics = Net(values), mx.gluon.loss.SigmoidBCELoss(), RunningClassification(lag=0)
    net.initialize()
    net.hybridize()
    trainer = mx.gluon.Trainer(net.collect_params(), "adam", {"learning_rate": values.learning_rate})

    def train(records: Records) -> None:
        for start in range(0, len(records), values.mini_batch_size):
            batch = records[start : start + values.mini_batch_size]
            rows, octets = (mx.nd.array(x, dtype="int32") for x in (batch.entity_rows, octet_rows(batch.ips)))
            with mx.autograd.record():
                scores = net(rows, octets)
                loss = loss_of(scores, mx.nd.array(batch.labels))
            loss.backward()
            trainer.step(len(batch))
            metrics.update(batch.labels, scores)

    return train


def torch_step(kind: str, settings: dict[str, Any]) -> Callable[[Records], None]:
    """Return a function that trains on a base batch in PyTorch, with the same network.

    The optimizer is lazy (sparse) or fused dense Adam.
    """
    import torch
    from torch.nn import functional

    from ipinsights.model.ip_encoder import octet_rows

    dim, size, sparse = settings["vector_dim"], settings["mini_batch_size"], kind == "torch-sparse"
    entities = torch.nn.Embedding(settings["num_entity_vectors"], dim, sparse=sparse)
    octets, layer = torch.nn.Embedding(1024, dim // 4), torch.nn.Linear(dim, dim)
    rest = [*octets.parameters(), *layer.parameters(), *([] if sparse else entities.parameters())]
    optimizers = [torch.optim.Adam(rest, lr=0.01, fused=True)]
    optimizers += [torch.optim.SparseAdam(entities.parameters(), lr=0.01)] if sparse else []

    def train(records: Records) -> None:
        rows, labels = torch.from_numpy(records.entity_rows.astype(np.int64)), torch.from_numpy(records.labels)
        places = torch.from_numpy(octet_rows(records.ips).astype(np.int64))
        for start in range(0, len(records), size):
            part = slice(start, start + size)
            ips = layer(functional.relu(octets(places[part]).flatten(1)))
            scores = (entities(rows[part]) * ips).sum(1)
            loss = functional.binary_cross_entropy_with_logits(scores, labels[part])
            for optimizer in optimizers:
                optimizer.zero_grad(set_to_none=True)
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()

    return train


if __name__ == "__main__":
    print(records_per_second(sys.argv[1], json.loads(sys.argv[2]), *map(float, sys.argv[3:])))

"""Training on rows in memory, and the model that any training job builds from its trainer."""

from __future__ import annotations

import contextlib
import platform
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

import ipinsights
from ipinsights.data.pairs import fingerprint
from ipinsights.errors import ClientError
from ipinsights.model.artifact import Artifact, meta_data
from ipinsights.model.bloom import BloomFilter
from ipinsights.model.history_member import with_history
from ipinsights.training.entity_partition import StreamedTable, used_rows
from ipinsights.training.kept_history import KeptHistory
from ipinsights.training.memory_check import check_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.data.ipv6 import Ipv6Pairs
    from ipinsights.data.pairs import Pairs
    from ipinsights.training.callbacks import Callback
    from ipinsights.training.trainer import Trainer

__all__ = ["missing_memory_reported", "train_in_memory", "trained_model"]


def train_in_memory(
    hyperparameters: Hyperparameters,
    train: Pairs,
    validation: Pairs | None = None,
    *,
    seed: int = 0,
    num_threads: int | None = None,
    callbacks: Sequence[Callback] = (),
    stopped_by: Callable[[Trainer], contextlib.AbstractContextManager[object]] = contextlib.nullcontext,
    ipv6: Ipv6Pairs | None = None,
) -> Artifact:
    """Train a model as ``ipinsights train`` does, without log and files.

    The model has arrays of its own. Written to a directory it has the bytes of the command's model. ``stopped_by``
    returns a context manager around the training, which may set the trainer's ``state.stop``. Before the first batch
    this is a KeyboardInterrupt. ``ipv6`` has the IPv6 rows for the history.
    """
    # Imported here because MXNet takes a second to load.
    from ipinsights.training.learners.devices import build_learner, choose_devices
    from ipinsights.training.trainer import Trainer

    with missing_memory_reported(hyperparameters):
        gpus, store = choose_devices(hyperparameters)
        if not gpus:
            check_memory(hyperparameters, num_rows=len(train))
        _, rows = used_rows(hyperparameters, train, validation)
        learner = build_learner(hyperparameters, gpus=gpus, store=store, seed=seed, num_threads=num_threads, rows=rows)
        trainer = Trainer(hyperparameters, seed=seed, callbacks=callbacks, learner=learner, num_threads=num_threads)
        with stopped_by(trainer):
            trainer.fit(train, validation)
        if trainer.state.num_batches == 0 and len(train):
            raise KeyboardInterrupt
        model = trained_model(trainer, train, seed=seed, ipv6=ipv6)
        # The learner's own arrays are views next to Adam's moments, which are freed together with the learner.
        params: dict[str, Any] = {**model.params}
        for name, array in params.items():
            whole = array[0 : array.shape[0]]
            params[name] = whole.asnumpy() if hasattr(whole, "asnumpy") else np.array(whole, order="C")
        return replace(model, params=params)


def trained_model(
    trainer: Trainer,
    train: Pairs,
    *,
    seed: int,
    initial: Artifact | None = None,
    ipv6: Ipv6Pairs | None = None,
    whole_fingerprint: str | None = None,
) -> Artifact:
    """Return the model of a trainer after training. Every host calls this.

    The parameters remain the learner's own. ``train`` and ``ipv6`` are the rows of this host, ``initial`` is the
    model of a warm start, and ``whole_fingerprint`` that of the rows of all hosts, where each host reads all of them.
    """
    hyperparameters = trainer.hyperparameters
    # A job that was stopped in its first epoch has not seen the last rows.
    num_rows_seen = trainer.state.num_records // hyperparameters.records_per_row
    known = BloomFilter.of(train.entities[:num_rows_seen], hyperparameters.num_entity_vectors)
    if initial:
        known |= initial.known_entities
    known = BloomFilter(trainer.group.any_of(known.bits))
    # The first host reads the entity table from all hosts while it saves it.
    params = dict(trainer.learner.parameters())
    if trainer.partition:
        params["entity_weight"] = StreamedTable(trainer.partition, trainer.learner)
    kept = KeptHistory.gather(
        hyperparameters, trainer.group, train, ipv6, num_seen=num_rows_seen, initial=initial,
        whole_fingerprint=whole_fingerprint,
    )  # fmt: skip
    meta = with_history(meta_data(hyperparameters, _facts(trainer, train, seed)), kept.history, kept.record)
    return Artifact(hyperparameters, params, known, meta, _symbol(hyperparameters), kept.history)


def _symbol(hyperparameters: Hyperparameters) -> str | None:
    """Return the network as MXNet symbol JSON, None without MXNet."""
    try:
        from ipinsights.model.network import IPInsightsNet
    except ClientError:
        return None
    return IPInsightsNet.of(hyperparameters).symbol()


@contextlib.contextmanager
def missing_memory_reported(hyperparameters: Hyperparameters) -> Iterator[None]:
    """Report missing memory with the sizes of the model."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, MemoryError) and "Failed to allocate" not in str(error):
            raise
        if "mxnet" in sys.modules:
            from ipinsights.model._mxnet import mx

            with contextlib.suppress(Exception):
                mx.nd.waitall()  # otherwise MXNet reports the error once more when Python ends
        rows, dim = hyperparameters.num_entity_vectors, hyperparameters.vector_dim
        raise ClientError(
            f"There is not enough memory to train this model: {rows} x {dim} entity vectors and Adam's two moments of "
            f"each take up to {12e-9 * rows * dim:.1f} GB. Lower num_entity_vectors or vector_dim, or use a larger "
            "machine."
        ) from None


def _facts(trainer: Trainer, train: Pairs, seed: int) -> dict[str, Any]:
    """Return what the artifact records of the run on this host."""
    return {
        "seed": seed,
        **({"num_hosts": trainer.group.size} if trainer.partition else {}),
        "num_rows": len(train),
        "data_fingerprint": fingerprint(train.entities, train.ips),
        "num_epochs": trainer.state.epoch,
        "num_batches": trainer.state.num_batches,
        "num_records": trainer.state.num_records,
        "validation_auc": trainer.state.validation_auc,
        "versions": {
            "ipinsights": ipinsights.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
        },
    }

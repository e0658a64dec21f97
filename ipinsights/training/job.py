"""One training job, from a map of strings to a model: the same for a command line and for a container."""

from __future__ import annotations

import contextlib
import logging
import platform
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

import ipinsights
from ipinsights.data.entity_hash import distinct_entity_rows
from ipinsights.data.pairs import fingerprint, read_pairs
from ipinsights.errors import ClientError
from ipinsights.log_format import set_up_logging
from ipinsights.model import artifact
from ipinsights.model.bloom import BloomFilter
from ipinsights.training.callbacks import ProgressBar, Speedometer
from ipinsights.training.collectives import Alone
from ipinsights.training.job_log import JobLog
from ipinsights.training.memory_check import check_memory, is_large
from ipinsights.training.resume import Continuation, Limits, identity_of
from ipinsights.training.signals import StopSignal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.data.pairs import Pairs
    from ipinsights.model.artifact import Artifact
    from ipinsights.training.trainer import Trainer

__all__ = ["Job", "run"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What to train, on what, and where the model goes.

    Attributes
    ----------
    hyperparameters
        Checked hyperparameters.
    provided
        The map that they were parsed from, for the log.
    source
        Where the map came from, for the log.
    train, validation
        A file or a folder each; validation may be None.
    model_dir
        Where the artifact is written.
    host
        Name of this host in the log.
    seed
        Of every random draw.
    is_sharded
        Whether every host has training files of its own, instead of all of them.
    checkpoint_dir
        Where checkpoints are written, and gone on from; None for no checkpoints.
    initial_model
        Artifact that training begins with; None to begin with drawn parameters.
    limits
        When checkpoints are written, and when the job ends before its last epoch.
    """

    hyperparameters: Hyperparameters
    provided: Mapping[str, Any]
    source: str
    train: Path
    validation: Path | None
    model_dir: Path
    host: str = "algo-1"
    seed: int = 0
    is_sharded: bool = False
    checkpoint_dir: Path | None = None
    initial_model: Path | None = None
    limits: Limits = field(default_factory=Limits)


def run(job: Job, *, quiet: bool = False, crew: Alone | None = None) -> Path | None:
    """Train and save a model, writing the original's log.

    SIGTERM ends training after the current base batch, or within the current validation, and saves what is trained so
    far. A job that has checkpoints goes on from the newest one.

    Parameters
    ----------
    job
        What to do.
    quiet
        Log errors only; progress bars are shown on a terminal all the same.
    crew
        This host among those of the job; alone when not given.

    Returns
    -------
    Path or None
        The artifact; None when the job was stopped before its first batch, and on all hosts but the first.

    Raises
    ------
    ClientError
        Data or paths are at fault, or training diverged.
    """
    set_up_logging("error" if quiet else job.hyperparameters.log_level)
    start = Continuation(job.limits, checkpoint_dir=job.checkpoint_dir, initial_model=job.initial_model)
    with StopSignal() as stop, _lack_of_memory_told(job.hyperparameters), contextlib.closing(start):
        return _run(job, crew or Alone(), stop, start)


def _run(job: Job, crew: Alone, stop: StopSignal, start: Continuation) -> Path | None:
    hyperparameters = job.hyperparameters
    log = JobLog(host=job.host, interval=hyperparameters.batch_metrics_publish_interval)
    log.job_configured(job.provided, job.source, has_checkpoints=job.checkpoint_dir is not None)
    if hyperparameters.ignored:
        _logger.warning("These hyperparameters change nothing: %s.", ", ".join(hyperparameters.ignored))
    if crew.is_first:
        artifact.prepare(job.model_dir)
    start.prepare(hyperparameters, has_validation=job.validation is not None, is_first=crew.is_first)
    train = crew.share(read_pairs(job.train, progress=True), is_sharded=job.is_sharded)
    validation = read_pairs(job.validation, progress=True) if job.validation and crew.is_first else None
    identity = identity_of(hyperparameters, seed=job.seed, train=train, validation=validation, initial=start.initial)
    trainer = _build_trainer(job, log, crew, start, num_rows=len(train))
    rows = distinct_entity_rows(train.entities, hyperparameters.num_entity_vectors)
    identity, rows = start.share(trainer.team, identity, rows, num_rows=hyperparameters.num_entity_vectors)
    trainer.callbacks += tuple(start.callbacks(identity, rows))
    start.begin(trainer, identity, rows)
    stop.when_received(trainer)
    trainer.fit(train, validation)
    trainer.team.wait()
    start.end(trainer)
    return _save(job, trainer, train, log, crew, initial=start.initial)


@contextlib.contextmanager
def _lack_of_memory_told(hyperparameters: Hyperparameters) -> Iterator[None]:
    """Turn what the engine says of missing memory into the user's numbers."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, MemoryError) and "Failed to allocate" not in str(error):
            raise
        if "mxnet" in sys.modules:
            from ipinsights.model._mxnet import mx

            with contextlib.suppress(Exception):
                mx.nd.waitall()  # or MXNet would report it once more when Python ends
        rows, dim = hyperparameters.num_entity_vectors, hyperparameters.vector_dim
        raise ClientError(
            f"There is not enough memory to train this model: {rows} x {dim} entity vectors and Adam's two moments of "
            f"each take {12e-9 * rows * dim:.1f} GB. Lower num_entity_vectors or vector_dim, or use a larger machine."
        ) from None


def _build_trainer(job: Job, log: JobLog, crew: Alone, begin: Continuation, *, num_rows: int) -> Trainer:
    # Imported here because MXNet takes a second to load: bad hyperparameters and bad data are told sooner.
    from ipinsights.training.learners.devices import choose_gpus, store_type
    from ipinsights.training.trainer import Trainer

    hyperparameters = job.hyperparameters
    gpus = choose_gpus(hyperparameters.num_gpus)
    store = store_type(hyperparameters.kvstore, num_hosts=crew.size, num_gpus=len(gpus))
    log.devices_chosen(len(gpus), store)
    begin.check_store(store)
    if not gpus and not crew.has_servers:
        check_memory(hyperparameters, num_rows=num_rows)
    bars = (ProgressBar(),) if crew.is_first else ()
    callbacks = (Speedometer(hyperparameters.batch_metrics_publish_interval), log, *bars)
    start = time.perf_counter()
    learner, team = crew.build_learner(
        hyperparameters, gpus=gpus, store=store, seed=job.seed, num_rows=num_rows, terms=begin.shared_terms()
    )
    trainer = Trainer(hyperparameters, seed=job.seed, callbacks=callbacks, learner=learner, team=team)
    log.network_initialized(time.perf_counter() - start)
    return trainer


def _save(
    job: Job, trainer: Trainer, train: Pairs, log: JobLog, crew: Alone, *, initial: Artifact | None
) -> Path | None:
    if trainer.state.num_batches == 0:
        _logger.warning("The job was stopped before its first batch: there is no model to save.")
        return None
    start = time.perf_counter()
    # A job that was stopped in its first epoch has not come to the last rows.
    num_rows_seen = trainer.state.num_records // trainer.hyperparameters.records_per_row
    known = BloomFilter.of(train.entities[:num_rows_seen], trainer.hyperparameters.num_entity_vectors)
    if initial:
        known |= initial.known_entities
    known = BloomFilter(trainer.team.any_of(known.bits))
    if not crew.is_first:
        log.training_ended()
        return None
    if is_large(trainer.hyperparameters):
        _logger.info("Saving the model to %s.", job.model_dir)
    path = artifact.save(
        job.model_dir,
        params=trainer.learner.parameters(),
        symbol=trainer.learner.symbol(),
        known_entities=known,
        hyperparameters=trainer.hyperparameters,
        training=_facts(job, trainer, train, crew),
    )
    log.model_saved(path, time.perf_counter() - start)
    return path


def _facts(job: Job, trainer: Trainer, train: Pairs, crew: Alone) -> dict[str, Any]:
    """Give what the artifact keeps of the run; rows, records and batches are this host's."""
    return {
        "seed": job.seed,
        **({"num_hosts": crew.size} if crew.has_servers else {}),
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

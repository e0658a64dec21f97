"""One training job, from checked hyperparameters to a model, for command line and container."""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import ipinsights
from ipinsights.data.both_families import join_families, read_families
from ipinsights.data.pairs import fingerprint
from ipinsights.log_format import logging_to
from ipinsights.model import artifact
from ipinsights.training.callbacks import Checkpointer, Deadline, EarlyStopping, JobView, Speedometer
from ipinsights.training.checkpoint import CheckpointDirectory
from ipinsights.training.collectives import SingleHost
from ipinsights.training.entity_partition import EntityPartition, StreamedTable, used_rows
from ipinsights.training.epoch_records import MetricsFile
from ipinsights.training.in_memory import missing_memory_reported, trained_model
from ipinsights.training.job_log import JobLog
from ipinsights.training.limits import Limits
from ipinsights.training.memory_check import check_memory, is_large
from ipinsights.training.resume import load_initial_model, resume
from ipinsights.training.run_identity import RunIdentity
from ipinsights.training.signals import StopSignal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.data.ipv6 import Ipv6Pairs
    from ipinsights.data.pairs import Pairs
    from ipinsights.model.artifact import Artifact
    from ipinsights.training.trainer import Trainer

__all__ = ["Job", "run"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """A training job: its settings, its data, and the path of its model."""

    hyperparameters: Hyperparameters
    # The map that the hyperparameters were parsed from and the name of its place, for the log.
    provided: Mapping[str, Any]
    source: str
    # A file or a folder each.
    train: Path
    validation: Path | None
    # Folder that the artifact is written to.
    model_dir: Path
    host_name: str = "algo-1"
    seed: int = 0
    is_sharded: bool = False  # whether each host has training files of its own, instead of all of them
    # Folder of checkpoints, which the job writes and resumes from. None for no checkpoints.
    checkpoint_dir: Path | None = None
    # Artifact of a warm start. None to begin with drawn parameters.
    initial_model: Path | None = None
    limits: Limits = field(default_factory=Limits)
    engine: str = "auto"  # engine of the steps on one CPU: ``auto`` for compiled kernels, ``gluon`` for MXNet
    num_threads: int | None = None  # Threads of the steps on one CPU. None for the cores available to the process.
    # IPv4 and IPv6 rows of ``train`` that were read before. None to read them.
    rows: tuple[Pairs, Ipv6Pairs | None] | None = field(default=None, repr=False, compare=False)
    log_file: Path | None = None  # File that the log is written to as well. None for no file.
    metrics_file: Path | None = None  # File for the metrics of each epoch as JSON lines. None for no file.


@dataclass(frozen=True)
class _Inputs:
    """Training inputs of a host. ``whole_fingerprint`` is of all hosts, None where unneeded."""

    train: Pairs
    ipv6: Ipv6Pairs | None
    validation: Pairs | None
    initial: Artifact | None
    whole_fingerprint: str | None


def run(job: Job, *, quiet: bool = False, host: SingleHost | None = None, view: JobView | None = None) -> Path | None:
    """Train and save a model, and write the original's log.

    SIGTERM ends training after the current base batch, or within the current validation, and saves what is trained so
    far. A job with checkpoints resumes from the newest one. ``quiet`` logs only errors to standard output.

    Returned is the artifact's path, None when the job was stopped before its first batch, and on all hosts but the
    first.
    """
    view = view or JobView()
    with (
        logging_to(job.log_file, job.hyperparameters.log_level, quiet=quiet, shows_log=view.shows_log),
        StopSignal() as stop,
        missing_memory_reported(job.hyperparameters),
    ):
        return _run(job, host or SingleHost(), stop, view)


def _run(job: Job, host: SingleHost, stop: StopSignal, view: JobView) -> Path | None:
    log = _begin_log(job)
    if host.is_first:
        artifact.prepare(job.model_dir, job.hyperparameters)
    job.limits.check_validation(job.validation)
    with _checkpoint_directory(job, host) as directory:
        inputs = _read(job, host)
        view.on_data_read(job.hyperparameters, inputs.train)
        trainer, inputs, rows = _build_trainer(job, (log, view), host, inputs, has_checkpoints=directory is not None)
        early_stopping = _apply_limits(job, trainer, inputs, rows, directory)
        stop.when_received(trainer)
        trainer.fit(inputs.train, inputs.validation)
        if early_stopping:
            early_stopping.keep_best(trainer)
        path = _save(job, trainer, inputs, log, host)
    if path is not None:
        view.on_model_saved(path)
    return path


def _begin_log(job: Job) -> JobLog:
    log = JobLog(host=job.host_name, interval=job.hyperparameters.batch_metrics_publish_interval)
    log.job_configured(job.provided, job.source, has_checkpoints=job.checkpoint_dir is not None)
    if job.hyperparameters.ignored:
        _logger.warning("These hyperparameters change nothing: %s.", ", ".join(job.hyperparameters.ignored))
    return log


def _checkpoint_directory(job: Job, host: SingleHost) -> contextlib.AbstractContextManager[CheckpointDirectory | None]:
    """Return this host's checkpoints, whose directory is made and locked."""
    if job.checkpoint_dir is None:
        return contextlib.nullcontext()
    directory = CheckpointDirectory(
        job.checkpoint_dir, keep=job.limits.keep_checkpoints, rank=host.rank, num_hosts=host.size
    )
    directory.prepare()
    return contextlib.closing(directory)


def _read(job: Job, host: SingleHost) -> _Inputs:
    """Read the initial model and the data. The first host reads the validation data for all."""
    initial = load_initial_model(job.initial_model, job.hyperparameters) if job.initial_model else None
    accepts_ipv6 = job.hyperparameters.ipv6
    pairs, ipv6 = job.rows or read_families(job.train, ipv6=accepts_ipv6)
    is_divided = job.hyperparameters.keep_history and host.size > 1 and not job.is_sharded
    whole_fingerprint = join_families(pairs, ipv6).fingerprint if is_divided else None
    if ipv6 is not None and not job.is_sharded:
        ipv6 = ipv6[host.rank :: host.size]
    validation = read_families(job.validation, ipv6=accepts_ipv6)[0] if job.validation and host.is_first else None
    return _Inputs(pairs, ipv6, validation, initial, whole_fingerprint)


def _build_trainer(
    job: Job, watchers: tuple[JobLog, JobView], host: SingleHost, inputs: _Inputs, *, has_checkpoints: bool
) -> tuple[Trainer, _Inputs, NDArray[np.int32]]:
    """Return a trainer on this host's devices, its data, and the entity table rows in training."""
    # Imported here because MXNet takes a second to load: bad hyperparameters and bad data are reported sooner.
    from ipinsights.training.learners.devices import build_learner, choose_devices, choose_engine
    from ipinsights.training.trainer import Trainer

    hyperparameters = job.hyperparameters
    gpus, store = choose_devices(hyperparameters, num_hosts=host.size)
    with watchers[0].initialization(len(gpus), store):
        engine = choose_engine(gpus, job.engine)
        partition, own, first_row = None, hyperparameters, 0
        if host.is_distributed:
            if "async" in store:
                _logger.warning("Hosts keep step with _kvstore '%s', too: it is taken for 'dist_sync'.", store)
            terms = _terms(job, inputs, store, engine, has_checkpoints=has_checkpoints)
            group = host.join(terms)
            partition, train = EntityPartition.divide(group, inputs.train, hyperparameters, is_sharded=job.is_sharded)
            inputs = replace(inputs, train=train, validation=partition.from_first(inputs.validation))
            own, first_row = partition.local_hyperparameters(hyperparameters), partition.first
        trained, used = used_rows(hyperparameters, inputs.train, inputs.validation, partition)
        if not gpus:
            num_used = len(used) if engine == "kernels" else None
            check_memory(own, num_rows=len(inputs.train), num_used=num_used)
        learner = build_learner(
            own, gpus=gpus, store=store, seed=job.seed, engine=engine, num_threads=job.num_threads,
            group=partition.group if partition else None, first_row=first_row, rows=used,
        )  # fmt: skip
        metrics = (MetricsFile(job.metrics_file),) if job.metrics_file and host.is_first else ()
        callbacks = (Speedometer(hyperparameters.batch_metrics_publish_interval), *watchers, *metrics)
        trainer = Trainer(
            hyperparameters, seed=job.seed, callbacks=callbacks, learner=learner, partition=partition,
            num_threads=job.num_threads,
        )  # fmt: skip
    if inputs.initial:
        table = inputs.initial.params["entity_weight"][first_row : first_row + own.num_entity_vectors]
        trainer.learner.set_parameters({**inputs.initial.params, "entity_weight": table})
    return trainer, inputs, trained


def _terms(job: Job, inputs: _Inputs, store: str, engine: str, *, has_checkpoints: bool) -> dict[str, str]:
    """Return what all hosts of the job must have alike, by its names in messages."""
    initial = inputs.initial
    return {
        **{name: f"'{value}'" for name, value in job.hyperparameters.to_strings().items()},
        "the version of ipinsights": ipinsights.__version__,
        "_kvstore": store,
        "the seed": str(job.seed),
        "the engine": "MXNet" if engine == "gluon" else "compiled kernels",
        "the checkpoint directory": "given" if has_checkpoints else "not given",
        "the initial model": fingerprint(*initial.params.values()) if initial else "not given",
    }


def _apply_limits(
    job: Job, trainer: Trainer, inputs: _Inputs, rows: NDArray[np.int32], directory: CheckpointDirectory | None
) -> EarlyStopping | None:
    """Add the callbacks that save the job and end it, then resume from the newest checkpoint."""
    limits, hyperparameters = job.limits, job.hyperparameters
    if limits.max_seconds is not None:
        trainer.callbacks += (Deadline(limits.max_seconds),)
    if directory is None and limits.early_stopping_patience is None:
        return None
    identity = RunIdentity.of(
        hyperparameters, seed=job.seed, train=inputs.train, rows=rows, validation=inputs.validation,
        initial=inputs.initial,
    ).across(trainer.group)  # fmt: skip
    early_stopping = None
    if limits.early_stopping_patience is not None:
        early_stopping = EarlyStopping(limits.early_stopping_patience, identity.rows)
        trainer.callbacks += (early_stopping,)
    if directory:
        checkpointer = Checkpointer(
            directory,
            identity,
            every_batches=limits.every_batches,
            every_seconds=limits.every_seconds,
            early_stopping=early_stopping,
        )
        trainer.callbacks += (checkpointer,)
        resume(trainer, directory, identity, early_stopping=early_stopping)
    return early_stopping


def _save(job: Job, trainer: Trainer, inputs: _Inputs, log: JobLog, host: SingleHost) -> Path | None:
    if trainer.state.num_batches == 0 and trainer.batches_per_epoch:
        _logger.warning("The job was stopped before its first batch: there is no model to save.")
        return None
    start = time.perf_counter()
    model = trained_model(
        trainer, inputs.train, seed=job.seed, initial=inputs.initial, ipv6=inputs.ipv6,
        whole_fingerprint=inputs.whole_fingerprint,
    )  # fmt: skip
    table: object = model.params["entity_weight"]
    if isinstance(table, StreamedTable) and not host.is_first:
        table.serve()
        log.training_ended()
        return None
    if is_large(trainer.hyperparameters):
        _logger.info("Saving the model to %s.", job.model_dir)
    path = artifact.write(job.model_dir, model)
    if isinstance(table, StreamedTable):
        table.close()
    log.model_saved(path, time.perf_counter() - start)
    return path

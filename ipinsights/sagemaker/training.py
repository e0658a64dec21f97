"""One training job, from a map of strings to a model: the same for a command line and for a container."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import platform
import signal
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from typing_extensions import Self

import ipinsights
from ipinsights import artifact
from ipinsights.callbacks import Callback, ProgressBar, Speedometer
from ipinsights.data import entity_rows, read_pairs
from ipinsights.errors import AlgorithmError, IPInsightsError
from ipinsights.hyperparameters import Hyperparameters, default_configuration, final_configuration
from ipinsights.sagemaker.environment import Environment, failure_file
from ipinsights.sagemaker.logs import JobLog, bare, set_up_logging

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import FrameType

    from ipinsights.data import Pairs
    from ipinsights.trainer import Trainer

__all__ = ["Job", "failure_reported", "run"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What to train, on what, and where the model goes.

    Attributes
    ----------
    hyperparameters
        Raw map, as given by the user.
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
    progress
        Show progress bars on a terminal.
    """

    hyperparameters: Mapping[str, Any]
    source: str
    train: Path
    validation: Path | None
    model_dir: Path
    host: str = "algo-1"
    seed: int = 0
    progress: bool = False

    @classmethod
    def from_environment(cls, environment: Environment, *, seed: int = 0) -> Job:
        """Give the job a container was started for.

        Raises
        ------
        ClientError
            A channel is missing or cannot be read.
        """
        validation = environment.channel("validation")
        return cls(
            hyperparameters=environment.hyperparameters,
            source=str(environment.hyperparameters_file),
            train=environment.required_channel("train").path,
            validation=validation.path if validation else None,
            model_dir=environment.model_dir,
            host=environment.current_host,
            seed=seed,
        )


def run(job: Job) -> Path | None:
    """Train and save a model, writing the original's log.

    SIGTERM ends training after the current base batch and saves what is trained so far.

    Returns
    -------
    Path or None
        The artifact; None when the job was stopped before its first batch.

    Raises
    ------
    ClientError
        Hyperparameters, data or paths are at fault, or training diverged.
    """
    hyperparameters = Hyperparameters.parse(job.hyperparameters)
    set_up_logging(hyperparameters.log_level)
    log = JobLog(host=job.host, interval=hyperparameters.batch_metrics_publish_interval)
    _log_configuration(job)
    with _StopSignal() as stop:
        train = read_pairs(job.train, progress=job.progress)
        validation = read_pairs(job.validation, progress=job.progress) if job.validation else None
        trainer = _trainer(job, hyperparameters, log)
        stop.when_received(trainer)
        trainer.fit(train, validation)
        if trainer.state.num_batches == 0:
            _logger.warning("The job was stopped before its first batch: there is no model to save.")
            return None
        path = _save(job, trainer, train)
    _log_end(log, path)
    return path


@contextlib.contextmanager
def failure_reported(base: Path) -> Iterator[None]:
    """Write what goes wrong inside into the failure file of a base folder, its main sentence first, and raise it on."""
    try:
        yield
    except IPInsightsError as error:
        _write_failure(base, error.report)
        raise
    except Exception as error:
        _write_failure(base, f"{AlgorithmError.prefix}: {error!r}\n\n{traceback.format_exc()}")
        raise


def _write_failure(base: Path, text: str) -> None:
    path = failure_file(base)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        _logger.exception("The failure file %s cannot be written: %s.", path, error.strerror)


def _log_configuration(job: Job) -> None:
    provided = {name: str(value) for name, value in job.hyperparameters.items()}
    _logger.info("Reading default configuration from %s: %s", "ipinsights.hyperparameters", default_configuration())
    _logger.info("Merging with provided configuration from %s: %s", job.source, provided)
    _logger.info("Final configuration: %s", final_configuration(provided))
    bare(f"Process {os.getpid()} is a worker.")
    _logger.info("Using default worker.")
    _logger.info("Loaded iterator creator text/csv for content type ('text/csv', '1.0')")
    _logger.info("Checkpoint loading and saving are disabled.")


def _trainer(job: Job, hyperparameters: Hyperparameters, log: JobLog) -> Trainer:
    # Imported here because the engine takes a second to load: bad hyperparameters and bad data are told sooner.
    from ipinsights.trainer import Trainer

    _logger.info("Number of GPUs being used: 0")
    callbacks: list[Callback] = [Speedometer(hyperparameters.batch_metrics_publish_interval), log]
    if job.progress:
        callbacks.append(ProgressBar())
    trainer = Trainer(hyperparameters, seed=job.seed, callbacks=callbacks)
    _logger.info("Create Store: local")
    return trainer


def _save(job: Job, trainer: Trainer, train: Pairs) -> Path:
    seen = np.zeros(trainer.hyperparameters.num_entity_vectors, dtype=bool)
    seen[entity_rows(train.entities, len(seen))] = True
    return artifact.save(
        job.model_dir,
        params=trainer.parameters(),
        symbol=trainer.net.symbol(),
        seen_entities=np.packbits(seen),
        hyperparameters=trainer.hyperparameters,
        training=_facts(job, trainer, train),
    )


def _facts(job: Job, trainer: Trainer, train: Pairs) -> dict[str, Any]:
    fingerprint = hashlib.blake2b(train.entities.data, digest_size=16)
    fingerprint.update(train.ips.data)
    return {
        "seed": job.seed,
        "num_rows": len(train),
        "data_fingerprint": fingerprint.hexdigest(),
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


def _log_end(log: JobLog, path: Path) -> None:
    _logger.warning("wait_for_all_workers will not sync workers since the kv store is not running distributed")
    log.emit({"finalize.time": 0.0})
    _logger.info('Saved checkpoint to "%s"', path)
    _logger.info("Test data is not provided.")
    log.job_finished()


class _StopSignal:
    """SIGTERM as SageMaker sends it: leave at once while nothing is trained, else let the trainer finish its batch."""

    def __init__(self) -> None:
        self._trainer: Trainer | None = None

    def __enter__(self) -> Self:
        self._previous = signal.signal(signal.SIGTERM, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._previous)

    def when_received(self, trainer: Trainer) -> None:
        """Stop this trainer when the signal comes."""
        self._trainer = trainer

    def _receive(self, _signal: int, _frame: FrameType | None) -> None:
        _logger.warning("SIGTERM received: stopping.")
        if self._trainer is None:
            raise SystemExit(0)
        self._trainer.state.stop = True

"""Log lines in the original's formats, for CloudWatch regular expressions and scripts.

Formats are those of the container's Python 3 generations (2021 to 2025). The fidelity table lists them line by line.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from typing import TYPE_CHECKING, Any

from ipinsights.config.hyperparameters import default_configuration, final_configuration
from ipinsights.log_format import bare, emit_metrics
from ipinsights.training.callbacks import Callback

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ipinsights.training.trainer import Trainer

__all__ = ["JobLog"]

_logger = logging.getLogger(__name__)

_COUNTERS = (
    "Total Records Seen",
    "Total Batches Seen",
    "Max Records Seen Between Resets",
    "Max Batches Seen Between Resets",
    "Reset Count",
    "Number of Records Since Last Reset",
    "Number of Batches Since Last Reset",
)


class JobLog(Callback):
    """The original's log of a training job, from its first line to its last.

    ``host`` names this host in the lines. ``interval`` is ``batch_metrics_publish_interval``: batches between quality
    metrics inside an epoch, batch 0 included.
    """

    def __init__(self, *, host: str, interval: int) -> None:
        self._host = host
        self._interval = interval
        self._job_start = time.time()
        self._job_clock = time.perf_counter()
        self._epoch_start = self._epoch_clock = self._setup_milliseconds = 0.0
        self._max_records = self._max_batches = self._records_before = 0
        self._store = "local"

    def job_configured(self, provided: Mapping[str, Any], source: str, *, has_checkpoints: bool) -> None:
        """Log what the job was given, over which defaults, and what it reads and writes."""
        given = {name: str(value) for name, value in provided.items()}
        _logger.info("Reading default configuration from ipinsights.hyperparameters: %s", default_configuration())
        _logger.info("Merging with provided configuration from %s: %s", source, given)
        _logger.info("Final configuration: %s", final_configuration(given))
        bare(f"Process {os.getpid()} is a worker.")
        _logger.info("Using default worker.")
        _logger.info("Loaded iterator creator text/csv for content type ('text/csv', '1.0')")
        _logger.info("Checkpoint loading and saving are %s.", "enabled" if has_checkpoints else "disabled")

    @contextlib.contextmanager
    def initialization(self, num_gpus: int, store: str) -> Iterator[None]:
        """Log the devices, the type of KVStore, and the time of the block that builds the network."""
        self._store = store
        _logger.info("Number of GPUs being used: %d", num_gpus)
        start, clock = time.time(), time.perf_counter()
        yield
        self._emit({"initialize.time": self._milliseconds_since(clock)}, start=start)

    def on_train_begin(self, trainer: Trainer) -> None:
        """Log counters that are still zero."""
        self._setup_milliseconds = self._milliseconds_since(self._job_clock)
        self._emit_counters(trainer, {"Meta": "init_train_data_iter"}, num_resets=0)
        _logger.info("Create Store: %s", self._store)

    def on_epoch_begin(self, trainer: Trainer) -> None:
        """Start the epoch's clock."""
        self._records_before = trainer.state.epoch_records
        self._epoch_start, self._epoch_clock = time.time(), time.perf_counter()

    def on_batch_end(self, trainer: Trainer) -> None:
        """Log quality metrics at batch 0 and at every multiple of the interval."""
        if trainer.state.batch % self._interval == 0:
            self._log_quality(trainer, f"epoch={trainer.state.epoch}, batch={trainer.state.batch}")

    def on_epoch_trained(self, trainer: Trainer) -> None:
        """Log the epoch's metrics twice, as MXNet does and as SageMaker reads them."""
        epoch = trainer.state.epoch
        for name, value in trainer.metrics.get().items():
            _logger.info("Epoch[%d] Train-%s=%f", epoch, name, value)
        _logger.info("Epoch[%d] Time cost=%.3f", epoch, time.perf_counter() - self._epoch_clock)
        self._log_quality(trainer, f"epoch={epoch},")

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Log validation, duration, progress, counters and throughput."""
        state = trainer.state
        if state.validation_auc is not None:
            _logger.info("Num unique classes of label: [0. 1.]")
            self._quality(f"epoch={state.epoch}, validation discriminator_auc <score>={state.validation_auc!r}")
        milliseconds = self._milliseconds_since(self._epoch_clock)
        total = trainer.hyperparameters.epochs
        # The number of epochs stands in the first line only.
        epochs = {"epochs": total} if state.epoch == 0 else {}
        self._emit({**epochs, "update.time": milliseconds}, start=self._epoch_start)
        done = 100.0 * (state.epoch + 1) / total
        _logger.info("#progress_metric: host=%s, completed %s %% of epochs", self._host, done)
        meta = {"epoch": state.epoch, "Meta": "training_data_iter"}
        self._emit_counters(trainer, meta, num_resets=2 * (state.epoch + 1), start=self._epoch_start)
        throughput = 1000 * (state.epoch_records - self._records_before) / milliseconds
        _logger.info("#throughput_metric: host=%s, train throughput=%r records/second", self._host, throughput)

    def model_saved(self, path: Path, seconds: float) -> None:
        """Log the path of the model, the seconds of saving and the end of the job."""
        if not self._store.startswith("dist"):
            _logger.warning(
                "wait_for_all_workers will not sync workers since the kv store is not running distributed",
                extra={"is_copied": True},
            )
        self._emit({"finalize.time": 1000 * seconds}, start=time.time() - seconds)
        _logger.info('Saved checkpoint to "%s"', path)
        self.training_ended()

    def training_ended(self) -> None:
        """Log how long the whole job took, on hosts that save no model."""
        _logger.info("Test data is not provided.")
        total = self._milliseconds_since(self._job_clock)
        self._emit({"setuptime": self._setup_milliseconds, "totaltime": total})

    def _emit(
        self, values: Mapping[str, float], *, start: float | None = None, meta: Mapping[str, object] | None = None
    ) -> None:
        dimensions = {"Algorithm": "ipinsights", "Host": self._host, "Operation": "training", **(meta or {})}
        emit_metrics(values, start=self._job_start if start is None else start, dimensions=dimensions)

    def _log_quality(self, trainer: Trainer, position: str) -> None:
        accuracy, loss = trainer.metrics.get().values()
        self._quality(f"{position} train binary_classification_accuracy <score>={accuracy!r}")
        self._quality(f"{position} train binary_classification_cross_entropy <loss>={loss!r}")

    def _quality(self, text: str) -> None:
        _logger.info("#quality_metric: host=%s, %s", self._host, text)

    def _emit_counters(
        self, trainer: Trainer, meta: dict[str, object], *, num_resets: int, start: float | None = None
    ) -> None:
        state = trainer.state
        self._max_records = max(self._max_records, state.epoch_records)
        self._max_batches = max(self._max_batches, state.epoch_batches)
        # An epoch ends with a reset, so nothing has been seen since.
        counts = (state.num_records, state.num_batches, self._max_records, self._max_batches, num_resets, 0, 0)
        self._emit(dict(zip(_COUNTERS, counts, strict=True)), start=start, meta=meta)

    @staticmethod
    def _milliseconds_since(clock: float) -> float:
        return 1000 * (time.perf_counter() - clock)

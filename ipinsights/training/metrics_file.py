"""Metrics of each epoch as JSON lines, for programs that watch a run."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING

from ipinsights.errors import ClientError
from ipinsights.training.epoch_records import EpochRecorder

if TYPE_CHECKING:
    from pathlib import Path

    from ipinsights.training.trainer import Trainer

__all__ = ["MetricsFile"]


class MetricsFile(EpochRecorder):
    """Callback that appends a line to a file after each epoch.

    A line is a JSON object with ``epoch`` from 1, ``accuracy``, ``cross_entropy``, ``validation_auc`` (null without
    validation data), ``seconds``, ``num_batches`` and ``num_records`` since the beginning of the run, and ``time`` in
    seconds since 1970. The file is written anew unless the run is resumed.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._write("", mode="a")  # before the work is done

    def on_train_begin(self, trainer: Trainer) -> None:
        """Empty the file at the beginning of a run."""
        if trainer.state.num_batches == 0:
            self._write("", mode="w")

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Append the line of the epoch."""
        super().on_epoch_end(trainer)
        record = self.records.pop()
        auc = record["validation_auc"]
        line = {
            **record,
            "validation_auc": None if math.isnan(auc) else auc,
            "num_batches": trainer.state.num_batches,
            "num_records": trainer.state.num_records,
            "time": round(time.time(), 3),
        }
        self._write(f"{json.dumps(line, allow_nan=False)}\n", mode="a")

    def _write(self, text: str, *, mode: str) -> None:
        try:
            with self._path.open(mode, encoding="utf-8") as stream:
                stream.write(text)
        except OSError as error:
            raise ClientError(f"The metrics file {self._path} cannot be written: {error.strerror}.") from None

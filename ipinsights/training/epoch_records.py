"""Records of epochs, in memory and in a file, and one progress bar for a run."""

from __future__ import annotations

import json
import math
import sys
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from ipinsights.errors import ClientError
from ipinsights.training.callbacks import Callback

if TYPE_CHECKING:
    from pathlib import Path

    from ipinsights.training.trainer import Trainer

__all__ = ["EpochRecorder", "MetricsFile", "RunBar", "is_in_notebook"]

_MIN_SECONDS = 0.5


class EpochRecorder(Callback):
    """Recorder of the metrics of each finished epoch.

    Each of the ``records`` is a dictionary: ``epoch`` from 1, ``accuracy``, ``cross_entropy``, ``validation_auc``
    (NaN without validation data) and ``seconds``.
    """

    def __init__(self) -> None:
        self.records: list[dict[str, float]] = []

    def on_epoch_begin(self, trainer: Trainer) -> None:  # noqa: ARG002
        """Start the clock."""
        self._start = time.perf_counter()

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Record the epoch."""
        accuracy, loss = trainer.metrics.get().values()
        auc = trainer.state.validation_auc
        self.records.append({
            "epoch": trainer.state.epoch + 1,
            "accuracy": accuracy,
            "cross_entropy": loss,
            "validation_auc": float("nan") if auc is None else auc,
            "seconds": time.perf_counter() - self._start,
        })  # fmt: skip


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


class RunBar(Callback):
    """Progress bar over all base batches of a run. By default on a terminal and in a notebook."""

    def __init__(self, *, is_shown: bool | None = None) -> None:
        # tqdm shows a bar on a terminal only where ``disable`` is None.
        is_left_to_tqdm = is_shown is None and not is_in_notebook()
        self._disable = None if is_left_to_tqdm else is_shown is False

    def on_train_begin(self, trainer: Trainer) -> None:
        """Draw an empty bar."""
        num_base_batches = trainer.batches_per_epoch // trainer.hyperparameters.records_per_row
        total = num_base_batches * trainer.hyperparameters.epochs
        # A saved notebook keeps every text that is drawn: twice a second is enough.
        self._bar = _bar_class()(
            total=total, unit="batch", leave=is_in_notebook(), disable=self._disable, mininterval=_MIN_SECONDS
        )

    def on_epoch_begin(self, trainer: Trainer) -> None:
        """Show the epoch."""
        name = f"epoch {trainer.state.epoch + 1}/{trainer.hyperparameters.epochs}"
        self._bar.set_description_str(name, refresh=False)

    def on_base_batch_end(self, trainer: Trainer) -> None:  # noqa: ARG002
        """Move the bar on."""
        self._bar.update()

    def on_epoch_trained(self, trainer: Trainer) -> None:
        """Show the metrics of the epoch."""
        accuracy, loss = trainer.metrics.get().values()
        self._bar.set_postfix_str(f"accuracy {accuracy:.4f}, cross-entropy {loss:.4f}", refresh=False)

    def on_train_end(self, trainer: Trainer) -> None:  # noqa: ARG002
        """Leave the bar in a notebook, remove it from a terminal."""
        self._bar.refresh()
        self._bar.close()


def is_in_notebook() -> bool:
    """Return whether the process is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


def _bar_class() -> Any:
    if is_in_notebook() and find_spec("ipywidgets"):
        from tqdm.notebook import tqdm as widget

        return widget
    return tqdm

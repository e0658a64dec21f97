"""Terminal output of a training job: warnings, a progress bar and a summary."""

from __future__ import annotations

import shlex
import sys
import time
from typing import TYPE_CHECKING

from ipinsights.cli.option_names import with_option_names
from ipinsights.cli.output import echo_error, neighbour, terminal_width
from ipinsights.data.remote_names import as_given
from ipinsights.reporting.plain_text import printable
from ipinsights.training.advice import ValidationWatch, advice_on_data, advice_on_steps
from ipinsights.training.callbacks import JobView

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console
    from rich.progress import Progress

    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.data.pairs import Pairs
    from ipinsights.training.trainer import Trainer

__all__ = ["TrainingView"]

_BARS_PER_SECOND = 10


class TrainingView(JobView):
    """View of a job of ``ipinsights train``, if quiet without warnings and the summary.

    The training file is that of the command: the summary names the calibration file that ``split`` wrote next to it.
    """

    def __init__(self, train: Path | None, *, quiet: bool, progress: bool) -> None:
        self._train = train
        self.shows_log = terminal_width() is None
        self._quiet = quiet
        self._progress = progress and sys.stderr.isatty()
        self._validation = ValidationWatch(self._warn)
        self._bar: Progress | None = None
        self._num_rows = self._num_entities = 0
        self._start = time.perf_counter()
        self._facts: list[tuple[str, str]] = []

    def on_data_read(self, hyperparameters: Hyperparameters, train: Pairs) -> None:
        """Warn of data and settings that a model hardly learns from."""
        import pandas as pd

        self._num_rows, self._num_entities = len(train), len(pd.unique(train.entities))
        for text in (advice_on_steps(hyperparameters, len(train)), advice_on_data(train)):
            if text:
                self._warn(text)

    def on_train_begin(self, trainer: Trainer) -> None:
        """Draw the bar."""
        if self._progress:
            self._bar = _progress_bar()
            total = trainer.batches_per_epoch * trainer.hyperparameters.epochs
            self._bar.add_task("training", total=total, metrics="", completed=trainer.state.num_batches)
            self._bar.start()

    def on_epoch_begin(self, trainer: Trainer) -> None:
        """Show the number of the epoch."""
        if self._bar:
            name = f"epoch {trainer.state.epoch + 1}/{trainer.hyperparameters.epochs}"
            self._bar.update(self._bar.task_ids[0], description=name)

    def on_batch_end(self, trainer: Trainer) -> None:
        """Advance the bar."""
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=trainer.state.num_batches)

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Show the metrics of the epoch."""
        self._validation.on_epoch_end(trainer)
        if self._bar:
            auc = trainer.state.validation_auc
            text = f"accuracy {_accuracy(trainer):.3f}" + ("" if auc is None else f", AUC {auc:.3f}")
            self._bar.update(self._bar.task_ids[0], metrics=text)

    def close(self) -> None:
        """Close the bar, also after a failure."""
        if self._bar:
            self._bar.stop()

    def on_train_end(self, trainer: Trainer) -> None:
        """Close the bar, and keep the facts of the summary."""
        self.close()
        self._validation.on_train_end(trainer)
        self._facts = self._training_facts(trainer)

    def on_model_saved(self, path: Path) -> None:
        """Print the summary on a terminal."""
        if self._quiet or self.shows_log:
            return
        console = _console()
        for name, value in [*self._facts, ("Model", printable(as_given(str(path))))]:
            console.print(
                f"{name:<12}{value}", markup=False, highlight=False, style="bold" if name == "Model" else None
            )
        console.print(f"\nNext: {_next_command(path, self._train)}", markup=False, highlight=False, soft_wrap=True)

    def _training_facts(self, trainer: Trainer) -> list[tuple[str, str]]:
        state, seconds = trainer.state, time.perf_counter() - self._start
        auc = "not measured; give --validation" if state.validation_auc is None else f"{state.validation_auc:.4f}"
        return [
            ("Rows", f"{self._num_rows:,} of {self._num_entities:,} entities"),
            ("Epochs", f"{state.epoch:,} with {state.num_batches:,} optimizer steps"),
            ("Accuracy", f"{_accuracy(trainer):.4f} on the training data"),
            ("AUC", auc if state.validation_auc is None else f"{auc} on the validation data"),
            ("Duration", f"{seconds:,.1f} s, {state.num_records / max(seconds, 1e-9):,.0f} records a second"),
        ]

    def _warn(self, text: str) -> None:
        if not self._quiet:
            echo_error(f"warning: {with_option_names(text)}")


def _accuracy(trainer: Trainer) -> float:
    return next(iter(trainer.metrics.get().values()))


def _console(*, stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(stderr=stderr)


def _progress_bar() -> Progress:
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[metrics]}"),
        console=_console(stderr=True),
        refresh_per_second=_BARS_PER_SECOND,
        redirect_stdout=False,
        expand=True,
    )


def _next_command(path: Path, train: Path | None) -> str:
    folder = shlex.quote(printable(as_given(str(path.parent))))
    calibration = printable(neighbour(train, "calibration.csv"))
    return f"ipinsights threshold --model-dir {folder} --calibration {calibration} --fpr 0.01"

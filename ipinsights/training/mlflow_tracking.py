"""Tracking of training runs with MLflow."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ipinsights.errors import missing_package_reported
from ipinsights.training.epoch_records import EpochRecorder

if TYPE_CHECKING:
    from ipinsights.training.trainer import Trainer

__all__ = ["MLflowCallback"]


class MLflowCallback(EpochRecorder):
    """Callback that logs hyperparameters and the metrics of each epoch to MLflow.

    The active run of MLflow is used. Without one the callback starts a run and ends it after training. Needs the extra
    ``mlflow``. Entities and addresses are not logged.

    Parameters
    ----------
    run_name
        Name of a run that the callback starts. None for a name by MLflow.

    Examples
    --------
    >>> import ipinsights
    >>> model = ipinsights.IPInsights(callbacks=[ipinsights.MLflowCallback(run_name="logins")])
    """

    def __init__(self, *, run_name: str | None = None) -> None:
        super().__init__()
        self.run_name = run_name
        self._is_own_run = False

    def on_train_begin(self, trainer: Trainer) -> None:
        """Start a run unless one is active, and log the hyperparameters."""
        with missing_package_reported("Tracking needs MLflow", "mlflow-skinny"):
            import mlflow
        self._is_own_run = mlflow.active_run() is None
        if self._is_own_run:
            mlflow.start_run(run_name=self.run_name)
        mlflow.log_params(trainer.hyperparameters.to_strings())

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Log the metrics of the epoch, with its number as the step."""
        import mlflow

        super().on_epoch_end(trainer)
        record = self.records.pop()
        step = int(record.pop("epoch"))
        mlflow.log_metrics({name: value for name, value in record.items() if not math.isnan(value)}, step=step)

    def on_train_end(self, trainer: Trainer) -> None:  # noqa: ARG002
        """End the run that the callback started."""
        import mlflow

        if self._is_own_run:
            mlflow.end_run()

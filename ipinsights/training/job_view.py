"""View of a training job: hooks for an object that displays the job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipinsights.training.callbacks import Callback

if TYPE_CHECKING:
    from pathlib import Path

    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.data.pairs import Pairs

__all__ = ["JobView"]


class JobView(Callback):
    """Callback with hooks before and after the training. Every hook is a no-op.

    Attributes
    ----------
    shows_log
        Whether the original's log goes to standard output.
    """

    shows_log = True

    def on_data_read(self, hyperparameters: Hyperparameters, train: Pairs) -> None:
        """Run when the training rows are read, before the network is built."""

    def on_model_saved(self, path: Path) -> None:
        """Run when the model is written."""

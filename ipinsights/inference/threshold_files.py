"""Files of the thresholds in a model directory, and references to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipinsights.data.files import is_file, is_folder
from ipinsights.errors import ClientError
from ipinsights.inference.scorers import DOT_PRODUCT, HISTORY
from ipinsights.inference.threshold import Threshold

if TYPE_CHECKING:
    from pathlib import Path

    from ipinsights.inference.scorers import Scorer

__all__ = ["THRESHOLD_FILES", "ThresholdReference", "default_path", "find_threshold", "replace_thresholds"]

THRESHOLD_FILES = {DOT_PRODUCT: "threshold.json", HISTORY: "threshold-history.json"}
"""Name of the file by scorer. A model with a history has a threshold for each."""


@dataclass(frozen=True)
class ThresholdReference:
    """Reference to the file of a threshold, for pickles: the calibration scores take some 8 KB."""

    path: Path  # absolute path of the file
    fingerprint: str  # that of the threshold

    @classmethod
    def of(cls, threshold: Threshold, path: Path) -> ThresholdReference | None:
        """Return a reference to a file, or None if it does not hold this very threshold."""
        try:
            is_same = Threshold.load(path).fingerprint == threshold.fingerprint
        except ClientError:
            return None
        return cls(path, threshold.fingerprint) if is_same else None

    def load(self) -> Threshold:
        """Read the threshold. It is a ClientError if the file is missing or holds another one now."""
        threshold = Threshold.load(self.path)
        if threshold.fingerprint != self.fingerprint:
            raise ClientError(
                f"{self.path} has changed since the model that refers to it was pickled. Load the model again with "
                "IPInsights.load."
            )
        return threshold


def default_path(model: Path, scorer: str = DOT_PRODUCT) -> Path:
    """Return the default path of a threshold, which is in the model directory."""
    if not is_folder(model):
        raise ClientError(f"{model} is no directory to store the threshold in: say where with `output`.")
    return model / THRESHOLD_FILES[scorer]


def find_threshold(model: Path, path: Path | None = None, scorer: str = DOT_PRODUCT) -> Threshold | None:
    """Return the threshold of a file, or by default of the model directory, or None."""
    if path is not None:
        return Threshold.load(path)
    default = model / THRESHOLD_FILES[scorer]
    return Threshold.load(default) if is_file(default) else None


def replace_thresholds(directory: Path, scorer: Scorer, threshold: Threshold | None) -> None:
    """Write the threshold of a model that was saved, and remove those of other models."""
    for name, file in THRESHOLD_FILES.items():
        if name == scorer.name or not _is_threshold_of(scorer, directory / file):
            (directory / file).unlink(missing_ok=True)
    if threshold is not None:
        threshold.save(directory / THRESHOLD_FILES[threshold.scorer])


def _is_threshold_of(scorer: Scorer, path: Path) -> bool:
    """Return whether a file holds a threshold that was made for the model of a scorer."""
    try:
        return Threshold.load(path).fits(scorer)
    except ClientError:
        return False

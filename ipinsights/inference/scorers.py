"""The scorers of a model by name: the faithful dot product, and the history."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from ipinsights.data.remote import staged
from ipinsights.errors import InvalidValueError
from ipinsights.inference.history_scorer import HistoryScorer
from ipinsights.inference.predictor import Predictor
from ipinsights.model import artifact

if TYPE_CHECKING:
    from ipinsights.model.artifact import Artifact

__all__ = ["DOT_PRODUCT", "HISTORY", "SCORERS", "Scorer", "as_scorer", "check_scorer", "load_scorer", "make_scorer"]

DOT_PRODUCT, HISTORY = Predictor.name, HistoryScorer.name
SCORERS = (DOT_PRODUCT, HISTORY)

Scorer: TypeAlias = Predictor | HistoryScorer
"""A scorer of (entity, address) pairs. Higher is more normal."""


def load_scorer(path: str | Path, name: str = DOT_PRODUCT) -> Scorer:
    """Open a model for one of the scorers."""
    with staged(path, "model") as local:
        return make_scorer(artifact.load(local), name)


def as_scorer(model: Any) -> Scorer:
    """Return the scorer of a model: of an estimator its own, of a path the dot product."""
    if isinstance(model, (str, Path)):
        return load_scorer(model)
    return model.scorer_ if hasattr(type(model), "scorer_") else model  # type: ignore[no-any-return]


def check_scorer(name: str) -> None:
    """Raise an error if the name is neither ``dot_product`` nor ``history``."""
    if name not in SCORERS:
        raise InvalidValueError(f"The scorer must be 'dot_product' or 'history'. Got '{name}'.")


def make_scorer(model: Artifact, name: str) -> Scorer:
    """Return the scorer of a model by name."""
    check_scorer(name)
    return HistoryScorer(model) if name == HISTORY else Predictor(model)

"""The scorers of a model by name: the faithful dot product, and the history."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from ipinsights.data.remote import staged
from ipinsights.errors import InvalidValueError
from ipinsights.inference.history_scorer import HistoryScorer
from ipinsights.inference.predictor import Predictor
from ipinsights.model import artifact
from ipinsights.model.history_settings import SCORER as HISTORY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipinsights.data.ipv6 import Addresses
    from ipinsights.model.artifact import Artifact

__all__ = [
    "DOT_PRODUCT",
    "HISTORY",
    "SCORERS",
    "Rows",
    "Scorer",
    "accepts_ipv6",
    "as_scorer",
    "check_scorer",
    "load_scorer",
    "make_scorer",
    "score_rows",
    "scorer_name",
]

DOT_PRODUCT = "dot_product"
"""Name of the network's score in options, columns and thresholds."""

SCORERS = (DOT_PRODUCT, HISTORY)

Scorer: TypeAlias = Predictor | HistoryScorer
"""A scorer of (entity, address) pairs. Higher is more normal."""


class Rows(Protocol):
    """Entities and addresses of some events, such as a block of a file."""

    @property
    def entities(self) -> NDArray[np.uint64]:
        """Entity hashes, shape (n,)."""

    @property
    def ips(self) -> NDArray[np.uint32]:
        """IPv4 addresses, shape (n,)."""

    @property
    def addresses(self) -> Addresses | None:
        """Addresses of both families, (n,). None if all are IPv4."""


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


def scorer_name(scorer: Scorer) -> str:
    """Return the name of a scorer, which is also that of its output column."""
    return HISTORY if isinstance(scorer, HistoryScorer) else DOT_PRODUCT


def accepts_ipv6(scorer: Scorer) -> bool:
    """Return whether a scorer can score IPv6 addresses."""
    return isinstance(scorer, HistoryScorer) and scorer.accepts_ipv6


def score_rows(scorer: Scorer, rows: Rows) -> NDArray[np.float32]:
    """Return the score of each row, of both address families, shape (n,)."""
    if rows.addresses is None or not isinstance(scorer, HistoryScorer):
        return scorer.score(rows.entities, rows.ips)
    is_ipv6 = rows.addresses.is_ipv6
    scores = np.empty(len(is_ipv6), dtype=np.float32)
    scores[~is_ipv6] = scorer.score(rows.entities[~is_ipv6], rows.ips[~is_ipv6])
    scores[is_ipv6] = scorer.score_ipv6(rows.entities[is_ipv6], rows.addresses.upper[is_ipv6])
    return scores

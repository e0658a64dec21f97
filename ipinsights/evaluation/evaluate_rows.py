"""Evaluation of a model, an estimator or a path, on rows in memory of one address family."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipinsights.data.both_families import split_families
from ipinsights.data.frames import read_rows
from ipinsights.data.remote import staged
from ipinsights.errors import InvalidValueError
from ipinsights.evaluation.ipv6_protocol import evaluate_ipv6
from ipinsights.evaluation.labelled_events import as_test_set
from ipinsights.evaluation.protocol import evaluate_ipv4
from ipinsights.evaluation.results import HISTORY, MODEL
from ipinsights.inference.history_scorer import HistoryScorer
from ipinsights.inference.predictor import Predictor
from ipinsights.inference.scorers import as_scorer
from ipinsights.model import artifact

if TYPE_CHECKING:
    from ipinsights.data.ipv6 import Ipv6Pairs
    from ipinsights.data.pairs import Pairs
    from ipinsights.evaluation.results import Evaluation, TestSet
    from ipinsights.model.artifact import Artifact
    from ipinsights.synthetic.ip_ranges import Ranges

__all__ = ["Scorers", "evaluate", "evaluate_family"]

_FAMILIES = ("IPv4", "IPv6")


def evaluate(
    model: Any,
    train: Any,
    test: Any,
    *,
    calibration: Any = None,
    ranges: Ranges | None = None,
    seed: int = 0,
    progress: bool = False,
    family: str = "IPv4",
) -> Evaluation:
    """Measure how well a model detects attackers, next to baselines that count.

    A model that keeps a history is measured by both scorers, and by the history without the network.

    Parameters
    ----------
    model
        A fitted :class:`~ipinsights.IPInsights`, whose scorer the headline is about, or the path of a model, of which
        it is about the dot product.
    train
        Training data of the model: a DataFrame, an array, a list of pairs or a path.
    test
        Later events. A column ``label``, or a third one, may be 1 for a known attack and 0 for an ordinary event.
    calibration
        Ordinary events between the two, for thresholds whose alerts are then counted in the test. None for no alerts.
    ranges
        Announced ranges for the attacker who comes from them. None for no such attacker.
    seed
        Seed of every random draw.
    progress
        Show a bar on a terminal while files are read.
    family
        Address family of the rows that are evaluated, ``IPv4`` or ``IPv6``. Rows of the other family are left out. IPv6
        needs a model that was trained with it.

    Returns
    -------
    Evaluation
        Tables of metrics with 95 % intervals, by attacker and slice of the events.

    Raises
    ------
    ClientError
        There are too few events of entities that training saw, or the model knows no IPv6.

    Examples
    --------
    >>> import ipinsights
    >>> train = [(f"user_{n % 9}", f"10.{n % 9}.{n % 7}.{n}") for n in range(200)]
    >>> model = ipinsights.IPInsights(epochs=5, progress=False).fit(train)
    >>> evaluation = ipinsights.evaluate(model, train, train)
    >>> evaluation.slices["all"]
    200
    """
    scorers = _opened(model)
    ipv6 = scorers.accept_ipv6
    if family not in _FAMILIES:
        raise InvalidValueError(f"The family must be 'IPv4' or 'IPv6'. Got '{family}'.")
    if family == "IPv6" and not ipv6:
        raise InvalidValueError("This model was trained without IPv6. Train it with ipv6 to evaluate IPv6 addresses.")
    rows = _read(train, "train", progress=progress, ipv6=ipv6)
    if not rows[_FAMILIES.index(family)]:
        raise InvalidValueError(f"train has no {family} rows. Give training rows of the family that is evaluated.")
    before = None if calibration is None else _read(calibration, "calibration", progress=progress, ipv6=ipv6)
    events = as_test_set(test, ipv6=ipv6)
    return evaluate_family(family, scorers, rows, events, calibration=before, ranges=ranges, seed=seed)


@dataclass(frozen=True)
class Scorers:
    """The scorers of a model that are measured."""

    network: Predictor
    history: HistoryScorer | None
    main: str  # the scorer that the headline is about, ``model`` or ``history``

    @classmethod
    def of(cls, model: Artifact, main: str = MODEL) -> Scorers:
        """Return the scorers of a model. A main scorer ``history`` needs a model with a history."""
        has_history = model.history is not None or main == HISTORY
        return cls(Predictor(model), HistoryScorer(model) if has_history else None, main)

    @property
    def accept_ipv6(self) -> bool:
        """Whether one of the scorers has scores of IPv6 addresses."""
        return self.history is not None and self.history.accepts_ipv6


def evaluate_family(
    family: str,
    scorers: Scorers,
    train: tuple[Pairs, Ipv6Pairs | None],
    test: TestSet,
    *,
    calibration: tuple[Pairs, Ipv6Pairs | None] | None,
    ranges: Ranges | None,
    seed: int,
) -> Evaluation:
    """Evaluate a model on the rows of one address family, given the IPv4 and the IPv6 rows."""
    before, before_ipv6 = calibration or (None, None)
    if family == "IPv4":
        return evaluate_ipv4(
            scorers.network, train[0], test, calibration=before, ranges=ranges, seed=seed, history=scorers.history,
            main_scorer=scorers.main,
        )  # fmt: skip
    assert scorers.history is not None
    assert train[1] is not None
    return evaluate_ipv6(scorers.history, train[1], test, calibration=before_ipv6, seed=seed)


def _read(data: Any, name: str, *, progress: bool, ipv6: bool) -> tuple[Pairs, Ipv6Pairs]:
    return split_families(read_rows(data, name=name, progress=progress, ipv6=ipv6).pairs)


def _opened(model: Any) -> Scorers:
    if isinstance(model, (str, Path)):
        with staged(model, "model") as path:
            return Scorers.of(artifact.load(path))
    scorer = as_scorer(model)
    if isinstance(scorer, HistoryScorer):
        return Scorers(scorer.predictor, scorer, HISTORY)
    kept = getattr(model, "artifact_", None)
    return Scorers(scorer, None if kept is None or kept.history is None else HistoryScorer(kept), MODEL)

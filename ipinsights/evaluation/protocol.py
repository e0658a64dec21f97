"""The protocol: compare model and baselines against attackers of growing strength, by slice.

What counts as ordinary are the test's events of entities that training saw. Training, calibration and test follow each
other in time. Metrics come with 95 % intervals, resampled over entities.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from ipinsights.data.pairs import Pairs
from ipinsights.errors import ClientError
from ipinsights.evaluation.attackers import Pairing, draw_attacks
from ipinsights.evaluation.baselines import BASELINES, CONTROL, TrainingCounts, baseline_scores
from ipinsights.evaluation.detection import TPR_FPRS, EntityBootstrap, RocCurve, interval
from ipinsights.evaluation.prefix_counts import PrefixCounts
from ipinsights.evaluation.results import (
    AWS_RECIPE,
    GIVEN_ATTACKS,
    HEADLINE_METRIC,
    HISTORY,
    HISTORY_ALONE,
    MODEL,
    Evaluation,
)
from ipinsights.model.history_settings import NETWORK_WEIGHT
from ipinsights.model.sampling import random_ips

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from ipinsights.data.ipv6 import Ipv6Pairs
    from ipinsights.evaluation.attackers import Attack
    from ipinsights.evaluation.results import TestSet
    from ipinsights.inference.history_scorer import HistoryScorer
    from ipinsights.inference.predictor import Predictor
    from ipinsights.synthetic.ip_ranges import Ranges

    Scores = Mapping[str, NDArray[np.float32]]
    Rows = Pairs | Ipv6Pairs

__all__ = ["ProtocolRun", "evaluate_ipv4"]

_NOT_BASELINES = (MODEL, HISTORY, HISTORY_ALONE, CONTROL)
# With fewer ordinary events a slice says nothing at an FPR of 1 %.
_MIN_ROWS = 100
# Points of a curve that a plot needs: even, and dense at low FPR.
_PLOTTED_FPRS = np.unique(np.concatenate([np.geomspace(1e-4, 1, 150), np.linspace(0, 1, 51)]))
_PLOTTED_SHARES = np.linspace(0.0005, 0.9995, 1000)


def evaluate_ipv4(
    predictor: Predictor,
    train: Pairs,
    test: TestSet,
    *,
    calibration: Pairs | None = None,
    ranges: Ranges | None = None,
    seed: int = 0,
    history: HistoryScorer | None = None,
    main_scorer: str = MODEL,
) -> Evaluation:
    """Evaluate a model on IPv4 rows, see :func:`ipinsights.evaluate`.

    The headline and the differences are about the main scorer, ``model`` or ``history``. Raise a ClientError if there
    are too few events of entities that training saw.
    """
    run = ProtocolRun(predictor, PrefixCounts(train), seed, history, main_scorer, ranges)
    return run.measure(test.ordinary, calibration, test.attacks)


class ProtocolRun:
    """One evaluation. Subclasses replace what depends on the address family."""

    _family = "IPv4"
    _baselines = BASELINES
    # Lengths of networks, by the slice of events on networks that are new for the entity.
    _new_networks: ClassVar[Mapping[str, int]] = {"new address": 32, "new /24": 24}

    def __init__(
        self,
        predictor: Predictor,
        history: PrefixCounts,
        seed: int,
        scorer: HistoryScorer | None,
        main_scorer: str,
        ranges: Ranges | None = None,
    ) -> None:
        self._predictor = predictor
        self._history = history
        self._scorer = scorer
        self._main_scorer = main_scorer
        self._ranges = ranges
        self._rng = np.random.default_rng(seed)
        self._bootstrap = EntityBootstrap(len(history.entities), rng=self._rng)
        self._detection: list[dict[str, Any]] = []
        self._differences: list[dict[str, Any]] = []
        self._curves: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
        self._densities: dict[str, NDArray[np.float32]] = {}

    def measure(self, test: Rows, calibration: Rows | None, attacks: Rows) -> Evaluation:
        """Return everything that is measured on ordinary events of the test and of the calibration.

        ``attacks`` are those that the test has itself.
        """
        ordinary = self._known(test)
        if len(ordinary) < _MIN_ROWS:
            raise ClientError(
                f"The test has {len(ordinary)} events of entities that training saw: at least {_MIN_ROWS} are needed."
            )
        scores = self._scores(ordinary)
        slices = self._slices(ordinary)
        ready = {name: _Ordinary(self._bootstrap, ordinary, scores, chosen) for name, chosen in slices.items()}
        self._densities["ordinary"] = _quantiles(scores[self._main_scorer])
        facts = self._facts(len(test), ordinary)
        given = self._known(attacks)
        if len(given) < len(attacks):
            facts["labelled_attacks_of_unknown_entities"] = len(attacks) - len(given)
        for attack in self._attacks(ordinary):
            facts["attacks_removed"][attack.name] = attack.num_removed
            attack_scores = self._scores(attack.pairs)
            for name, part in ready.items():
                self._measure(attack.name, name, part, attack.pairs, attack_scores, slices[name][attack.victims])
        for name, pairs in {GIVEN_ATTACKS: given, **self._aws_attacks(len(ordinary))}.items():
            # Their victims are not matched.
            self._measure(name, "all", ready["all"], pairs, self._scores(pairs), np.ones(len(pairs), dtype=bool))
        return Evaluation(
            facts=facts,
            slices={name: int(chosen.sum()) for name, chosen in slices.items()},
            detection=pd.DataFrame(self._detection),
            differences=pd.DataFrame(self._differences),
            alerts=pd.DataFrame(self._alerts(calibration, ready)),
            main_scorer=self._main_scorer,
            family=self._family,
            curves=self._curves,
            densities=self._densities,
        )

    def _known(self, rows: Rows) -> Pairing:
        """Return the pairs of entities that occur in training, sorted for fast look-up."""
        numbers = self._history.numbers(rows.entities)
        known = numbers >= 0
        ips = rows.ips if isinstance(rows, Pairs) else np.column_stack([rows.upper, rows.lower])
        pairs = Pairing(numbers[known], ips[known])
        return pairs[np.lexsort((pairs.upper, pairs.numbers))]

    def _scores(self, pairs: Pairing) -> Scores:
        seen = TrainingCounts.look_up(self._history, pairs.numbers, pairs.upper)
        of_models = self._model_scores(self._history.entities[pairs.numbers], pairs.upper)
        return {**of_models, **baseline_scores(seen, self._baselines)}

    def _model_scores(self, entities: NDArray[np.uint64], ips: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        of_model = self._predictor.score(entities, ips)
        if self._scorer is None:
            return {MODEL: of_model}
        alone = self._scorer.log_ratios(entities, ips)
        weight = np.float32(NETWORK_WEIGHT) * self._scorer.entity_known(entities)
        return {MODEL: of_model, HISTORY: alone + weight * of_model, HISTORY_ALONE: alone}

    def _slices(self, ordinary: Pairing) -> dict[str, NDArray[np.bool_]]:
        """Return a mask of the ordinary events of each slice that is large enough."""
        low, high = self._history.rows_of(ordinary.numbers)
        num_rows = high - low
        slices = {
            "all": np.ones(len(ordinary), dtype=bool),
            **{
                name: self._history.counts(ordinary.numbers, ordinary.upper, length) == 0
                for name, length in self._new_networks.items()
            },
            "entity seen once": num_rows == 1,
            "entity seen 2 to 5 times": (num_rows >= 2) & (num_rows <= 5),  # noqa: PLR2004
            "entity seen 6 to 20 times": (num_rows >= 6) & (num_rows <= 20),  # noqa: PLR2004
            "entity seen over 20 times": num_rows > 20,  # noqa: PLR2004
        }
        return {name: chosen for name, chosen in slices.items() if chosen.sum() >= _MIN_ROWS}

    def _attacks(self, ordinary: Pairing) -> list[Attack]:
        return draw_attacks(self._history, ordinary, ranges=self._ranges, rng=self._rng)

    def _facts(self, num_rows: int, ordinary: Pairing) -> dict[str, Any]:
        return {
            "train_rows": len(self._history),
            "train_entities": len(self._history.entities),
            "train_entities_unknown_to_model": int((~self._predictor.entity_known(self._history.entities)).sum()),
            "test_rows": num_rows,
            "test_rows_of_unknown_entities": num_rows - len(ordinary),
            "attacks_removed": {},
        }

    def _aws_attacks(self, size: int) -> dict[str, Pairing]:
        """Return the attacks of AWS's recipe."""
        victims = np.sort(self._rng.integers(len(self._history.entities), size=size))
        anywhere = self._ranges.draw_anywhere if self._ranges is not None else random_ips
        return {AWS_RECIPE: Pairing(victims, anywhere(size, rng=self._rng))}

    def _measure(
        self,
        attacker: str,
        slice_name: str,
        part: _Ordinary,
        attacks: Pairing,
        scores: Scores,
        chosen: NDArray[np.bool_],
    ) -> None:
        """Note every metric of every scorer, and how far the model is from the best baseline."""
        if not chosen.any():
            return
        found: dict[str, tuple[float, NDArray[np.float64]]] = {}
        for scorer, of_attacks in scores.items():
            curve = RocCurve.of(part.scores[scorer], of_attacks[chosen])
            deviations = part.deviations(scorer, attacks.numbers[chosen], of_attacks[chosen])
            for metric, value in curve.metrics().items():
                low, high = np.clip(interval(float(value), deviations[metric]), 0, 1).tolist()
                self._detection.append(
                    {"attacker": attacker, "slice": slice_name, "scorer": scorer, "metric": metric}
                    | {"value": float(value), "low": low, "high": high}
                )
            found[scorer] = float(curve.tpr_at(TPR_FPRS[HEADLINE_METRIC])), deviations[HEADLINE_METRIC]
            if slice_name == "all":
                tpr = np.interp(_PLOTTED_FPRS, curve.fpr, curve.tpr)
                self._curves.setdefault(attacker, {})[scorer] = _PLOTTED_FPRS.tolist(), tpr.tolist()
        if slice_name == "all":
            self._densities[attacker] = _quantiles(scores[self._main_scorer])
        self._differences.append({"attacker": attacker, "slice": slice_name, **_difference(found, self._main_scorer)})

    def _alerts(self, calibration: Rows | None, ready: Mapping[str, _Ordinary]) -> Iterator[dict[str, Any]]:
        """Yield the alerts per 1,000 ordinary test events at thresholds from the calibration rows."""
        if calibration is None:
            return
        for scorer, scores in self._scores(self._known(calibration)).items():
            calibrated = np.sort(scores)
            for fpr in TPR_FPRS.values():
                rank = int(fpr * (len(calibrated) + 1))
                for name, part in ready.items() if rank else ():
                    share = np.searchsorted(part.scores[scorer], calibrated[rank - 1]) / len(part.scores[scorer])
                    yield {"scorer": scorer, "slice": name, "fpr": fpr, "alerts_per_1000": 1000 * float(share)}


class _Ordinary:
    """A slice of ordinary events, made ready once for all attackers."""

    def __init__(self, bootstrap: EntityBootstrap, pairs: Pairing, scores: Scores, chosen: NDArray[np.bool_]) -> None:
        self._bootstrap = bootstrap
        # ascending, (number of events in the slice,)
        self.scores = {name: np.sort(values[chosen]) for name, values in scores.items()}
        self._edges = {name: bootstrap.edges(values) for name, values in self.scores.items()}
        self._histograms = {
            name: bootstrap.histograms(pairs.numbers[chosen], scores[name][chosen], edges)
            for name, edges in self._edges.items()
        }

    def deviations(
        self, scorer: str, numbers: NDArray[np.int64], attacks: NDArray[np.float32]
    ) -> Mapping[str, NDArray[np.float64]]:
        """Return the deviations of each metric in the resamples, (num_resamples,) each."""
        resampled = self._bootstrap.histograms(numbers, attacks, self._edges[scorer])
        return self._bootstrap.metrics(self._histograms[scorer], resampled)


def _difference(found: Mapping[str, tuple[float, NDArray[np.float64]]], main_scorer: str) -> dict[str, Any]:
    """Compare the main scorer with the best baseline, resample by resample."""
    best = max((name for name in found if name not in _NOT_BASELINES), key=lambda name: found[name][0])
    (ours, our_deviations), (theirs, their_deviations) = found[main_scorer], found[best]
    low, high = interval(ours - theirs, our_deviations - their_deviations)
    return {"best_baseline": best, "difference": ours - theirs, "low": low, "high": high}


def _quantiles(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.quantile(scores, _PLOTTED_SHARES).astype(np.float32)

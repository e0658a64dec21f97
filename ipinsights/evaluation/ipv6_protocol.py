"""The protocol for IPv6, which compares the history and the baselines.

The network scores IPv4 addresses only and is left out.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ipinsights.evaluation.baselines import CONTROL
from ipinsights.evaluation.detection import TPR_FPRS, RocCurve
from ipinsights.evaluation.ipv6_attackers import Ipv6Pairing, draw_ipv6_attacks
from ipinsights.evaluation.ipv6_prefix_counts import Ipv6PrefixCounts
from ipinsights.evaluation.protocol import ProtocolRun
from ipinsights.evaluation.results import HISTORY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ipinsights.data.ipv6 import Ipv6Pairs
    from ipinsights.data.pairs import Pairs
    from ipinsights.evaluation.attackers import Attack, Pairing
    from ipinsights.evaluation.results import Evaluation
    from ipinsights.inference.history_scorer import HistoryScorer
    from ipinsights.synthetic.ip_ranges import Ranges

__all__ = ["FAMILIES", "evaluate_ipv6"]

FAMILIES = "both families: other entities' IPv6 addresses"
ONLY_IPV4 = f"{FAMILIES}, of victims who only used IPv4"
_LENGTHS = (0, 16, 24, 32, 40, 48, 56, 64)


def evaluate_ipv6(
    scorer: HistoryScorer,
    train: Ipv6Pairs,
    test: Ipv6Pairs,
    *,
    ipv4: Pairs | None = None,
    calibration: Ipv6Pairs | None = None,
    seed: int = 0,
) -> Evaluation:
    """Evaluate a history on IPv6 rows.

    Parameters
    ----------
    scorer
        Scorer of the model.
    train, test
        IPv6 rows that the model was trained on, and later ones.
    ipv4
        Ordinary IPv4 events of the test, for attackers who change the address family. None to leave them out.
    calibration
        Ordinary IPv6 events between the two.
    seed
        Seed of every random draw.

    Raises
    ------
    ClientError
        There are too few events of entities that training saw.
    """
    run = _Ipv6Run(scorer, Ipv6PrefixCounts(train), seed)
    evaluation = run.run_ipv6(test, calibration)
    if ipv4 is not None and len(ipv4):
        evaluation.families = pd.DataFrame(run.across_families(ipv4, test))
    return evaluation


class _Ipv6Run(ProtocolRun):
    """One evaluation on IPv6 rows."""

    _history: Ipv6PrefixCounts

    def __init__(self, scorer: HistoryScorer, history: Ipv6PrefixCounts, seed: int) -> None:
        super().__init__(scorer.predictor, history, seed, scorer, HISTORY)
        self._history_scorer = scorer

    def run_ipv6(self, test: Ipv6Pairs, calibration: Ipv6Pairs | None) -> Evaluation:
        """Return everything that is measured."""
        before = None if calibration is None else self._known_ipv6(calibration)
        evaluation = self.measure(self._known_ipv6(test), before, num_rows=len(test))
        evaluation.family = "IPv6"
        return evaluation

    def across_families(self, ipv4: Pairs, test: Ipv6Pairs) -> Iterator[dict[str, Any]]:
        """Yield the shares of attacks from IPv6 detected, with ordinary events of both families."""
        history, scorer = self._history_scorer.history, self._history_scorer
        known_ipv4 = ipv4[scorer.entity_known(ipv4.entities)]
        known_ipv6 = test[scorer.entity_known(test.entities)]
        ordinary = np.concatenate([
            scorer.score(known_ipv4.entities, known_ipv4.ips),
            scorer.score_ipv6(known_ipv6.entities, known_ipv6.upper),
        ])  # fmt: skip
        victims = history.numbers(np.concatenate([known_ipv4.entities, known_ipv6.entities]))
        owners, upper = self._history.row(self._rng.integers(len(self._history), size=len(victims)))
        is_other = self._history.entities[owners] != history.entities[victims]
        attacks = scorer.score_ipv6(history.entities[victims], upper)
        assert history.ipv6 is not None
        only_ipv4 = np.diff(history.ipv6.starts.astype(np.int64))[victims] == 0
        for name, chosen in ((FAMILIES, is_other), (ONLY_IPV4, is_other & only_ipv4)):
            if chosen.any():
                curve = RocCurve.of(np.sort(ordinary), attacks[chosen])
                rates = {metric: float(curve.tpr_at(fpr)) for metric, fpr in TPR_FPRS.items()}
                yield {"attacker": name, "attacks": int(chosen.sum()), **rates}

    def _known_ipv6(self, pairs: Ipv6Pairs) -> Ipv6Pairing:
        numbers = self._history.numbers(pairs.entities)
        known = numbers >= 0
        order = np.lexsort((pairs.upper[known], numbers[known]))
        return Ipv6Pairing(numbers[known][order], pairs.upper[known][order], pairs.lower[known][order])

    def _scores(self, pairs: Pairing) -> dict[str, NDArray[np.float32]]:
        entities = self._history.entities[pairs.numbers]
        upper = pairs.ips.astype(np.uint64)
        return {HISTORY: self._history_scorer.score_ipv6(entities, upper), **self._baselines(pairs.numbers, upper)}

    def _baselines(self, numbers: NDArray[np.int64], upper: NDArray[np.uint64]) -> dict[str, NDArray[np.float32]]:
        counts = {length: self._history.counts(numbers, upper, length) for length in _LENGTHS[1:]}
        low, high = self._history.rows_of(numbers)
        counts[0] = high - low
        found: dict[str, NDArray[Any]] = {f"/{length} seen": counts[length] > 0 for length in (64, 48, 32)}
        found["longest prefix"] = self._history.longest_prefix(numbers, upper)
        found["Witten-Bell counts"] = self._witten_bell(numbers, upper, counts)
        found["popularity of the /48"] = np.log1p(self._history.crowd_counts(upper, 48))
        found[CONTROL] = np.log(counts[0])
        return {name: values.astype(np.float32) for name, values in found.items()}

    def _witten_bell(
        self, numbers: NDArray[np.int64], upper: NDArray[np.uint64], counts: dict[int, NDArray[np.int64]]
    ) -> NDArray[np.float64]:
        """Return the log density as :func:`ipinsights.evaluation.baselines.witten_bell` does."""
        log_density = np.zeros(len(upper))
        for parent, length in itertools.pairwise(_LENGTHS):
            inside = self._history.num_children(numbers, upper, parent, length)
            total = counts[parent] + inside
            growth = (2.0 ** (length - parent) * counts[length] + inside) / np.maximum(total, 1)
            log_density += np.log(np.where(total > 0, growth, 1))
        return log_density

    def _slices(self, ordinary: Pairing) -> dict[str, NDArray[np.bool_]]:
        upper = ordinary.ips.astype(np.uint64)
        new = {f"new /{length}": self._history.counts(ordinary.numbers, upper, length) == 0 for length in (64, 48, 32)}
        return self._large_enough(ordinary, new)

    def _attacks(self, ordinary: Pairing, ranges: Ranges | None) -> list[Attack]:  # noqa: ARG002
        assert isinstance(ordinary, Ipv6Pairing)
        return draw_ipv6_attacks(self._history, ordinary, rng=self._rng)

"""The protocol for IPv6, which compares the history and the baselines.

The network scores IPv4 addresses only and is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from ipinsights.evaluation.baselines import IPV6_BASELINES
from ipinsights.evaluation.detection import TPR_FPRS, RocCurve
from ipinsights.evaluation.ipv6_attackers import draw_ipv6_attacks
from ipinsights.evaluation.prefix_counts import Ipv6PrefixCounts
from ipinsights.evaluation.protocol import ProtocolRun
from ipinsights.evaluation.results import GIVEN_ATTACKS, HISTORY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from ipinsights.data.ipv6 import Ipv6Pairs
    from ipinsights.evaluation.attackers import Attack, Pairing
    from ipinsights.evaluation.results import Evaluation, TestSet
    from ipinsights.inference.history_scorer import HistoryScorer

__all__ = ["FAMILIES", "GIVEN_FAMILIES", "ONLY_IPV4", "evaluate_ipv6"]

FAMILIES = "both families: other entities' IPv6 addresses"
GIVEN_FAMILIES = f"both families: {GIVEN_ATTACKS} from IPv6"
ONLY_IPV4 = ", of victims who only used IPv4"


def evaluate_ipv6(
    scorer: HistoryScorer,
    train: Ipv6Pairs,
    test: TestSet,
    *,
    calibration: Ipv6Pairs | None = None,
    seed: int = 0,
) -> Evaluation:
    """Evaluate a history on IPv6 rows.

    Attackers who change the address family are measured if the test has ordinary IPv4 events.
    """
    run = _Ipv6Run(scorer, Ipv6PrefixCounts(train), seed)
    evaluation = run.measure(test.ipv6, calibration, test.attacks_ipv6)
    if len(test.ordinary):
        evaluation.families = pd.DataFrame(run.across_families(test))
    return evaluation


class _Ipv6Run(ProtocolRun):
    _family = "IPv6"
    _baselines = IPV6_BASELINES
    _new_networks: ClassVar[Mapping[str, int]] = {"new /64": 64, "new /48": 48, "new /32": 32}
    _history: Ipv6PrefixCounts
    _scorer: HistoryScorer

    def __init__(self, scorer: HistoryScorer, history: Ipv6PrefixCounts, seed: int) -> None:
        super().__init__(scorer.predictor, history, seed, scorer, HISTORY)

    def across_families(self, test: TestSet) -> Iterator[dict[str, Any]]:
        """Yield the shares of attacks from IPv6 detected, with ordinary events of both families.

        The attacks that the test has itself come first.
        """
        history, scorer = self._scorer.history, self._scorer
        known_ipv4 = test.ordinary[scorer.entity_known(test.ordinary.entities)]
        known_ipv6 = test.ipv6[scorer.entity_known(test.ipv6.entities)]
        ordinary = np.concatenate([
            scorer.score(known_ipv4.entities, known_ipv4.ips),
            scorer.log_ratios(known_ipv6.entities, known_ipv6.upper),
        ])  # fmt: skip
        known = test.attacks_ipv6[scorer.entity_known(test.attacks_ipv6.entities)]
        yield from self._caught(GIVEN_FAMILIES, ordinary, history.numbers(known.entities), known.upper)
        victims = history.numbers(np.concatenate([known_ipv4.entities, known_ipv6.entities]))
        owners, upper = self._history.row(self._rng.integers(len(self._history), size=len(victims)))
        is_other = self._history.entities[owners] != history.entities[victims]
        yield from self._caught(FAMILIES, ordinary, victims[is_other], upper[is_other])

    def _caught(
        self, attacker: str, ordinary: NDArray[np.float32], victims: NDArray[np.int64], upper: NDArray[np.uint64]
    ) -> Iterator[dict[str, Any]]:
        """Yield the shares of attacks detected, of all and by victims who only used IPv4.

        Victims are numbers in the history. Without any attack nothing is yielded.
        """
        history = self._scorer.history
        assert history.ipv6 is not None
        scores = self._scorer.log_ratios(history.entities[victims], upper)
        only_ipv4 = np.diff(history.ipv6.starts.astype(np.int64))[victims] == 0
        for name, chosen in ((attacker, np.ones_like(only_ipv4)), (f"{attacker}{ONLY_IPV4}", only_ipv4)):
            if chosen.any():
                curve = RocCurve.of(np.sort(ordinary), scores[chosen])
                rates = {metric: float(curve.tpr_at(fpr)) for metric, fpr in TPR_FPRS.items()}
                yield {"attacker": name, "attacks": int(chosen.sum()), **rates}

    def _model_scores(self, entities: NDArray[np.uint64], ips: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        return {HISTORY: self._scorer.log_ratios(entities, ips)}

    def _attacks(self, ordinary: Pairing) -> list[Attack]:
        return draw_ipv6_attacks(self._history, ordinary, rng=self._rng)

    def _aws_attacks(self, size: int) -> dict[str, Pairing]:  # noqa: ARG002
        """Return nothing: AWS's recipe has no IPv6."""
        return {}

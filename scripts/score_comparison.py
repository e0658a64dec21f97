"""Scores of the same pairs by two models, or by the original and by us.

A score is a dot product, higher is more normal: a pair is flagged when its score is below the threshold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ipinsights.errors import ClientError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from score_reader import Labels, Scores

__all__ = ["ScoreComparison", "compare_scores"]

_QUANTILES = (0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
_FALSE_POSITIVE_RATES = (0.001, 0.01, 0.05)


@dataclass(frozen=True)
class ScoreComparison:
    """Two files of scores for the same n pairs.

    Attributes
    ----------
    first, second
        The scores.
    thresholds
        Below which each flags a pair.
    is_attack
        Shape (n,), None without labels.
    pairs
        Columns ``entity`` and ``ip``, None where no file holds them.
    """

    first: Scores
    second: Scores
    thresholds: tuple[float, float]
    is_attack: NDArray[np.bool_] | None
    pairs: pd.DataFrame | None

    @property
    def both(self) -> tuple[Scores, Scores]:
        """The two."""
        return self.first, self.second

    def agreement(self) -> dict[str, float]:
        """Return measures of agreement.

        A correlation is NaN if all scores of a file are the same.
        """
        from scipy import stats

        first, second = self.first.dot_products, self.second.dot_products
        varies = bool(np.ptp(first) > 0 and np.ptp(second) > 0)
        difference = np.abs(second - first)
        return {
            "rank correlation (Spearman)": float(stats.spearmanr(first, second)[0]) if varies else math.nan,
            "linear correlation (Pearson)": float(np.corrcoef(first, second)[0, 1]) if varies else math.nan,
            "distance of distributions (KS)": float(stats.ks_2samp(first, second, method="asymp").statistic),
            "mean absolute difference": float(difference.mean()),
            "largest absolute difference": float(difference.max()),
        }

    def distribution(self) -> pd.DataFrame:
        """Return mean, standard deviation and quantiles, one row each, one column per file."""
        columns = {}
        for position, scores in enumerate(self.both):
            moments = {"mean": scores.dot_products.mean(), "standard deviation": scores.dot_products.std()}
            quantiles = dict(zip(_QUANTILES, np.quantile(scores.dot_products, _QUANTILES), strict=True))
            columns[position] = {**moments, **{f"quantile {share:g}": value for share, value in quantiles.items()}}
        return pd.DataFrame(columns)

    def flagged(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return a mask of the flagged pairs for each file, shape (n,)."""
        first, second = self.thresholds
        return self.first.dot_products < first, self.second.dot_products < second

    def flags(self) -> dict[str, int]:
        """Return the number of pairs that are flagged by both files, by only one, and by none."""
        first, second = self.flagged()
        return {
            "flagged by both": int((first & second).sum()),
            "flagged by the first only": int((first & ~second).sum()),
            "flagged by the second only": int((~first & second).sum()),
            "flagged by none": int((~first & ~second).sum()),
        }

    def detection(self) -> pd.DataFrame | None:
        """Return the detection metrics, one column per file, None without labels."""
        if self.is_attack is None:
            return None
        pairs = zip(self.both, self.flagged(), strict=True)
        columns = {
            position: _detection(scores.dot_products, flagged, self.is_attack)
            for position, (scores, flagged) in enumerate(pairs)
        }
        return pd.DataFrame(columns)

    def disagreements(self, limit: int) -> pd.DataFrame:
        """Return the pairs that only one file flags, largest difference of scores first.

        Rows are numbered from 1.
        """
        first, second = self.flagged()
        rows = np.flatnonzero(first != second)
        gaps = np.abs(self.second.dot_products - self.first.dot_products)[rows]
        rows = rows[np.argsort(-gaps, kind="stable")][:limit]
        columns: dict[str, Any] = {"row": rows + 1}
        if self.pairs is not None:
            columns |= {name: self.pairs[name].to_numpy()[rows] for name in ("entity", "ip")}
        columns |= {"first": self.first.dot_products[rows], "second": self.second.dot_products[rows]}
        if self.is_attack is not None:
            columns["is attack"] = self.is_attack[rows]
        return pd.DataFrame(columns)

    def to_json(self, limit: int) -> dict[str, Any]:
        """Return all results as values for JSON."""
        detection = self.detection()
        return {
            "first": self.first.name,
            "second": self.second.name,
            "num_pairs": len(self.first.dot_products),
            "thresholds": list(self.thresholds),
            "agreement": self.agreement(),
            "distribution": _by_file(self.distribution()),
            "flags": self.flags(),
            "detection": None if detection is None else _by_file(detection),
            "disagreements": self.disagreements(limit).to_dict("records"),
        }


def _by_file(table: pd.DataFrame) -> dict[str, Any]:
    return {str(name): {"first": float(row.iloc[0]), "second": float(row.iloc[1])} for name, row in table.iterrows()}


def _detection(
    scores: NDArray[np.float64], flagged: NDArray[np.bool_], is_attack: NDArray[np.bool_]
) -> dict[str, float]:
    from sklearn.metrics import roc_auc_score, roc_curve

    false_positives, recalls, _ = roc_curve(is_attack, -scores, drop_intermediate=False)
    at_rates = {
        f"recall at {rate:.1%} false positives": float(recalls[false_positives <= rate].max())
        for rate in _FALSE_POSITIVE_RATES
    }
    return {
        "AUC": float(roc_auc_score(is_attack, -scores)),
        **at_rates,
        "recall below the threshold": float(flagged[is_attack].mean()),
        "false positive rate below the threshold": float(flagged[~is_attack].mean()),
        "precision below the threshold": float(is_attack[flagged].mean()) if flagged.any() else math.nan,
    }


def compare_scores(
    first: Scores,
    second: Scores,
    labels: Labels | None = None,
    *,
    threshold: float = 0.0,
    flag_rate: float | None = None,
) -> ScoreComparison:
    """Lay two files of scores side by side.

    Parameters
    ----------
    first, second
        Of the same pairs in the same order.
    labels
        Of these pairs.
    threshold
        A pair is flagged when its score is below.
    flag_rate
        Instead of the threshold, in (0, 1): each file flags this share of its lowest scores. It is what to take for
        models whose scores are on different scales.

    Raises
    ------
    ClientError
        The files are not of the same pairs.
    """
    given = [(scores.name, len(scores.dot_products), scores.pairs) for scores in (first, second)]
    if labels is not None:
        given.append(("the file of labels", len(labels.is_attack), labels.pairs))
    for name, num_rows, _ in given[1:]:
        if num_rows != given[0][1]:
            raise ClientError(f"{first.name} holds {given[0][1]:,} scores and {name} {num_rows:,} rows: "
                              "both must be for the same pairs in the same order.")  # fmt: skip
    named = [(name, pairs) for name, _, pairs in given if pairs is not None]
    for name, pairs in named[1:]:
        _check_same_pairs(named[0], (name, pairs))
    return ScoreComparison(
        first=first,
        second=second,
        thresholds=(_threshold(first, threshold, flag_rate), _threshold(second, threshold, flag_rate)),
        is_attack=None if labels is None else labels.is_attack,
        pairs=named[0][1] if named else None,
    )


def _threshold(scores: Scores, threshold: float, flag_rate: float | None) -> float:
    return threshold if flag_rate is None else float(np.quantile(scores.dot_products, flag_rate))


def _check_same_pairs(one: tuple[str, pd.DataFrame], other: tuple[str, pd.DataFrame]) -> None:
    texts = [pairs["entity"] + "," + pairs["ip"].str.strip() for _, pairs in (one, other)]
    rows = np.flatnonzero(texts[0].to_numpy() != texts[1].to_numpy())
    if len(rows):
        row = int(rows[0])
        raise ClientError(f"Row {row + 1} of {one[0]} is '{texts[0].iloc[row]}' and of {other[0]} "
                          f"'{texts[1].iloc[row]}': both must be for the same pairs in the same order.")  # fmt: skip

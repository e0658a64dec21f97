"""Split-conformal prediction on sorted scores: ranks for guaranteed rates, and intervals.

Of n calibration events and a new one that is exchangeable with them, each is equally likely to score lowest. So the
chance that the new one is below the k-th lowest calibration score is at most k / (n + 1), whatever the model and
whatever the data.

Source: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ipinsights.errors import ClientError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["kept_steps", "odds_text", "promised_rank", "rate_interval"]

# Of the calibration scores the lowest are kept one by one, and above them one in each step of 2 % of their rank.
_NUM_KEPT = 500
_STEP = 1.02
_LARGEST_SHOWN = 10**12


def odds_text(p_value: float) -> str:
    """Return a p-value in (0, 1] as text, such as ``1 in 2,000 normal events looks this odd``."""
    if p_value > 0.1:  # noqa: PLR2004 - "1 in 1" says nothing
        return f"{100 * p_value:.0f} in 100 normal events look this odd"
    odds = 1 / p_value
    # Two digits, and never rarer than it is.
    step = 10 ** max(0, math.floor(math.log10(odds)) - 1)
    return f"1 in {math.floor(odds / step + 1e-9) * step:,} normal events looks this odd"


def promised_rank(fpr: float, num_rows: int) -> int:
    """Return the rank, from the lowest, of the threshold for a false positive rate in (0, 1)."""
    # 0.07 * 100 is 7.000000000000001, and 0.29 * 100 is 28.999999999999996: both mean whole numbers.
    rank = min(num_rows, math.floor(fpr * (num_rows + 1) * (1 + 1e-12)))
    if rank < 1:
        needed = math.ceil(1 / fpr * (1 - 1e-12)) - 1
        shown = f"{needed:,}" if needed < _LARGEST_SHOWN else f"{needed:.0e}"
        raise ClientError(
            f"A false positive rate of {fpr:g} needs at least {shown} calibration rows of entities that the model "
            f"knows. Got {num_rows:,}. Give more rows, or ask for a higher rate."
        )
    return rank


def kept_steps(scores: NDArray[np.float32], rank: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the distinct scores to store of sorted scores (n,), and the number below each."""
    size = len(scores)
    num_steps = max(0, math.ceil(math.log(size / _NUM_KEPT, _STEP))) + 1
    ranks = np.concatenate([
        np.arange(min(size, _NUM_KEPT)),
        np.geomspace(_NUM_KEPT, size, num_steps).astype(np.int64) - 1,
        [rank - 1, size - 1],
    ])  # fmt: skip
    kept = np.unique(scores[np.minimum(ranks, size - 1).astype(np.int64)])
    return kept, np.searchsorted(scores, kept, side="left").astype(np.int64)


def rate_interval(scores: NDArray[np.float32], rank: int) -> tuple[float, float]:
    """Return the 95 % interval of the rate below the rank-th of n sorted scores.

    The rate has the distribution Beta(rank, n + 1 - rank).

    Where scores tie with it, the rate may be that of the next lower score, and the interval begins there.

    Source: Vovk, Conditional validity of inductive conformal predictors, 2012. The binomial interval of an order
    statistic (Clopper and Pearson, 1934) is the same.
    """
    from scipy.special import betaincinv

    size = len(scores)
    num_below, num_up_to = (int(np.searchsorted(scores, scores[rank - 1], side=side)) for side in ("left", "right"))
    least = rank if num_up_to == num_below + 1 else num_below
    low = betaincinv(least, size + 1 - least, 0.025) if least else 0.0
    return float(low), float(betaincinv(rank, size + 1 - rank, 0.975))

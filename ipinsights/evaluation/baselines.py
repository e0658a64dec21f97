"""Baselines: scores of a pair from counts alone, which a useful model must beat.

Each gives a score, HIGHER IS MORE NORMAL, as the model does. All look at training rows only.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from ipinsights.evaluation.prefix_counts import Ips, PrefixCounts

    Baselines = Mapping[str, Callable[["TrainingCounts"], NDArray[np.float64]]]

__all__ = ["BASELINES", "CONTROL", "IPV6_BASELINES", "TrainingCounts", "baseline_scores"]

# Lengths at which the counts back off, by the bits of an address: half an octet at a time, or one.
_LENGTHS = {32: (0, 8, 12, 16, 20, 24, 28, 32), 64: (0, 16, 24, 32, 40, 48, 56, 64)}
_CROWD_LENGTHS = {32: (16, 24, 32), 64: (48,)}
# How many of the crowd's rows an entity's own ones are mixed with in Freeman's ratio.
_PRIOR_ROWS = 5.0


@dataclass(frozen=True)
class TrainingCounts:
    """Counts of training rows for some pairs. Maps are by prefix length, the root has length 0."""

    num_rows: NDArray[np.int64]  # rows of each pair's entity, (n,)
    counts: Mapping[int, NDArray[np.int64]]  # rows of the entity on the network of the address, (n,) each
    num_children: Mapping[int, NDArray[np.int64]]  # distinct networks of the next length of the entity in it, (n,) each
    crowd: Mapping[int, NDArray[np.int64]]  # rows of everybody on the network of the address, (n,) each
    longest_prefix: NDArray[np.int64]  # leading bits shared with the nearest address of the entity, (n,)

    @classmethod
    def look_up(cls, history: PrefixCounts, numbers: NDArray[np.int64], ips: Ips) -> TrainingCounts:
        """Return the counts for pairs of known entities, by number, and addresses, (n,) each."""
        low, high = history.rows_of(numbers)
        lengths, crowd_lengths = _LENGTHS[history.bits], _CROWD_LENGTHS[history.bits]
        return cls(
            num_rows=high - low,
            counts={0: high - low, **{length: history.counts(numbers, ips, length) for length in lengths[1:]}},
            num_children={
                length: history.num_children(numbers, ips, length, child)
                for length, child in itertools.pairwise(lengths)
            },
            crowd={
                0: np.full(len(ips), len(history)),
                **{length: history.crowd_counts(ips, length) for length in crowd_lengths},
            },
            longest_prefix=history.longest_prefix(numbers, ips),
        )


def baseline_scores(seen: TrainingCounts, baselines: Baselines) -> dict[str, NDArray[np.float32]]:
    """Return the scores of some baselines by name, shape (n,) each."""
    return {name: score(seen).astype(np.float32) for name, score in baselines.items()}


def seen_on(length: int) -> Callable[[TrainingCounts], NDArray[np.float64]]:
    """Return the baseline that is 1 if the entity was seen on the network, and 0 otherwise."""
    return lambda seen: (seen.counts[length] > 0).astype(np.float64)


def longest_prefix(seen: TrainingCounts) -> NDArray[np.float64]:
    """Return the leading bits shared with the nearest address of the entity."""
    return seen.longest_prefix.astype(np.float64)


def witten_bell(seen: TrainingCounts) -> NDArray[np.float64]:
    r"""Return the log density of the address for the entity, relative to a uniform density.

    In each network the next part is one of the t distinct ones seen there, in proportion to their counts c, or with the
    chance t / (c + t) any other: nobody has to choose a weight. From parent l' to network l the density grows by the
    factor :math:`(2^{l - l'} c_l + t_{l'}) / (c_{l'} + t_{l'})`. In a network never seen the density is even.

    Source: Witten and Bell, The zero-frequency problem, 1991 (method C).
    """
    log_density = np.zeros(len(seen.num_rows))
    for parent, length in itertools.pairwise(seen.counts):
        num_new = seen.num_children[parent]
        total = seen.counts[parent] + num_new
        growth = (2.0 ** (length - parent) * seen.counts[length] + num_new) / np.maximum(total, 1)
        log_density += np.log(np.where(total > 0, growth, 1))
    return log_density


def freeman(seen: TrainingCounts) -> NDArray[np.float64]:
    r"""Return the log likelihood ratio of the address for the entity and for all entities.

    Source: Freeman et al., Who Are You? A Statistical Approach to Measuring User Authenticity, 2016, with networks of
    16, 24 and 32 bits in place of country, provider and address. The entity's frequencies are smoothed towards the
    crowd's as if it had 5 more rows like everybody's, at each level given the one above.
    """
    ratio = np.zeros(len(seen.num_rows))
    for parent, length in ((0, 16), (16, 24), (24, 32)):
        # The crowd's share. Where the entity was never seen it does not matter.
        share = np.maximum(seen.crowd[length], 1) / np.maximum(seen.crowd[parent], 1)
        own, of_all = seen.counts[length] / share, seen.counts[parent]
        ratio += np.log((own + _PRIOR_ROWS) / (of_all + _PRIOR_ROWS))
    return ratio


def popularity(length: int) -> Callable[[TrainingCounts], NDArray[np.float64]]:
    """Return the baseline that is the log number of rows of all entities on the network."""
    return lambda seen: np.log1p(seen.crowd[length])


def entity_only(seen: TrainingCounts) -> NDArray[np.float64]:
    """Return the log number of the entity's rows, whatever the address.

    It must not tell attacks from ordinary events: an AUC other than 0.50 says that the test itself leaks.
    """
    return np.log(seen.num_rows)


CONTROL = "entity only (control)"
BASELINES: Baselines = {
    "address seen": seen_on(32),
    "/24 seen": seen_on(24),
    "/16 seen": seen_on(16),
    "longest prefix": longest_prefix,
    "Witten-Bell counts": witten_bell,
    "Freeman's ratio": freeman,
    "popularity of the /24": popularity(24),
    CONTROL: entity_only,
}
IPV6_BASELINES: Baselines = {
    "/64 seen": seen_on(64),
    "/48 seen": seen_on(48),
    "/32 seen": seen_on(32),
    "longest prefix": longest_prefix,
    "Witten-Bell counts": witten_bell,
    "popularity of the /48": popularity(48),
    CONTROL: entity_only,
}

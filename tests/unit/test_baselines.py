"""Each baseline on planted rows where its answer can be worked out by hand."""

from __future__ import annotations

import ipaddress

import numpy as np
import pytest

from ipinsights.data.pairs import Pairs
from ipinsights.evaluation.baselines import BASELINES, TrainingCounts, baseline_scores
from ipinsights.evaluation.prefix_counts import PrefixCounts

# Entity 0 came four times, entity 1 twice; both were in 10.0.0.0/16.
TRAIN = [
    (0, "10.0.0.1"), (0, "10.0.0.1"), (0, "10.0.0.1"), (0, "192.0.2.7"),
    (1, "10.0.9.9"), (1, "10.0.9.9"),
]  # fmt: skip


def number_of(address: str) -> int:
    """Return an address as a number."""
    return int(ipaddress.IPv4Address(address))


def scores(entity: int, address: str) -> dict[str, float]:
    """Return the score of every baseline for a pair."""
    history = PrefixCounts(
        Pairs(
            np.array([entity for entity, _ in TRAIN], dtype=np.uint64),
            np.array([number_of(text) for _, text in TRAIN], dtype=np.uint32),
        )
    )
    seen = TrainingCounts.look_up(history, np.array([entity]), np.array([number_of(address)], dtype=np.uint32))
    return {name: float(values[0]) for name, values in baseline_scores(seen, BASELINES).items()}


@pytest.mark.parametrize(
    ("entity", "address", "seen", "bits"),
    [
        (0, "10.0.0.1", (1, 1, 1), 32),
        (0, "10.0.0.3", (0, 1, 1), 30),
        (0, "10.0.9.9", (0, 0, 1), 20),
        (1, "10.0.0.1", (0, 0, 1), 20),
        (0, "11.0.0.1", (0, 0, 0), 7),
        (1, "192.0.2.7", (0, 0, 0), 0),
    ],
)
def test_seen(entity: int, address: str, seen: tuple[int, int, int], bits: int) -> None:
    """Address, /24 and /16 seen or not by this very entity, and the longest prefix."""
    found = scores(entity, address)
    assert [found[name] for name in ("address seen", "/24 seen", "/16 seen")] == list(seen)
    assert found["longest prefix"] == bits


class TestWittenBell:
    """Counts that back off."""

    def test_by_hand(self) -> None:
        """Two places of four rows at the top, then one place each: the chances multiply."""
        # At the top 3 of 4 rows, 2 distinct: (2^8 * 3 + 2) / (4 + 2); at each length below all 3 rows in the only one.
        top = (2**8 * 3 + 2) / 6
        below = (2**4 * 3 + 1) / 4
        assert scores(0, "10.0.0.1")["Witten-Bell counts"] == pytest.approx(np.log(top * below**6), rel=1e-6)
        # The same down to the /20, then never seen: the chance of something new, and nothing is known below that.
        assert scores(0, "10.0.9.9")["Witten-Bell counts"] == pytest.approx(np.log(top * below**3 / 4), rel=1e-6)
        # Never seen at the top: 2 / (4 + 2).
        assert scores(0, "77.1.2.3")["Witten-Bell counts"] == pytest.approx(np.log(1 / 3), rel=1e-6)

    def test_it_is_a_density(self) -> None:
        """Over all of IPv4 the chances add up to 1: a sample of each network stands for all of it."""
        history = PrefixCounts(Pairs(np.zeros(3, dtype=np.uint64), np.array([5, 2**20, 2**31 + 77], dtype=np.uint32)))
        # Every network of the seven lengths that holds an address, and what is around it.
        edges = {0, 2**32} | {
            (ip >> (32 - length)) + step << (32 - length)
            for ip in (5, 2**20, 2**31 + 77)
            for length in (8, 12, 16, 20, 24, 28, 32)
            for step in (0, 1)
        }
        starts = np.array(sorted(edges))
        seen = TrainingCounts.look_up(history, np.zeros(len(starts) - 1, dtype=np.int64), starts[:-1].astype(np.uint32))
        density = np.exp(BASELINES["Witten-Bell counts"](seen))
        assert (density * np.diff(starts)).sum() / 2**32 == pytest.approx(1)


class TestFreeman:
    """The entity's frequencies against everybody's."""

    def test_by_hand(self) -> None:
        """The ratio has a factor (own / crowd's share + 5) / (own above + 5) for each level."""
        # /16: 3 of the entity's 4 rows, 5 of the crowd's 6; /24: 3 of 3, 3 of 5; address: 3 of 3, 3 of 3.
        expected = np.log((3 / (5 / 6) + 5) / 9) + np.log((3 / (3 / 5) + 5) / 8) + np.log((3 + 5) / 8)
        assert scores(0, "10.0.0.1")["Freeman's ratio"] == pytest.approx(expected, rel=1e-6)

    def test_an_address_of_others_is_worse_than_none_of_anybodys_own(self) -> None:
        """On a network that is new for the entity only its number of rows counts."""
        assert scores(0, "77.1.2.3")["Freeman's ratio"] == pytest.approx(np.log(5 / 9), rel=1e-6)
        in_common = np.log((3 / (5 / 6) + 5) / 9) + np.log(5 / 8)
        assert scores(0, "10.0.9.9")["Freeman's ratio"] == pytest.approx(in_common, rel=1e-6)


def test_one_eyed() -> None:
    """Popularity does not look at the entity, and the control not at the address."""
    assert scores(0, "10.0.0.1")["popularity of the /24"] == pytest.approx(np.log(4))
    assert scores(1, "10.0.0.200")["popularity of the /24"] == pytest.approx(np.log(4))
    for address in ("10.0.0.1", "1.1.1.1"):
        assert scores(0, address)["entity only (control)"] == pytest.approx(np.log(4))

"""Explanations of the test's events that the history finds most suspicious.

An evaluation knows hashes of entities. The explanations name them, so they need the rows with their text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ipinsights.inference.history_explanation import explain_by_history
from ipinsights.reporting.plain_text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from ipinsights.data.pairs import Block
    from ipinsights.evaluation.labelled_events import LabelledBlock
    from ipinsights.inference.history_explanation import HistoryExplanation
    from ipinsights.inference.history_scorer import HistoryScorer

    # Hash of an entity, and an address by what its score depends on: IPv4, and the upper half of IPv6.
    _Key = tuple[int, int, int]

__all__ = ["SuspiciousEvent", "suspicious_events"]

# Labelled attacks leave some place for ordinary events, of which some may be attacks without a label.
_NUM_EVENTS, _NUM_ATTACKS = 5, 3
_LONGEST_NAME = 80


@dataclass(frozen=True)
class SuspiciousEvent:
    """An event of the test with its explanation, in which very long names are shortened."""

    is_attack: bool  # whether the test has the event as an attack
    explanation: HistoryExplanation


def suspicious_events(scorer: HistoryScorer, test: Iterable[LabelledBlock]) -> list[SuspiciousEvent]:
    """Return at most five events with the lowest scores, at most three labelled attacks first.

    Each entity is taken once at an IPv4 address or an IPv6 /64. Events of entities that the history does not have are
    left out.
    """
    attacks, ordinary = _Lowest(), _Lowest()
    for block, is_attack in test:
        scores = scorer.score_rows(block)
        is_known = scorer.entity_known(block.entities)
        attacks.add(block, scores, is_known & is_attack)
        ordinary.add(block, scores, is_known & ~is_attack)
    chosen = attacks.events[:_NUM_ATTACKS]
    return [
        *(SuspiciousEvent(True, _explained(scorer, *event)) for event in chosen),
        *(SuspiciousEvent(False, _explained(scorer, *event)) for event in ordinary.events[: _NUM_EVENTS - len(chosen)]),
    ]


class _Lowest:
    """The distinct events with the lowest scores among all that were added."""

    def __init__(self) -> None:
        self._found: dict[_Key, tuple[float, str, str]] = {}

    def add(self, block: Block, scores: NDArray[np.float32], chosen: NDArray[np.bool_]) -> None:
        """Add the chosen rows of a block, given the score and the choice of each row (n,)."""
        rows, addresses = np.flatnonzero(chosen), block.addresses
        found: dict[_Key, tuple[float, str, str]] = {}
        for row in rows[np.argsort(scores[rows], kind="stable")].tolist():
            upper = 0 if addresses is None else int(addresses.upper[row])
            key = int(block.entities[row]), int(block.ips[row]), upper
            if key not in found:
                entity, ip = (column[row].as_py() for column in block.columns[:2])
                found[key] = float(scores[row]), entity, ip
            if len(found) == _NUM_EVENTS:
                break
        lowest = sorted({**found, **self._found}.items(), key=lambda item: item[1][0])
        self._found = dict(lowest[:_NUM_EVENTS])

    @property
    def events(self) -> list[tuple[str, str]]:
        """Entities and addresses as text, the lowest score first."""
        return [(entity, ip) for _, entity, ip in self._found.values()]


def _explained(scorer: HistoryScorer, entity: str, ip: str) -> HistoryExplanation:
    found, name = explain_by_history(scorer, entity, ip), one_line(entity)
    return replace(found, entity=name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}...")

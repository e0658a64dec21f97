"""Explained events of a test: which are chosen, and what is said about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ipinsights import IPInsights
from ipinsights.evaluation.labelled_events import read_labelled_blocks
from ipinsights.evaluation.suspicious_events import suspicious_events
from ipinsights.inference.history_explanation import explain_by_history
from ipinsights.inference.history_scorer import HistoryScorer

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [(f"user_{number}", f"11.{number}.0.1") for number in range(9) for _ in range(number + 2)]
SETTINGS: dict[str, Any] = {"vector_dim": 4, "epochs": 1, "progress": False, "keep_history": True, "scorer": "history"}
LONG = "n" * 100


@pytest.fixture(scope="module")
def scorer() -> HistoryScorer:
    """Return the scorer of a model of both families, in which each entity has one network."""
    names = ["two\nlines", LONG]
    further = [(name, ip) for name in names for ip in ("12.0.0.1", "2a00:1::1")]
    found = IPInsights(**SETTINGS, ipv6=True).fit([*ROWS, *further]).scorer_
    assert isinstance(found, HistoryScorer)
    return found


def found_in(scorer: HistoryScorer, folder: Path, text: str) -> list[tuple[bool, str, str]]:
    """Return label, entity and address of the events that are chosen of a test."""
    path = folder / "test.csv"
    path.write_text(text, encoding="utf-8")
    events = suspicious_events(scorer, read_labelled_blocks(path, ipv6=True))
    return [(event.is_attack, event.explanation.entity, event.explanation.ip) for event in events]


def test_the_lowest_scores_of_a_test(scorer: HistoryScorer, tmp_path: Path) -> None:
    """Five distinct events of many blocks are chosen, in the order of their scores."""
    odd = [f"user_{number}" for number in (3, 7, 1, 8, 5, 2)]
    usual = "".join(f"{entity},{ip}\n" for entity, ip in ROWS)
    text = usual + f"{odd[0]},200.0.0.1\n" * 3 + usual * 3000 + "".join(f"{name},200.0.0.1\n" for name in odd[1:])
    found = found_in(scorer, tmp_path, text)
    scores = {name: explain_by_history(scorer, name, "200.0.0.1").score for name in odd}
    lowest = sorted(odd, key=lambda name: scores[name])[:5]
    assert found == [(False, name, "200.0.0.1") for name in lowest]


def test_labelled_attacks_come_first(scorer: HistoryScorer, tmp_path: Path) -> None:
    """At most three of them, and ordinary events after them, although their scores are lower."""
    attacks = [f"user_{number},11.{number}.0.1,1\n" for number in range(5)]
    ordinary = [f"user_{number},200.0.0.1,0\n" for number in range(4)]
    labels = [is_attack for is_attack, _, _ in found_in(scorer, tmp_path, "".join(ordinary + attacks))]
    assert labels == [True] * 3 + [False] * 2
    labels = [is_attack for is_attack, _, _ in found_in(scorer, tmp_path, "".join([*ordinary, attacks[0]]))]
    assert labels == [True] + [False] * 4


def test_entities_that_the_history_does_not_have(scorer: HistoryScorer, tmp_path: Path) -> None:
    """Events of entities that the history does not have are left out."""
    assert found_in(scorer, tmp_path, "user_1,11.1.0.1\nnobody,200.0.0.1\n") == [(False, "user_1", "11.1.0.1")]
    assert found_in(scorer, tmp_path, "nobody,200.0.0.1\nstranger,200.0.0.2\n") == []


def test_one_event_of_a_network(scorer: HistoryScorer, tmp_path: Path) -> None:
    """Hosts of one /64 are one event, and so are two notations of one address."""
    found = found_in(scorer, tmp_path, "user_1,2b00::1\nuser_1,2b00::2\nuser_1,200.0.0.1\nuser_1,::ffff:200.0.0.1\n")
    assert sorted(found) == [(False, "user_1", "200.0.0.1"), (False, "user_1", "2b00::1")]


def test_the_explanation_is_that_of_explain(scorer: HistoryScorer, tmp_path: Path) -> None:
    """All parts and sentences are those of the explanation of the event."""
    path = tmp_path / "test.csv"
    path.write_text("user_1,200.0.0.1,1\n", encoding="utf-8")
    (event,) = suspicious_events(scorer, read_labelled_blocks(path))
    assert event.explanation.text() == explain_by_history(scorer, "user_1", "200.0.0.1").text()


def test_names_are_bounded(scorer: HistoryScorer, tmp_path: Path) -> None:
    """A long name is cut and a name has one line, and the score is that of the whole name."""
    path = tmp_path / "test.csv"
    path.write_text(f'"two\nlines",12.0.0.1\n{LONG},12.0.0.1\n', encoding="utf-8")
    events = suspicious_events(scorer, read_labelled_blocks(path))
    found = {event.explanation.entity: event.explanation for event in events}
    assert set(found) == {"two\\nlines", "n" * 77 + "..."}
    for name, explanation in (("two\nlines", found["two\\nlines"]), (LONG, found["n" * 77 + "..."])):
        assert explanation.entity_known
        assert explanation.score == pytest.approx(explain_by_history(scorer, name, "12.0.0.1").score)

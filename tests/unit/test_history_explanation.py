"""Explanations by the history: their parts are those of the score."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ipinsights import IPInsights
from ipinsights.errors import InvalidValueError
from ipinsights.inference.history_explanation import HistoryExplanation, explain_by_history
from ipinsights.inference.history_scorer import HistoryScorer
from ipinsights.model import artifact

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [("alice", "11.0.0.1")] * 3 + [("alice", "11.0.1.1"), ("bob", "11.0.0.9"), ("carol", "12.0.0.1")]
SETTINGS: dict[str, Any] = {"vector_dim": 4, "epochs": 1, "progress": False, "keep_history": True}
ROWS_IPV6 = [*ROWS, ("alice", "2a00:1::1"), ("bob", "2a00:2::1")]


@pytest.fixture(scope="module")
def model() -> IPInsights:
    """Return a model with a history of both families."""
    return IPInsights(**SETTINGS, scorer="history", ipv6=True).fit(ROWS_IPV6)


@pytest.fixture(scope="module")
def scorer(model: IPInsights) -> HistoryScorer:
    """Return the scorer of the model."""
    assert isinstance(model.scorer_, HistoryScorer)
    return model.scorer_


@pytest.mark.parametrize("entity", ["alice", "bob", "nobody"])
@pytest.mark.parametrize("ip", ["11.0.0.1", "11.0.0.77", "200.0.0.1", "2a00:1::5", "2b00::1"])
def test_the_parts_are_the_score(model: IPInsights, scorer: HistoryScorer, entity: str, ip: str) -> None:
    """They add up, the shares of attackers sum to one, and networks become longer and rarer."""
    found = explain_by_history(scorer, entity, ip)
    assert found.score == pytest.approx(float(model.score_samples([(entity, ip)])[0]), abs=1e-5)
    assert found.score == pytest.approx(found.log_entity - found.log_attack + found.network_share, abs=1e-4)
    assert sum(found.attackers.values()) == pytest.approx(1)
    assert list(found.attackers.values()) == sorted(found.attackers.values(), reverse=True)
    events = [network.own_events for network in found.networks]
    assert events == sorted(events, reverse=True)
    is_without_network = ":" in ip or entity == "nobody"
    assert (found.network_share == 0) is is_without_network
    assert found.family == ("ipv6" if ":" in ip else "ipv4")


def test_the_evidence(scorer: HistoryScorer) -> None:
    """What the history knows of the networks of an address, with counts by hand."""
    found = explain_by_history(scorer, "alice", " 11.0.0.77 ")
    assert (found.ip, found.entity_known, found.num_events) == ("11.0.0.77", True, 5)
    assert found.deepest_known is not None
    # 11.0.0.1 and 11.0.0.77 share 25 bits
    assert (found.deepest_known.network, found.deepest_known.own_events) == ("11.0.0.0/24", 3)
    assert (found.deepest_known.other_entities, found.deepest_known.other_events) == (1, 1)
    assert found.deepest_known.new_inside == pytest.approx(0.2 / 5)
    assert found.networks[-1].network == "11.0.0.77/32"
    assert found.networks[-1].own_events == 0


def test_networks_of_ipv6(scorer: HistoryScorer) -> None:
    """The networks of an IPv6 address are those of its upper half, however it is written."""
    found = explain_by_history(scorer, "alice", "[2A00:0001:0::7]")
    assert found.ip == "2a00:1::7"
    assert found.deepest_known is not None
    assert found.deepest_known.network == "2a00:1::/64"
    mapped = explain_by_history(scorer, "alice", "::ffff:11.0.0.1")
    assert (mapped.ip, mapped.family) == ("11.0.0.1", "ipv4")


def test_the_text(scorer: HistoryScorer) -> None:
    """Score, sum, networks and attackers, a line each."""
    found = explain_by_history(scorer, "alice", "11.0.0.1")
    lines = str(found).splitlines()
    assert lines[0] == f"alice from 11.0.0.1: score {found.score:.2f} (history; higher is more normal)"
    assert lines[2:6] == [
        "The score is the sum of",
        f"  {found.log_entity:>7.2f}  how likely this entity is here, against any address (log)",
        f"  {-found.log_attack:>7.2f}  how unlikely an attacker is here, against any address (log)",
        f"  {found.network_share:>7.2f}  the network's dot product, times 0.05",
    ]
    assert lines[7] == "Networks of this address (5 events of the entity in all)"
    assert "  Longest network that the entity was on: 11.0.0.1/32." in lines
    assert lines[-4] == "Which attacker explains the event best"
    assert [line.split("%  ")[1] for line in lines[-3:]] == list(found.attackers)[:3]


def test_an_unknown_entity_and_a_special_address(scorer: HistoryScorer) -> None:
    """Both are noted at the end."""
    lines = explain_by_history(scorer, "nobody", "10.0.0.1").text().splitlines()
    assert "The history does not have this entity. Its score is how other entities use the address." in lines
    assert lines[-2] == "Note: unknown entity: the history has no event of this entity."
    assert lines[-1].startswith("Note: the address is no ordinary public one: ")
    assert not any(line.startswith("  Longest network") for line in lines)


def test_json_holds_it(scorer: HistoryScorer) -> None:
    """The JSON has the name of the scorer and all attributes."""
    found = explain_by_history(scorer, "alice", "11.0.0.1")
    content = json.loads(json.dumps(found.to_json()))
    assert content.pop("scorer") == "history"
    assert set(content) == set(HistoryExplanation.__dataclass_fields__)
    assert content["networks"][-1]["network"] == "11.0.0.1/32"


@pytest.mark.parametrize(
    ("ip", "message"),
    [
        ("fe80::1", "'fe80::1' is not an address that can be used: it is link-local, and other networks have the same "
                    "address."),
        ("11.0.0", "'11.0.0' is not an address that can be used: it must be four numbers from 0 to 255, separated by "
                   "dots."),
    ],
)  # fmt: skip
def test_addresses_that_cannot_be_used(scorer: HistoryScorer, ip: str, message: str) -> None:
    """The message has the reason."""
    with pytest.raises(InvalidValueError) as caught:
        explain_by_history(scorer, "alice", ip)
    assert str(caught.value) == message


def test_ipv6_without_ipv6(tmp_path: Path) -> None:
    """A model of IPv4 only refuses IPv6 as ever."""
    file = IPInsights(**SETTINGS).fit(ROWS).save(tmp_path)
    with pytest.raises(InvalidValueError) as caught:
        explain_by_history(HistoryScorer(artifact.load(file)), "alice", "2a00::1")
    assert str(caught.value) == "'2a00::1' is no IPv4 address: it looks like IPv6; leave such rows out."

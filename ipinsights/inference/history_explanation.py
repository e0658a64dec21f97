"""Explanations of the history scorer, computed from the score without training data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.data.entity_hash import hash_entities
from ipinsights.data.ip_networks import network_text, special_purpose
from ipinsights.data.ipv4 import BLANKS, explain_ip
from ipinsights.data.ipv6 import explain_address, format_ipv6, parse_address
from ipinsights.data.pairs import Pairs
from ipinsights.errors import InvalidValueError
from ipinsights.inference.conformal import odds_text
from ipinsights.inference.history_scorer import Densities
from ipinsights.model.history_settings import NETWORK_WEIGHT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipinsights.data.ipv6 import Addresses
    from ipinsights.inference.history_density import Evidence
    from ipinsights.inference.history_scorer import HistoryScorer
    from ipinsights.inference.scorers import Scorer
    from ipinsights.inference.threshold import Threshold

__all__ = [
    "HistoryExplanation", "Judged", "PrefixEvidence", "address_flags", "explain_by_history", "judge", "parse_ip",
]  # fmt: skip

_NUM_ATTACKERS = 3


class Judged:
    """An explained event with the judgement of a threshold, if there is one."""

    p_value: float | None
    verdict: str | None
    threshold: float | None
    flags: tuple[str, ...]

    def judgement(self) -> Iterator[str]:
        """Yield the line that says how odd the event is."""
        if self.p_value is not None:
            yield f"{self.verdict}: {odds_text(self.p_value)} (threshold {self.threshold:.2f})"
        elif self.verdict is not None:
            yield self.verdict.replace("_", " ")

    def notes(self) -> list[str]:
        """Return the lines with what else to keep in mind."""
        return ["", *(f"Note: {flag}" for flag in self.flags)] if self.flags else []


@dataclass(frozen=True)
class PrefixEvidence:
    """What the history knows about one network of the address."""

    network: str  # as in ``198.51.100.0/24``
    own_events: int  # events of the entity there
    new_inside: float  # chance that the entity's next event there is at a part of the network that is new for it
    other_entities: int
    other_events: int


@dataclass(frozen=True)
class HistoryExplanation(Judged):
    """Parts of the score of an event by the history.

    Attributes
    ----------
    entity, ip
        The event.
    family
        ``ipv4`` or ``ipv6``.
    score
        Score in nats, the sum of the next three. Higher is more normal.
    log_entity, log_attack, network_share
        Logarithm of the density of the address for the entity, minus that for attackers, and the network's share.
    entity_known
        Whether the history has the entity.
    num_events
        Events of the entity in the history, of both families.
    deepest_known
        The longest network of the address that the entity used, or None.
    networks
        The networks of the address, the longest last.
    attackers
        Share of each attacker in the mixture at this address, most likely first.
    p_value, verdict, threshold
        As :class:`ipinsights.inference.threshold.Threshold` has them. None without a threshold.
    flags
        What else to keep in mind, in sentences.

    Examples
    --------
    >>> import ipinsights
    >>> logins = [("alice", "203.0.113.7"), ("alice", "203.0.113.9"), ("bob", "198.51.100.4")]
    >>> model = ipinsights.IPInsights(vector_dim=8, epochs=1, progress=False, keep_history=True, scorer="history")
    >>> model.fit(logins).explain("alice", "203.0.113.200").deepest_known.network
    '203.0.113.0/24'
    """

    entity: str
    ip: str
    family: str
    score: float
    log_entity: float
    log_attack: float
    network_share: float
    entity_known: bool
    num_events: int
    deepest_known: PrefixEvidence | None
    networks: tuple[PrefixEvidence, ...]
    attackers: dict[str, float]
    p_value: float | None
    verdict: str | None
    threshold: float | None
    flags: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the explanation as JSON can hold it."""
        return {"scorer": "history", **asdict(self)}

    def __str__(self) -> str:
        return self.text()

    def text(self) -> str:
        """Return the explanation for a terminal."""
        head = f"{self.entity} from {self.ip}: score {self.score:.2f} (history; higher is more normal)"
        parts = [*self._sum(), "", *self._past(), "", *self._attack()]
        return "\n".join([head, *self.judgement(), "", *parts, *self.notes()])

    def _sum(self) -> Iterator[str]:
        yield "The score is the sum of"
        yield f"  {self.log_entity:>7.2f}  how likely this entity is here, against any address (log)"
        yield f"  {-self.log_attack:>7.2f}  how unlikely an attacker is here, against any address (log)"
        yield f"  {self.network_share:>7.2f}  the network's dot product, times {NETWORK_WEIGHT}"

    def _past(self) -> Iterator[str]:
        if not self.entity_known:
            yield "The history does not have this entity. Its score is how other entities use the address."
        yield f"Networks of this address ({self.num_events:,} events of the entity in all)"
        yield f"  {'network':<24}  own events  new inside  other entities  their events"
        for each in self.networks:
            chance = f"{100 * each.new_inside:.0f} %" if each.own_events else "-"
            yield (
                f"  {each.network:<24}  {each.own_events:>10,}  {chance:>10}  {each.other_entities:>14,}"
                f"  {each.other_events:>12,}"
            )
        if not self.entity_known:
            return
        deepest = "none" if self.deepest_known is None else self.deepest_known.network
        yield f"  Longest network that the entity was on: {deepest}."

    def _attack(self) -> Iterator[str]:
        yield "Which attacker explains the event best"
        for name, share in list(self.attackers.items())[:_NUM_ATTACKERS]:
            yield f"  {100 * share:>3.0f} %  {name}"


def judge(scorer: Scorer, event: Pairs, threshold: Threshold | None) -> tuple[float | None, str | None]:
    """Return the p-value of one event, None if its entity is unknown, and the verdict."""
    if threshold is None:
        return None, None
    threshold.check(scorer)
    p_values, verdicts = threshold.judge(scorer.score_rows(event), event, scorer.entity_known(event.entities))
    return None if np.isnan(p_values[0]) else float(p_values[0]), str(verdicts[0])


def address_flags(ip: int) -> Iterator[str]:
    """Yield what to keep in mind about an IPv4 address."""
    purpose = special_purpose(ip)
    if purpose:
        yield f"the address is no ordinary public one: {purpose}."


def explain_by_history(
    scorer: HistoryScorer, entity: str, ip: str, *, threshold: Threshold | None = None
) -> HistoryExplanation:
    """Explain the score of an event by the history, and judge the event if there is a threshold."""
    address = parse_ip(scorer, ip)
    event = Pairs(hash_entities([entity]), address.ips, address)
    is_ipv6 = bool(address.is_ipv6[0])
    evidence = scorer.tables.evidence(scorer.history.numbers(event.entities), address.upper if is_ipv6 else address.ips)
    densities = Densities.of(evidence)
    score = scorer.score_rows(event)
    known = scorer.entity_known(event.entities)
    log_entity = float(np.log(densities.entity[0]))
    log_attack = float(np.log(sum(density[0] for density in densities.attackers.values())))
    has_dot_product = bool(known[0]) and not is_ipv6
    dot_product = float(scorer.predictor.score(event.entities, event.ips)[0]) if has_dot_product else 0.0
    networks = _networks(evidence, densities, address)
    p_value, verdict = judge(scorer, event, threshold)
    return HistoryExplanation(
        entity=entity,
        ip=_network(address, 128 if is_ipv6 else 32).partition("/")[0],
        family="ipv6" if is_ipv6 else "ipv4",
        score=float(score[0]),
        log_entity=log_entity,
        log_attack=log_attack,
        network_share=NETWORK_WEIGHT * dot_product,
        entity_known=bool(known[0]),
        num_events=int(evidence.num_own[0]),
        deepest_known=next((each for each in reversed(networks) if each.own_events), None),
        networks=tuple(networks),
        attackers=_attackers(densities),
        p_value=p_value,
        verdict=verdict,
        threshold=None if threshold is None else threshold.score,
        flags=tuple(_flags(address, is_known=bool(known[0]))),
    )


def parse_ip(scorer: Scorer, ip: str) -> Addresses:
    """Return an address that a scorer accepts. Any other text is an InvalidValueError."""
    reason = explain_address(ip) if scorer.accepts_ipv6 else explain_ip(ip)
    if reason is not None:
        kind = "not an address that can be used" if scorer.accepts_ipv6 else "no IPv4 address"
        raise InvalidValueError(f"'{ip}' is {kind}: {reason}.")
    return parse_address(ip.strip(BLANKS))


def _network(address: Addresses, length: int) -> str:
    """Return the network of an address as text, as in ``198.51.100.0/24``."""
    if not address.is_ipv6[0]:
        return network_text(int(address.ips[0]), length)
    shift = 128 - length
    value = (int(address.upper[0]) << 64 | int(address.lower[0])) >> shift << shift
    return f"{format_ipv6(*divmod(value, 2**64))}/{length}"


def _networks(evidence: Evidence, densities: Densities, address: Addresses) -> list[PrefixEvidence]:
    """Return the networks of the address, the longest last."""
    offset = 0 if evidence.root is None else 1
    found = []
    for level, length in enumerate(evidence.family.levels):
        own = int(evidence.own[level].count[0])
        is_last = level + 1 == len(evidence.family.levels)
        escape = 0.0 if is_last else float(densities.steps[level + offset].escape[0])
        others = int(evidence.other_entities(length)[0]), int(evidence.other_events(length)[0])
        found.append(PrefixEvidence(_network(address, length), own, escape, *others))
    return found


def _attackers(densities: Densities) -> dict[str, float]:
    total = sum(float(density[0]) for density in densities.attackers.values())
    shares = {name: float(density[0]) / total for name, density in densities.attackers.items()}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _flags(address: Addresses, *, is_known: bool) -> Iterator[str]:
    if not is_known:
        yield "unknown entity: the history has no event of this entity."
    if not address.is_ipv6[0]:
        yield from address_flags(int(address.ips[0]))

"""Explanation of an event: the entity's usual networks, their distance, and other entities.

The model has no reasons for its scores. The explanation has the facts that a person would look up next.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.data.entity_hash import entity_rows, hash_entities
from ipinsights.data.frames import read_rows
from ipinsights.data.ip_networks import network_text
from ipinsights.data.ipv4 import BLANKS
from ipinsights.data.pair_columns import entity_text
from ipinsights.data.pairs import Pairs
from ipinsights.inference.history_explanation import Judged, address_flags, explain_by_history, judge, parse_ip
from ipinsights.inference.history_scorer import HistoryScorer
from ipinsights.inference.scorers import as_scorer
from ipinsights.reporting.plain_text import counted, preformatted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ipinsights.inference.history_explanation import HistoryExplanation
    from ipinsights.inference.predictor import Predictor
    from ipinsights.inference.threshold import Threshold

__all__ = ["Crowd", "Explanation", "UsualNetwork", "explain"]

_LENGTH = 24
_NUM_SHOWN = 5


@dataclass(frozen=True)
class UsualNetwork:
    """A /24 that the entity came from in training."""

    network: str  # as in ``198.51.100.0/24``
    num_events: int  # how often
    score: float  # of the entity at the address it used most there
    shared_bits: int  # most leading bits that an address of the entity there has in common with the address in question


@dataclass(frozen=True)
class Crowd:
    """Other entities on a network of the address in training, and their events."""

    network: str
    num_entities: int
    num_events: int


@dataclass(frozen=True)
class Explanation(Judged):
    """Facts about an event: the networks of its entity, and others on its network.

    Attributes
    ----------
    entity, ip
        The event.
    score
        Score of the model. Higher is more normal.
    p_value, verdict, threshold
        As :class:`ipinsights.inference.threshold.Threshold` has them. None without a threshold, and no p-value for an
        unknown entity.
    num_events, num_networks
        Events of the entity in training, and the distinct /24 they came from.
    usual
        The networks it came from most, most used first.
    nearest
        The network whose addresses have most leading bits in common with this one. None if training never saw the
        entity.
    crowd
        Others on the address's /24 and /16.
    flags
        What else to keep in mind, in sentences.

    Examples
    --------
    >>> import ipinsights
    >>> logins = [("alice", "203.0.113.7"), ("alice", "203.0.113.9"), ("bob", "198.51.100.4")]
    >>> model = ipinsights.IPInsights(vector_dim=8, epochs=1, progress=False).fit(logins)
    >>> model.explain("alice", "198.51.100.4").crowd[0]
    Crowd(network='198.51.100.0/24', num_entities=1, num_events=1)
    """

    entity: str
    ip: str
    score: float
    p_value: float | None
    verdict: str | None
    threshold: float | None
    num_events: int
    num_networks: int
    usual: tuple[UsualNetwork, ...]
    nearest: UsualNetwork | None
    crowd: tuple[Crowd, ...]
    flags: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the explanation as values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return self.text()

    def text(self) -> str:
        """Return the explanation as text for a terminal."""
        head = f"{self.entity} from {self.ip}: score {self.score:.2f} (higher is more normal)"
        return "\n".join([head, *self.judgement(), "", *self._past(), "", *self._surroundings(), *self.notes()])

    def _repr_html_(self) -> str:
        return preformatted(self.text())

    def _past(self) -> Iterator[str]:
        if self.nearest is None:
            yield "Training never saw this entity."
            return
        yield f"Where it usually comes from: {counted(self.num_events, 'event')} in {self.num_networks:,} /24"
        yield f"  {'network':<18}  events  share   score"
        for usual in self.usual:
            share = 100 * usual.num_events / self.num_events
            yield f"  {usual.network:<18}  {usual.num_events:>6,}  {share:>3.0f} %  {usual.score:>6.2f}"
        if self.num_networks > len(self.usual):
            yield f"  and {self.num_networks - len(self.usual):,} more"

    def _surroundings(self) -> Iterator[str]:
        yield "This address"
        if self.nearest is not None:
            yield (
                f"  nearest usual network: {self.nearest.network}, {self.nearest.shared_bits} of 32 leading bits in "
                f"common; score there {self.nearest.score:.2f}"
            )
        for crowd in self.crowd:
            others = counted(crowd.num_entities, "other entity", "other entities")
            yield f"  on {crowd.network}: {others}, {counted(crowd.num_events, 'event')}"


def explain(
    model: Any, train: Any, entity: str, ip: str, *, threshold: Threshold | None = None, progress: bool = False
) -> Explanation | HistoryExplanation:
    """Explain how a model scores an event.

    Parameters
    ----------
    model
        A fitted :class:`~ipinsights.IPInsights`, or the path of a model.
    train
        Training data of the model: a DataFrame, an array, a list of pairs or a path. None for a model that scores by
        its history, which needs no data.
    entity, ip
        The event.
    threshold
        Threshold to judge the event by. None for no judgement.
    progress
        Show a bar on a terminal while files are read.

    Returns
    -------
    Explanation
        The usual networks of the entity, the nearest of them, and the others on the network of the address.
    HistoryExplanation
        The parts of the score instead, if the model scores by its history.

    Raises
    ------
    ClientError
        The entity or the address is invalid, or the threshold was made for another model.

    Examples
    --------
    >>> import ipinsights
    >>> train = [("alice", "203.0.113.7"), ("alice", "203.0.113.9"), ("bob", "198.51.100.4")]
    >>> model = ipinsights.IPInsights(vector_dim=4, epochs=1, progress=False).fit(train)
    >>> explanation = ipinsights.explain(model, train, "alice", "203.0.113.200")
    >>> explanation.num_events, explanation.nearest.network
    (2, '203.0.113.0/24')
    """
    scorer, entity = as_scorer(model), entity_text(entity)
    if isinstance(scorer, HistoryScorer):
        return explain_by_history(scorer, entity, ip, threshold=threshold)
    return _explain_by_network(scorer, read_rows(train, name="train", progress=progress).pairs, entity, ip, threshold)


def _explain_by_network(
    predictor: Predictor, train: Pairs, entity: str, ip: str, threshold: Threshold | None
) -> Explanation:
    """Explain the score of an event by the networks in the training data."""
    event = Pairs(hash_entities([entity]), parse_ip(predictor, ip).ips)
    own = train.ips[train.entities == event.entities[0]]
    networks = _networks(predictor, event, own)
    score = predictor.score(event.entities, event.ips)
    p_value, verdict = judge(predictor, event, threshold)
    return Explanation(
        entity=entity,
        ip=ip.strip(BLANKS),
        score=float(score[0]),
        p_value=p_value,
        verdict=verdict,
        threshold=None if threshold is None else threshold.score,
        num_events=len(own),
        num_networks=len(networks),
        usual=tuple(networks[:_NUM_SHOWN]),
        nearest=max(networks, key=lambda network: network.shared_bits, default=None),
        crowd=tuple(_crowd(train, event, length) for length in (24, 16)),
        flags=tuple(_flags(predictor, train, event, own)),
    )


def _networks(predictor: Predictor, event: Pairs, own: NDArray[np.uint32]) -> list[UsualNetwork]:
    """Return every network of the entity, the most used first."""
    # (num_addresses,): each address once, the most used first
    ips, counts = np.unique(own, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    ips, counts = ips[order], counts[order]
    # (num_networks,): each network at its most used address
    prefixes, firsts, inverse = np.unique(ips >> (32 - _LENGTH), return_index=True, return_inverse=True)
    num_events = np.bincount(inverse, weights=counts).astype(np.int64)
    nearest = np.full(len(prefixes), 0)
    np.maximum.at(nearest, inverse, _shared_bits(ips, event.ips[0]))
    scores = predictor.score(np.repeat(event.entities, len(firsts)), ips[firsts])
    return [
        UsualNetwork(
            network_text(int(prefixes[at]) << (32 - _LENGTH), _LENGTH),
            int(num_events[at]),
            float(scores[at]),
            int(nearest[at]),
        )
        for at in np.argsort(-num_events, kind="stable")
    ]


def _shared_bits(ips: NDArray[np.uint32], ip: np.uint32) -> NDArray[np.int64]:
    # The exponent of a float64 is the number of bits of a whole number.
    return 32 - np.frexp((ips ^ ip).astype(np.float64))[1].astype(np.int64)


def _crowd(train: Pairs, event: Pairs, length: int) -> Crowd:
    shift = 32 - length
    there = (train.ips >> shift == event.ips[0] >> shift) & (train.entities != event.entities[0])
    network = network_text(int(event.ips[0]), length)
    return Crowd(network, len(np.unique(train.entities[there])), int(np.count_nonzero(there)))


def _flags(predictor: Predictor, train: Pairs, event: Pairs, own: NDArray[np.uint32]) -> Iterator[str]:
    entity = event.entities[0]
    num_rows = predictor.hyperparameters.num_entity_vectors
    row = entity_rows(event.entities, num_rows)[0]
    same_row = np.unique(train.entities[entity_rows(train.entities, num_rows) == row])
    num_others = int(np.count_nonzero(same_row != entity))
    if not predictor.entity_known(event.entities)[0]:
        yield "unknown entity: the model never learned it, and its score means nothing."
        if len(own):
            yield "the training data given is not what the model was trained on."
    elif num_others:
        yield f"hash collision: the entity shares its embedding with {counted(num_others, 'other')} of training."
    if len(own) and (own == event.ips[0]).any():
        times = int(np.count_nonzero(own == event.ips[0]))
        yield f"the entity came from this very address before, {counted(times, 'time')}."
    yield from address_flags(int(event.ips[0]))

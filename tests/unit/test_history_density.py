"""The formulas of single steps and single attackers, with numbers worked out by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.inference.history_counts import CrowdCounts, OwnCounts
from ipinsights.inference.history_density import (
    IPV4_ATTACKERS,
    IPV6_ATTACKERS,
    Evidence,
    Step,
    attack_densities,
    steps,
)
from ipinsights.inference.history_scorer import HistoryTables
from ipinsights.model import history_settings as settings
from ipinsights.model.pair_history import PairHistory

if TYPE_CHECKING:
    from numpy.typing import NDArray

HERE, NEXT_DOOR, FAR = 0x0A000001, 0x0A000002, 0x0A010001


def evidence(ipv4: list[tuple[int, int]], *addresses: int) -> Evidence:
    """Return what a history of some rows knows of the first entity at some addresses."""
    entities, ips = (np.array([row[part] for row in ipv4], dtype=kind) for part, kind in ((0, "u8"), (1, "u4")))
    tables = HistoryTables(PairHistory.from_pairs(entities, ips))
    return tables.evidence(np.zeros(len(addresses), dtype=np.int64), np.array(addresses, dtype=np.uint32))


def ipv6_evidence(rows: list[tuple[int, int]], *addresses: int) -> Evidence:
    """Return the same of a history of IPv6 rows alone."""
    entities, upper = (np.array([row[part] for row in rows], dtype=np.uint64) for part in (0, 1))
    tables = HistoryTables(PairHistory.from_pairs(entities[:0], np.empty(0, dtype=np.uint32), (entities, upper)))
    return tables.evidence(np.zeros(len(addresses), dtype=np.int64), np.array(addresses, dtype=np.uint64))


def floats(*values: float) -> NDArray[np.float32]:
    """Return an array of one value each."""
    return np.array(values, dtype=np.float32)


def test_a_step() -> None:
    """A step of four bits has the density of the formula for an entity and a crowd.

    The entity has three events on two prefixes, and there are five other pairs on three prefixes.
    """
    parent = OwnCounts(kept=floats(2.9), rate=floats(0.3), escape=floats(0.2), num_inside=floats(2))
    everybody = CrowdCounts(entities=floats(3), inside=floats(7), num_parts=floats(4), events=floats(9))
    step = Step.of(4, parent, floats(1.6), everybody)
    crowd = (16 * (3 - 1) + 4) / (7 - 2 + 4)
    assert step.share[0] == pytest.approx(16 * 0.3 * 1.6)
    assert step.crowd[0] == pytest.approx(crowd)
    assert step.factor[0] == pytest.approx(16 * 0.3 * 1.6 + 0.2 * crowd)


def test_steps_lead_to_the_whole_address() -> None:
    """There is a step between neighbouring levels, and one to the family if there are two."""
    assert len(steps(evidence([(1, HERE)], HERE))) == len(settings.IPV4_LEVELS) - 1
    assert len(steps(ipv6_evidence([(1, HERE << 32)], HERE << 32))) == len(settings.IPV6_LEVELS)


def test_the_mixture_has_the_weights() -> None:
    """Attackers who come from anywhere, or as others do, are there at every address."""
    found = attack_densities(evidence([(1, HERE)], FAR), floats(3))
    total = sum(settings.IPV4_WEIGHTS.values())
    assert list(found) == list(settings.IPV4_WEIGHTS) == list(IPV4_ATTACKERS)
    assert found[settings.ANYWHERE][0] == pytest.approx(1 / total)
    assert found[settings.CROWD][0] == pytest.approx(3 / total)
    assert list(IPV6_ATTACKERS) == list(settings.IPV6_WEIGHTS)


def test_attackers_from_other_entities() -> None:
    """At an address of another entity it is that address, and next door it is the /24."""
    # entity 2 has three of the four events of others
    known = evidence([(1, FAR), (2, HERE), (2, HERE), (2, HERE), (3, FAR)], HERE, NEXT_DOOR)
    total = sum(settings.IPV4_WEIGHTS.values())
    found = attack_densities(known, floats(1, 1))
    assert found[settings.OTHERS_32] == pytest.approx([0.125 / total * 2**32 * 3 / 4, 0])
    assert found[settings.OTHERS_24] == pytest.approx([0, 0.25 / total * 2**24 * 3 / 4])


def test_the_attacker_next_to_the_entity() -> None:
    """A new /24 in the entity's own /16, and nowhere else."""
    known = evidence([(1, HERE), (1, FAR), (2, FAR)], HERE, HERE + 256, FAR + 2**16)
    total = sum(settings.IPV4_WEIGHTS.values())
    found = attack_densities(known, floats(1, 1, 1))[settings.OWN_16]
    assert found == pytest.approx([0, 0.75 / total * 2**16 / 2, 0])


def test_ipv6_outside_of_what_is_routed() -> None:
    """Nobody comes from there, and the logarithm of it is finite."""
    own = 0x2A00 << 48
    found = attack_densities(ipv6_evidence([(1, own), (2, own)], own, 0), floats(1, 1))[settings.ANYWHERE]
    assert found == pytest.approx([8 / sum(settings.IPV6_WEIGHTS.values()), 1e-6 / sum(settings.IPV6_WEIGHTS.values())])


def test_attackers_from_known_ipv6_networks() -> None:
    """All /32 of other entities are equal to them, unless the /48 was seen."""
    own, other, third = (network << 32 for network in (0x2A000001, 0x2A000002, 0x2A000003))
    known = ipv6_evidence([(1, own), (2, other), (2, third)], other | 1 << 20, other, own | 1 << 20)
    assert known.root is not None
    found = attack_densities(known, floats(1, 1, 1))[settings.KNOWN_32]
    each = 0.3 / sum(settings.IPV6_WEIGHTS.values()) * 2**32 / 3 * known.root.crowd[0]
    assert found == pytest.approx([each, 0, 0])


def test_counts_of_others_are_without_the_entity_s_own() -> None:
    """Events and entities at a prefix, for entities that are there and that are not."""
    known = evidence([(1, HERE), (1, HERE), (2, HERE), (3, NEXT_DOOR)], HERE, FAR)
    assert known.own_events(32).tolist() == [2, 0]
    assert known.other_events(32).tolist() == [1, 0]
    assert known.other_entities(24).tolist() == [2, 0]
    assert known.other_entities(8).tolist() == [2, 2]
    assert known.own_share(32).tolist() == [2**32, 0]

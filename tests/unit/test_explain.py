"""Explanations: counts and networks on rows that can be counted by hand."""

from __future__ import annotations

import ipaddress
import json

import numpy as np
import pytest

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.data.entity_hash import hash_entities
from ipinsights.data.pairs import Pairs
from ipinsights.errors import ClientError
from ipinsights.inference.explain import Crowd, Explanation, explain
from ipinsights.inference.predictor import Predictor
from ipinsights.inference.threshold import Threshold
from ipinsights.model.artifact import Artifact
from ipinsights.model.bloom import BloomFilter

NUM_ROWS = 1000
TRAIN = [
    *[("ann", "198.51.7.10")] * 5, *[("ann", "198.51.7.11")] * 2, *[("ann", "20.1.2.3")] * 3,
    *[("bob", "20.1.2.9")] * 4, ("cid", "20.1.9.9"), ("cid", "20.1.2.3"),
]  # fmt: skip


def pairs_of(rows: list[tuple[str, str]]) -> Pairs:
    """Return rows as training reads them."""
    names, ips = zip(*rows, strict=True)
    return Pairs(hash_entities(names), np.array([int(ipaddress.IPv4Address(ip)) for ip in ips], dtype=np.uint32))


def predictor_of(rows: list[tuple[str, str]], *, num_rows: int = NUM_ROWS) -> Predictor:
    """Return a predictor with random parameters that was trained on the entities of the rows."""
    rng = np.random.default_rng(0)
    known = BloomFilter.of(pairs_of(rows).entities, num_rows)
    params = {
        "entity_weight": rng.normal(size=(num_rows, 8)).astype(np.float32),
        "ip_octet_weight": rng.normal(size=(1024, 2)).astype(np.float32),
    }
    return Predictor(Artifact(Hyperparameters(num_rows, 8, num_ip_encoder_layers=0), params, known, {}))


def score_of(predictor: Predictor, entity: str, ip: str) -> float:
    """Return the model's score of a pair."""
    pair = pairs_of([(entity, ip)])
    return float(predictor.score(pair.entities, pair.ips)[0])


def test_networks_and_crowd_by_hand() -> None:
    """Networks and crowd of ten events in two /24 are those computed by hand.

    The nearest network shares the most leading bits. Two other entities use the networks of the address.
    """
    predictor = predictor_of(TRAIN)
    found = explain(predictor, pairs_of(TRAIN), "ann", "20.1.2.200")
    assert isinstance(found, Explanation)
    assert (found.num_events, found.num_networks) == (10, 2)
    assert [(usual.network, usual.num_events) for usual in found.usual] == [("198.51.7.0/24", 7), ("20.1.2.0/24", 3)]
    assert [usual.score for usual in found.usual] == [
        pytest.approx(score_of(predictor, "ann", "198.51.7.10")), pytest.approx(score_of(predictor, "ann", "20.1.2.3"))
    ]  # fmt: skip
    assert found.nearest == found.usual[1]
    # 20.1.2.200 is 11001000 and 20.1.2.3 is 00000011 in the last octet: 24 bits in common
    assert [usual.shared_bits for usual in found.usual] == [0, 24]
    assert found.score == pytest.approx(score_of(predictor, "ann", "20.1.2.200"))
    assert found.crowd == (Crowd("20.1.2.0/24", 2, 5), Crowd("20.1.0.0/16", 2, 6))
    assert found.flags == ()


def test_the_text_says_all_of_it() -> None:
    """The text has every line of the explanation."""
    predictor = predictor_of(TRAIN)
    scores = [score_of(predictor, "ann", ip) for ip in ("20.1.2.3", "198.51.7.10")]
    assert str(explain(predictor, pairs_of(TRAIN), "ann", " 20.1.2.3 ")) == (
        f"ann from 20.1.2.3: score {scores[0]:.2f} (higher is more normal)\n"
        "\n"
        "Where it usually comes from: 10 events in 2 /24\n"
        "  network             events  share   score\n"
        f"  198.51.7.0/24            7   70 %  {scores[1]:>6.2f}\n"
        f"  20.1.2.0/24              3   30 %  {scores[0]:>6.2f}\n"
        "\n"
        "This address\n"
        f"  nearest usual network: 20.1.2.0/24, 32 of 32 leading bits in common; score there {scores[0]:.2f}\n"
        "  on 20.1.2.0/24: 2 other entities, 5 events\n"
        "  on 20.1.0.0/16: 2 other entities, 6 events\n"
        "\n"
        "Note: the entity came from this very address before, 3 times."
    )


@pytest.mark.parametrize(
    ("ip", "purpose"),
    [
        ("10.255.0.1", "private (RFC 1918)"),
        ("172.31.255.255", "private (RFC 1918)"),
        ("172.32.0.0", None),
        ("192.168.0.1", "private (RFC 1918)"),
        ("100.127.255.255", "carrier-grade NAT (RFC 6598): shared by many subscribers"),
        ("100.128.0.0", None),
        ("127.0.0.1", "loopback"),
        ("169.254.1.1", "link-local"),
        ("224.0.0.1", "multicast"),
        ("240.0.0.1", "reserved (future use)"),
        ("255.255.255.255", "broadcast"),
        ("203.0.113.9", "reserved (documentation)"),
        ("8.8.8.8", None),
    ],
)
def test_special_ranges_are_flagged(ip: str, purpose: str | None) -> None:
    """Both ends of a special range are flagged, and the addresses next to it are not."""
    expected = () if purpose is None else (f"the address is no ordinary public one: {purpose}.",)
    assert explain(predictor_of(TRAIN), pairs_of(TRAIN), "ann", ip).flags == expected


def test_collisions_and_strangers_are_flagged() -> None:
    """Hash collisions, unknown entities and rows that training did not see are reported.

    With a table of one row all entities collide.
    """
    everybody = explain(predictor_of(TRAIN, num_rows=1), pairs_of(TRAIN), "ann", "8.8.8.8")
    assert everybody.flags == ("hash collision: the entity shares its embedding with 2 others of training.",)
    unknown = "unknown entity: the model never learned it, and its score means nothing."
    stranger = explain(predictor_of(TRAIN), pairs_of(TRAIN), "zoe", "8.8.8.8")
    assert isinstance(stranger, Explanation)
    assert (stranger.flags, stranger.nearest, stranger.num_events) == ((unknown,), None, 0)
    other = explain(predictor_of(TRAIN[10:]), pairs_of(TRAIN), "ann", "8.8.8.8")
    assert other.flags == (unknown, "the training data given is not what the model was trained on.")


def test_the_verdict_is_the_threshold_s() -> None:
    """P-value and verdict are those of ``Threshold``, and the explanation fits JSON.

    An unknown entity has no p-value.
    """
    predictor, train = predictor_of(TRAIN), pairs_of(TRAIN)
    rng = np.random.default_rng(1)
    calibration = Pairs(np.full(999, train.entities[0]), rng.integers(2**32, size=999).astype(np.uint32))
    threshold = Threshold.calibrate(predictor, calibration, fpr=0.3, allow=["9.0.0.0/8"])
    for entity, ip, verdict in (("ann", "9.9.9.9", "allowed"), ("zoe", "8.8.8.8", "unknown_entity")):
        found = explain(predictor, train, entity, ip, threshold=threshold)
        assert (found.verdict, found.threshold) == (verdict, threshold.score)
        assert (found.p_value is None) == (entity == "zoe")
        assert json.loads(json.dumps(found.to_json()))["verdict"] == verdict
    found = explain(predictor, train, "ann", "8.8.8.8", threshold=threshold)
    assert found.p_value == threshold.p_values(np.array([found.score], dtype=np.float32))[0]
    assert found.verdict == ("suspicious" if found.score < threshold.score else "normal")


def test_no_entity() -> None:
    """An entity that no data can have is an error, and no unknown entity."""
    with pytest.raises(ClientError) as caught:
        explain(predictor_of(TRAIN), pairs_of(TRAIN), "", "8.8.8.8")
    assert str(caught.value) == "Entity '' is not valid: the entity is empty."


def test_no_address() -> None:
    """The sentence says what it must be."""
    with pytest.raises(ClientError) as caught:
        explain(predictor_of(TRAIN), pairs_of(TRAIN), "ann", "::1")
    assert str(caught.value).startswith("'::1' is no IPv4 address: ")

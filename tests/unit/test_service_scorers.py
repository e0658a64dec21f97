"""Answers of a model with a history: which scorer a request gets, and in which key."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ipinsights.data.entity_hash import hash_entities
from ipinsights.inference.history_scorer import HistoryScorer
from ipinsights.model import artifact
from ipinsights.model.history_member import HistoryRecord
from ipinsights.model.pair_history import PairHistory
from ipinsights.serving.media_types import CSV, JSON, JSON_LINES, RequestError
from ipinsights.serving.service import InferenceModel
from ipinsights.testing import save_random_model

if TYPE_CHECKING:
    from pathlib import Path

BODY = b"user,10.0.0.1"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a random model that has seen a user at one IPv4 and one IPv6 address."""
    save_random_model(tmp_path, num_entities=16, vector_dim=4, rng=np.random.default_rng(0))
    user, ip = hash_entities(["user"]), np.array([0x0A000001], dtype=np.uint32)
    history = PairHistory.from_pairs(user, ip, (user, np.array([0x2A00 << 48], dtype=np.uint64)))
    record = HistoryRecord([{"kind": "training", "num_rows": 2, "num_entities": 1, "fingerprint": "f"}])
    artifact.replace_history(tmp_path, artifact.load(tmp_path), history, record)
    return tmp_path


def answered(model: InferenceModel, accept: str = JSON, body: bytes = BODY) -> dict[str, Any]:
    """Return the only record of an answer."""
    pieces = model.answer(body, content_type=CSV, accept=accept, default=JSON).pieces
    (record,) = json.loads(b"".join(pieces))["predictions"]
    assert isinstance(record, dict)
    return record


def test_a_request_chooses(model: Path) -> None:
    """The parameter decides, and without it the option of the server."""
    for started_with, default in (("dot_product", "dot_product"), ("history", "history")):
        served = InferenceModel.load(model, started_with)
        assert list(answered(served)) == [default]
        for scorer in ("dot_product", "history"):
            assert list(answered(served, f"{JSON}; scorer={scorer}")) == [scorer]


def test_the_score_is_that_of_the_scorer(model: Path) -> None:
    """Many records are written like few, and both have the scorer's numbers."""
    served, scorer = InferenceModel.load(model, "history"), HistoryScorer(artifact.load(model))
    expected = float(scorer.score(hash_entities(["user"]), np.array([0x0A000001], dtype=np.uint32))[0])
    assert answered(served)["history"] == expected
    pieces = served.answer(b"\n".join([BODY] * 50), content_type=CSV, accept=JSON_LINES, default=JSON).pieces
    assert b"".join(pieces) == b"".join([b'{"history":%r}\n' % expected] * 50)


def test_extended_answers(model: Path) -> None:
    """Whether the entity is known is what the history says."""
    served = InferenceModel.load(model, "history")
    assert answered(served, f"{JSON}; extended=true")["entity_known"] is True
    assert answered(served, f"{JSON}; extended=true", b"nobody,10.0.0.1")["entity_known"] is False


@pytest.mark.parametrize("body", [b"user,2a00::1", b'"user",[2a00::1]', b"user,::ffff:10.0.0.1"])
def test_ipv6(model: Path, body: bytes) -> None:
    """The history answers, in every notation. The network refuses IPv6."""
    served = InferenceModel.load(model)
    assert answered(served, f"{JSON}; scorer=history", body)["history"] > 10
    with pytest.raises(RequestError) as refused:
        answered(served, JSON, body)
    assert refused.value.status == HTTPStatus.BAD_REQUEST
    assert "is no IPv4 address: it looks like IPv6; leave such rows out." in str(refused.value)


def test_no_embeddings_of_ipv6(model: Path) -> None:
    """The network does not know IPv6, so that there is nothing verbose to give."""
    with pytest.raises(RequestError) as refused:
        answered(InferenceModel.load(model, "history"), f"{JSON}; verbose=true", b"user,2a00::1")
    assert str(refused.value) == (
        "IPv6 addresses have no embeddings: the network knows IPv4 only. Ask without verbose."
    )


def test_a_model_without_a_history(tmp_path: Path) -> None:
    """A request for the history is not acceptable."""
    save_random_model(tmp_path, num_entities=16, vector_dim=4, rng=np.random.default_rng(0))
    with pytest.raises(RequestError) as refused:
        answered(InferenceModel.load(tmp_path), f"{JSON}; scorer=history")
    assert refused.value.status == HTTPStatus.NOT_ACCEPTABLE
    assert str(refused.value) == (
        "This model has no history: ask for the scorer 'dot_product', or leave the parameter out."
    )


def test_an_unknown_scorer(model: Path) -> None:
    """The message names the two that there are."""
    with pytest.raises(RequestError) as refused:
        answered(InferenceModel.load(model), f"{JSON}; scorer=magic")
    assert str(refused.value) == "Parameter 'scorer' of Accept must be dot_product or history. Got 'magic'."

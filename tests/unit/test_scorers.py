"""The scorers of a model, by name and by what is at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from ipinsights import IPInsights
from ipinsights.data.ipv6 import parse_addresses
from ipinsights.data.pairs import Pairs
from ipinsights.errors import ClientError, InvalidValueError
from ipinsights.inference.history_scorer import HistoryScorer
from ipinsights.inference.predictor import Predictor
from ipinsights.inference.scorers import as_scorer, check_scorer, load_scorer, make_scorer
from ipinsights.model import artifact
from ipinsights.model.history_member import HistoryRecord
from ipinsights.model.pair_history import PairHistory
from ipinsights.testing import save_random_model

if TYPE_CHECKING:
    from pathlib import Path

ENTITIES = np.array([3, 3, 5], dtype=np.uint64)


def with_history(folder: Path, *, ipv6: bool = True) -> Path:
    """Write a random model with a history of three rows of each family, and return its folder."""
    save_random_model(folder, num_entities=16, vector_dim=4, rng=np.random.default_rng(0))
    rows = (ENTITIES, np.array([1, 2, 3], dtype=np.uint64) << np.uint64(60)) if ipv6 else None
    history = PairHistory.from_pairs(ENTITIES, np.array([1, 2, 3], dtype=np.uint32), rows)
    record = HistoryRecord([{"kind": "training", "num_rows": 6, "num_entities": 2, "fingerprint": "f"}])
    artifact.replace_history(folder, artifact.load(folder), history, record)
    return folder


def test_scorers_have_names(tmp_path: Path) -> None:
    """Each name makes a scorer that is called so. The dot product is the default."""
    folder = with_history(tmp_path)
    for name, kind in (("dot_product", Predictor), ("history", HistoryScorer)):
        scorer = load_scorer(folder, name)
        assert isinstance(scorer, kind)
        assert scorer.name == name
    assert isinstance(load_scorer(folder), Predictor)


def test_an_unknown_name(tmp_path: Path) -> None:
    """An unknown name is refused with the two that are known."""
    folder = with_history(tmp_path)
    for call in (lambda: make_scorer(artifact.load(folder), "counting"), lambda: check_scorer("counting")):
        with pytest.raises(InvalidValueError) as refused:
            call()
        assert str(refused.value) == "The scorer must be 'dot_product' or 'history'. Got 'counting'."
    check_scorer("history")


def test_a_model_without_a_history(tmp_path: Path) -> None:
    """The message says what to do."""
    save_random_model(tmp_path, num_entities=16, vector_dim=4, rng=np.random.default_rng(0))
    with pytest.raises(ClientError) as refused:
        load_scorer(tmp_path, "history")
    assert str(refused.value) == "This model has no history. Train it with keep_history to use the scorer 'history'."


@pytest.mark.parametrize(("name", "ipv6", "is_accepted"), [
    ("dot_product", True, False), ("history", False, False), ("history", True, True),
])  # fmt: skip
def test_only_histories_with_ipv6_accept_it(tmp_path: Path, name: str, *, ipv6: bool, is_accepted: bool) -> None:
    """The network does not, whatever the history has."""
    assert load_scorer(with_history(tmp_path, ipv6=ipv6), name).accepts_ipv6 is is_accepted


def test_rows_of_both_families_have_the_scores_of_each(tmp_path: Path) -> None:
    """Each row has that of its family, in the order of the rows."""
    scorer = load_scorer(with_history(tmp_path), "history")
    assert isinstance(scorer, HistoryScorer)
    addresses = parse_addresses(pa.array(["2000::1", "0.0.0.2", "3000::1"]))
    scores = scorer.score_rows(Pairs(ENTITIES, addresses.ips, addresses))
    assert scores[[0, 2]].tolist() == scorer.log_ratios(ENTITIES[[0, 2]], addresses.upper[[0, 2]]).tolist()
    assert scores[1:2].tolist() == scorer.score(ENTITIES[1:2], addresses.ips[1:2]).tolist()
    ipv4 = Pairs(ENTITIES, np.array([1, 2, 3], dtype=np.uint32))
    assert scorer.score_rows(ipv4).tolist() == scorer.score(ipv4.entities, ipv4.ips).tolist()
    assert scorer.predictor.score_rows(ipv4).tolist() == scorer.predictor.score(ipv4.entities, ipv4.ips).tolist()


def test_what_is_at_hand_is_a_scorer(tmp_path: Path) -> None:
    """A path by the dot product, an estimator by its own scorer, and a scorer by itself."""
    folder = with_history(tmp_path)
    model = IPInsights.load(folder, scorer="history")
    assert isinstance(as_scorer(folder), Predictor)
    assert isinstance(as_scorer(str(folder)), Predictor)
    assert as_scorer(model) is model.scorer_
    assert as_scorer(model.scorer_) is model.scorer_

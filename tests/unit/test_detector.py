"""Scoring by a fitted estimator."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from ipinsights import Explanation, HistoryExplanation, IPInsights, explain
from ipinsights.data.ipv4 import format_ips
from ipinsights.errors import ClientError, InvalidValueError
from ipinsights.inference.history_scorer import HistoryScorer
from ipinsights.inference.predictor import Predictor
from ipinsights.model import artifact
from ipinsights.testing import PlantedNetworks

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

RNG = np.random.default_rng(11)
PLANTED = PlantedNetworks.draw(6, rng=RNG)


def frame(num_rows: int) -> pd.DataFrame:
    """Return normal rows with an index of their own."""
    entities, ips = PLANTED.normal(num_rows, rng=RNG)
    table = {"user": PLANTED.names(entities), "address": format_ips(ips).to_pylist()}
    return pd.DataFrame(table, index=np.arange(num_rows) + 1000)


TRAIN, LATER = frame(200), frame(150)


def with_history() -> IPInsights:
    """Train for one epoch, with a history of both families."""
    rows = pd.concat([TRAIN, pd.DataFrame({"user": ["user_0"] * 3, "address": ["2a00::1", "2a00::2", "2a00::3"]})])
    return IPInsights(
        vector_dim=8, epochs=1, progress=False, keep_history=True, ipv6=True, scorer="history"
    ).fit(rows)  # fmt: skip


@pytest.fixture(scope="module")
def fitted() -> IPInsights:
    """Return a model that was trained for one epoch and never saved."""
    return IPInsights(vector_dim=8, epochs=1, progress=False).fit(TRAIN)


@pytest.fixture
def model(fitted: IPInsights) -> IPInsights:
    """Return a copy for a test of its own."""
    return copy.deepcopy(fitted)


def test_scores_are_the_predictor_s(model: IPInsights, tmp_path: Path) -> None:
    """Scores are the same before and after saving, for a DataFrame and for a file."""
    model.save(tmp_path)
    LATER.to_csv(tmp_path / "rows.csv", header=False, index=False)
    scores = model.score_samples(tmp_path / "rows.csv")
    assert scores.dtype == np.float32
    assert np.array_equal(model.score_samples(LATER).to_numpy(), scores)
    assert model.score_samples(LATER).index.equals(LATER.index)
    loaded = IPInsights.load(tmp_path)
    assert np.array_equal(loaded.score_samples(LATER.to_numpy()), scores)
    assert np.array_equal(Predictor.load(tmp_path).score(*_hashed(LATER)), scores)
    assert len(loaded.history_) == 0


def _hashed(rows: pd.DataFrame) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    from ipinsights.data.frames import read_rows

    pairs = read_rows(rows).pairs
    return pairs.entities, pairs.ips


def test_predictions_follow_from_the_offset(model: IPInsights) -> None:
    """The offset is 0 before calibration and the threshold after it. A score on it is normal."""
    assert (model.offset_, model.threshold_) == (0, None)
    scores = model.score_samples(LATER)
    assert model.predict(LATER).tolist() == np.where(scores >= 0, 1, -1).tolist()
    assert model.calibrate(LATER, fpr=0.1) is model
    assert model.threshold_ is not None
    assert model.offset_ == model.threshold_.score
    assert np.array_equal(model.decision_function(LATER), scores.astype(np.float64) - model.offset_)
    flagged = model.predict(LATER) == -1
    assert flagged.sum() == (scores.to_numpy() < np.float32(model.offset_)).sum() <= 15


def test_allowed_networks_are_normal(model: IPInsights) -> None:
    """A pair from an allowed network is normal, whatever its score."""
    network = TRAIN["address"].iloc[0].rsplit(".", 2)[0] + ".0.0/16"
    model.calibrate(LATER, fpr=0.1, allow=[network])
    # Above every score, so that nothing else is normal.
    model.offset_ = 1e9
    is_inside = LATER["address"].str.startswith(network.removesuffix("0.0/16"))
    assert (model.predict(LATER) == 1).tolist() == is_inside.tolist()


def test_unknown_entities_are_told_apart(model: IPInsights) -> None:
    """Entities, or rows with them, are known or unknown."""
    assert model.entity_known(LATER).all()
    assert model.entity_known(["user_0", "a stranger"]).tolist() == [True, False]


def test_a_score_is_the_product_of_two_embeddings(model: IPInsights) -> None:
    """The dot product of entity and address embedding is the score, and both keep the index."""
    entities, ips = model.entity_embeddings(LATER), model.ip_embeddings(LATER)
    assert entities.index.equals(LATER.index)
    products = (entities.to_numpy() * ips.to_numpy()).sum(axis=1)
    assert products == pytest.approx(model.score_samples(LATER).to_numpy(), abs=1e-5)


def test_a_pair_is_explained(model: IPInsights, tmp_path: Path) -> None:
    """The facts come from the training data, which a loaded model must be given."""
    user, address = TRAIN.iloc[0]
    fitted = IPInsights(vector_dim=8, epochs=1, progress=False).fit(TRAIN)
    found = fitted.explain(user, address)
    assert isinstance(found, Explanation)
    assert found.num_events == (TRAIN["user"] == user).sum()
    fitted.save(tmp_path)
    loaded = IPInsights.load(tmp_path)
    assert loaded.explain(user, address, train=TRAIN) == found
    with pytest.raises(InvalidValueError, match=r"^The model was loaded without its training data\. Pass "):
        loaded.explain(user, address)
    assert found._repr_html_().startswith(f"<pre>{user} from {address}: score ")
    threshold = model.calibrate(LATER, fpr=0.1).threshold_
    assert threshold is not None
    assert threshold._repr_html_().startswith("<pre>Suspicious: score &lt; ")


@pytest.fixture(scope="module")
def kept() -> IPInsights:
    """Return a model with a history of both families that scores by it."""
    return with_history()


@pytest.fixture
def historian(kept: IPInsights) -> IPInsights:
    """Return a copy for a test of its own."""
    return copy.deepcopy(kept)


class TestHistory:
    """Detectors that score by the history."""

    def test_scores_are_the_scorer_s(self, historian: IPInsights, tmp_path: Path) -> None:
        """Scores are those of the scorer, for both families, before and after loading.

        The order of the rows is kept for a DataFrame and for a file.
        """
        historian.save(tmp_path)
        rows = LATER.copy()
        rows.loc[rows.index[::7], "address"] = "2a00::5"
        scores = historian.score_samples(rows)
        assert (scores.dtype, scores.name) == (np.float32, "score")
        assert scores.index.equals(rows.index)
        rows.to_csv(tmp_path / "rows.csv", header=False, index=False)
        loaded = IPInsights.load(tmp_path, scorer="history")
        assert np.array_equal(loaded.score_samples(tmp_path / "rows.csv"), scores.to_numpy())
        is_ipv6 = rows["address"].str.contains(":")
        direct = HistoryScorer(artifact.load(tmp_path)).score(*_hashed(rows[~is_ipv6]))
        assert np.array_equal(direct, scores[~is_ipv6].to_numpy())
        assert np.array_equal(
            IPInsights.load(tmp_path).score_samples(rows[~is_ipv6]), loaded.predictor_.score(*_hashed(rows[~is_ipv6]))
        )

    def test_calibration_and_predictions(self, historian: IPInsights) -> None:
        """The threshold is the scorer's, its networks may be IPv6, and history data are refused."""
        rows = pd.concat([LATER, pd.DataFrame({"user": ["user_0"], "address": ["2b00::1"]}, index=[0])])
        assert (historian.predict(rows) == np.where(historian.score_samples(rows) >= 0, 1, -1)).all()
        historian.calibrate(LATER, fpr=0.1, allow=["2b00::/16"])
        assert historian.threshold_ is not None
        assert (historian.threshold_.scorer, historian.threshold_.num_rows) == ("history", 150)
        historian.offset_ = 1e9
        assert historian.predict(rows).tolist() == [-1] * 150 + [1]
        kept = IPInsights(vector_dim=8, epochs=1, progress=False, keep_history=True, scorer="history").fit(TRAIN)
        with pytest.raises(ClientError) as caught:
            kept.calibrate(TRAIN)
        assert str(caught.value) == (
            "The calibration events were merged into the history of this model, so their scores are too high. "
            "Calibrate with events that came later."
        )

    def test_rows_of_both_families_are_recognised(self, historian: IPInsights, tmp_path: Path) -> None:
        """Rows of the history are refused in any order of the families, also from a file."""
        rows = pd.concat([TRAIN, pd.DataFrame({"user": ["user_0"] * 3, "address": ["2a00::1", "2a00::2", "2a00::3"]})])
        mixed = pd.concat([rows.iloc[:100], rows.iloc[-3:], rows.iloc[100:-3]])
        mixed.to_csv(tmp_path / "mixed.csv", header=False, index=False)
        for data in (mixed, tmp_path / "mixed.csv"):
            with pytest.raises(ClientError, match=r"^The calibration events were merged into the history "):
                historian.calibrate(data)

    def test_known_entities_are_exact(self, historian: IPInsights) -> None:
        """None of 20,000 strangers seems known, and entities of IPv6 rows are."""
        strangers = [f"stranger {number}" for number in range(20_000)]
        assert not historian.entity_known(strangers).any()
        assert historian.entity_known([("user_0", "2a00::1"), ("nobody", "2a00::1")]).tolist() == [True, False]

    def test_explanations_need_no_data(self, historian: IPInsights, tmp_path: Path) -> None:
        """The parts of the score add up, in a loaded model too, and the threshold judges."""
        historian.calibrate(LATER, fpr=0.1).save(tmp_path)
        loaded = IPInsights.load(tmp_path, scorer="history")
        found = loaded.explain("user_0", "2a00::9")
        assert found == explain(loaded, None, "user_0", "2a00::9", threshold=loaded.threshold_)
        assert isinstance(found, HistoryExplanation)
        assert found.score == pytest.approx(found.log_entity - found.log_attack + found.network_share, abs=1e-4)
        assert found.score == pytest.approx(float(loaded.score_samples([("user_0", "2a00::9")])[0]), abs=1e-5)
        assert found.threshold == loaded.offset_
        with pytest.raises(ValueError, match=r"^'x' is not an address that can be used: "):
            loaded.explain("user_0", "x")

    def test_each_scorer_has_a_threshold_on_disk(self, historian: IPInsights, tmp_path: Path) -> None:
        """Saving with one scorer keeps the other's threshold, unless it is for another model."""
        historian.calibrate(LATER, fpr=0.1).save(tmp_path)
        network = IPInsights.load(tmp_path)
        assert network.offset_ == 0
        network.calibrate(LATER, fpr=0.05).save(tmp_path)
        for scorer, fpr in (("history", 0.1), ("dot_product", 0.05)):
            threshold = IPInsights.load(tmp_path, scorer=scorer).threshold_
            assert threshold is not None
            assert (threshold.scorer, threshold.fpr) == (scorer, fpr)
        IPInsights(vector_dim=8, epochs=1, random_state=9, progress=False).fit(TRAIN).save(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["model_algo-1"]

    @pytest.mark.parametrize("is_saved", [True, False])
    def test_pickles_keep_the_scorer(self, historian: IPInsights, tmp_path: Path, *, is_saved: bool) -> None:
        """A pickle has the scorer, the threshold, and a reference to the file or the pairs."""
        historian.calibrate(LATER, fpr=0.1)
        if is_saved:
            historian.save(tmp_path)
        content = pickle.dumps(historian)
        copied = pickle.loads(content)  # noqa: S301 - our own
        assert np.array_equal(copied.decision_function(LATER), historian.decision_function(LATER))
        assert (copied.scorer, copied.keep_history, copied.ipv6) == ("history", True, True)
        history = historian.artifact_.history
        assert history is not None
        assert (history.ipv4.addresses.tobytes() in content) is not is_saved

    def test_embeddings_of_rows_with_ipv6(self, historian: IPInsights) -> None:
        """Entities have some, and the network refuses the addresses."""
        rows = [("user_0", "2a00::1"), ("user_1", "192.0.2.1")]
        assert historian.entity_embeddings(rows).shape == (2, 8)
        with pytest.raises(ValueError, match=r"^row 0 of X: '2a00::1' is no IPv4 address: "):
            historian.ip_embeddings(rows)

    def test_a_model_without_a_history(self, model: IPInsights, tmp_path: Path) -> None:
        """A model without a history cannot be loaded for the scorer ``history``."""
        model.save(tmp_path)
        with pytest.raises(ClientError) as caught:
            IPInsights.load(tmp_path, scorer="history")
        assert str(caught.value) == (
            "This model has no history. Train it with keep_history to use the scorer 'history'."
        )


def test_columns_are_scored(model: IPInsights) -> None:
    """Columns of Arrow or of a DataFrame have the scores of rows, as a column of Arrow."""
    scores = model.score_arrow(LATER["user"], LATER["address"])
    assert np.array_equal(scores.to_numpy(), model.score_samples(LATER).to_numpy())

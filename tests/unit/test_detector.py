"""Scoring, saving and pickling of a fitted estimator."""

from __future__ import annotations

import copy
import pickle
import shutil
import tarfile
from multiprocessing import get_context
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from ipinsights import IPInsights
from ipinsights.data.ipv4 import format_ips
from ipinsights.errors import ClientError, InvalidValueError
from ipinsights.inference.predictor import Predictor
from ipinsights.testing import PlantedNetworks

if TYPE_CHECKING:
    from pathlib import Path

RNG = np.random.default_rng(11)
PLANTED = PlantedNetworks.draw(6, rng=RNG)


def frame(num_rows: int) -> pd.DataFrame:
    """Return normal rows with an index of their own."""
    entities, ips = PLANTED.normal(num_rows, rng=RNG)
    table = {"user": PLANTED.names(entities), "address": format_ips(ips).to_pylist()}
    return pd.DataFrame(table, index=np.arange(num_rows) + 1000)


TRAIN, LATER = frame(200), frame(150)


@pytest.fixture(scope="module")
def fitted() -> IPInsights:
    """Return a model that was trained for one epoch and never saved."""
    return IPInsights(vector_dim=8, epochs=1, progress=False).fit(TRAIN)


@pytest.fixture
def model(fitted: IPInsights) -> IPInsights:
    """Return a copy for a test of its own."""
    return copy.deepcopy(fitted)


def test_scores_are_the_predictor_s(model: IPInsights, tmp_path: Path) -> None:
    """Before and after a model is saved and loaded, as a Series or an array."""
    model.save(tmp_path)
    pairs = LATER.to_csv(tmp_path / "rows.csv", header=False, index=False) or tmp_path / "rows.csv"
    scores = model.score_samples(pairs)
    assert scores.dtype == np.float32
    assert np.array_equal(model.score_samples(LATER).to_numpy(), scores)
    assert model.score_samples(LATER).index.equals(LATER.index)
    loaded = IPInsights.load(tmp_path)
    assert np.array_equal(loaded.score_samples(LATER.to_numpy()), scores)
    assert np.array_equal(Predictor.load(tmp_path).score(*_hashed(LATER)), scores)
    assert len(loaded.history_) == 0


def _hashed(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    from ipinsights.data.frames import read_rows

    pairs = read_rows(rows).pairs
    return pairs.entities, pairs.ips


def test_predictions_follow_from_the_offset(model: IPInsights) -> None:
    """It is 0 before calibration, and the threshold after it: what lies on it is normal."""
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
    """Whatever their score, as in the verdicts of the command line."""
    network = TRAIN["address"].iloc[0].rsplit(".", 2)[0] + ".0.0/16"
    model.calibrate(LATER, fpr=0.1, allow=[network])
    # Above every score, so that nothing else is normal.
    model.offset_ = 1e9
    is_inside = LATER["address"].str.startswith(network.removesuffix("0.0/16"))
    assert (model.predict(LATER) == 1).tolist() == is_inside.tolist()


def test_unknown_entities_are_told_apart(model: IPInsights) -> None:
    """By entities, or by rows with them."""
    assert model.entity_known(LATER).all()
    assert model.entity_known(["user_0", "a stranger"]).tolist() == [True, False]


def test_a_score_is_the_product_of_two_embeddings(model: IPInsights) -> None:
    """Of the entity's and of the address's, which keep the index."""
    entities, ips = model.entity_embeddings(LATER), model.ip_embeddings(LATER)
    assert entities.index.equals(LATER.index)
    products = (entities.to_numpy() * ips.to_numpy()).sum(axis=1)
    assert products == pytest.approx(model.score_samples(LATER).to_numpy(), abs=1e-5)


def test_a_pair_is_explained(model: IPInsights, tmp_path: Path) -> None:
    """From the training data, which a loaded model must be given."""
    user, address = TRAIN.iloc[0]
    fitted = IPInsights(vector_dim=8, epochs=1, progress=False).fit(TRAIN)
    found = fitted.explain(user, address)
    assert found.num_events == (TRAIN["user"] == user).sum()
    fitted.save(tmp_path)
    loaded = IPInsights.load(tmp_path)
    assert loaded.explain(user, address, train=TRAIN) == found
    with pytest.raises(InvalidValueError, match=r"^The model was loaded without its training data\. Pass "):
        loaded.explain(user, address)
    assert found._repr_html_().startswith(f"<pre>{user} from {address}: score ")
    assert model.calibrate(LATER, fpr=0.1).threshold_._repr_html_().startswith("<pre>Suspicious: score &lt; ")


class TestSaving:
    """A directory has the model and its threshold."""

    def test_a_threshold_is_saved_and_found(self, model: IPInsights, tmp_path: Path) -> None:
        """And is removed by a model that has none."""
        model.calibrate(LATER, fpr=0.1, allow=["10.0.0.0/8"]).save(tmp_path)
        loaded = IPInsights.load(str(tmp_path))
        assert loaded.offset_ == model.offset_
        assert np.array_equal(loaded.predict(LATER), model.predict(LATER))
        IPInsights(vector_dim=8, epochs=1, progress=False).fit(TRAIN).save(tmp_path)
        assert IPInsights.load(tmp_path).offset_ == 0

    def test_a_threshold_of_another_model_is_not_used(self, model: IPInsights, tmp_path: Path) -> None:
        """The model can be used, and a warning says why there is no threshold."""
        model.calibrate(LATER, fpr=0.1).save(tmp_path / "old")
        IPInsights(vector_dim=8, epochs=1, random_state=1, progress=False).fit(TRAIN).save(tmp_path / "new")
        shutil.copy(tmp_path / "old" / "threshold.json", tmp_path / "new")
        with pytest.warns(UserWarning, match=r" was made for another model, ") as caught:
            assert IPInsights.load(tmp_path / "new").offset_ == 0
        assert str(caught[0].message) == (
            f"{tmp_path / 'new' / 'threshold.json'} was made for another model, and is not used. Call calibrate for a "
            "new threshold."
        )

    def test_a_loaded_model_is_saved_to_the_byte(self, model: IPInsights, tmp_path: Path) -> None:
        """Also one of an archive, as SageMaker leaves it."""
        file = model.save(tmp_path / "first")
        with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
            archive.add(file, "model_algo-1")
        for source in (tmp_path / "first", file, tmp_path / "model.tar.gz"):
            assert IPInsights.load(source).save(tmp_path / "second").read_bytes() == file.read_bytes()


class TestPickles:
    """A model with a file is pickled as a reference to it."""

    @pytest.mark.parametrize("is_saved", [True, False])
    def test_a_copy_scores_alike(self, model: IPInsights, tmp_path: Path, *, is_saved: bool) -> None:
        """And keeps parameters, threshold and history. Only a model without a file carries its tables."""
        model.calibrate(LATER, fpr=0.1)
        if is_saved:
            model.save(tmp_path)
        content = pickle.dumps(model)
        copied = pickle.loads(content)  # noqa: S301 - our own
        assert np.array_equal(copied.decision_function(LATER), model.decision_function(LATER))
        assert copied.get_params() == model.get_params()
        assert copied.history_.equals(model.history_)
        table = model.num_entity_vectors_ * model.vector_dim_ * 4
        assert (model._model.params["entity_weight"].tobytes() in content) is not is_saved
        assert table > 0

    def test_a_model_whose_file_is_gone_carries_its_tables(self, model: IPInsights, tmp_path: Path) -> None:
        """A pickle that could not be loaded is not written."""
        model.save(tmp_path)
        loaded = IPInsights.load(tmp_path)
        (tmp_path / "model_algo-1").unlink()
        copied = pickle.loads(pickle.dumps(loaded))  # noqa: S301 - our own
        assert np.array_equal(copied.score_samples(LATER), model.score_samples(LATER))

    def test_a_file_that_is_gone_later_is_named(self, model: IPInsights, tmp_path: Path) -> None:
        """When the pickle is loaded."""
        file = model.save(tmp_path)
        content = pickle.dumps(model)
        file.unlink()
        with pytest.raises(ClientError) as caught:
            pickle.loads(content)  # noqa: S301 - our own
        assert str(caught.value) == (
            f"There is no model at {file}: give a model directory, a model_algo-1 file or a model.tar.gz."
        )

    def test_other_processes_score_alike(self, model: IPInsights, tmp_path: Path) -> None:
        """A method of the model is a job for a pool."""
        model.save(tmp_path)
        with get_context("spawn").Pool(1) as pool:
            (scores,) = pool.map(model.score_samples, [LATER])
        assert scores.equals(model.score_samples(LATER))

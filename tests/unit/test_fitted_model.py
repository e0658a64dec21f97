"""Saving, loading and pickling of a fitted estimator."""

from __future__ import annotations

import copy
import pickle
import shutil
import tarfile
from multiprocessing import get_context
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights import IPInsights
from ipinsights.errors import ClientError

from .test_detector import LATER, TRAIN, with_history

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def fitted() -> IPInsights:
    """Return a model that was trained for one epoch and never saved."""
    return IPInsights(vector_dim=8, epochs=1, progress=False).fit(TRAIN)


@pytest.fixture
def model(fitted: IPInsights) -> IPInsights:
    """Return a copy for a test of its own."""
    return copy.deepcopy(fitted)


@pytest.fixture(scope="module")
def kept() -> IPInsights:
    """Return a model with a history of both families that scores by it."""
    return with_history()


@pytest.fixture
def historian(kept: IPInsights) -> IPInsights:
    """Return a copy for a test of its own."""
    return copy.deepcopy(kept)


class TestSaving:
    """A directory has the model and its threshold."""

    def test_a_threshold_is_saved_and_found(self, model: IPInsights, tmp_path: Path) -> None:
        """A threshold is loaded with its model, and removed by a model without a threshold."""
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
        """A model from a directory, a file or SageMaker's archive is saved as the same bytes."""
        file = model.save(tmp_path / "first")
        with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
            archive.add(file, "model_algo-1")
        for source in (tmp_path / "first", file, tmp_path / "model.tar.gz"):
            assert IPInsights.load(source).save(tmp_path / "second").read_bytes() == file.read_bytes()


class TestPickles:
    """A model with a file is pickled as a reference to it."""

    @pytest.mark.parametrize("is_saved", [True, False])
    def test_a_copy_scores_alike(self, model: IPInsights, tmp_path: Path, *, is_saved: bool) -> None:
        """A copy has the same scores, parameters, threshold and history.

        Only a model without a file carries its tables.
        """
        model.calibrate(LATER, fpr=0.1)
        if is_saved:
            model.save(tmp_path)
        content = pickle.dumps(model)
        copied = pickle.loads(content)  # noqa: S301 - our own
        assert np.array_equal(copied.decision_function(LATER), model.decision_function(LATER))
        assert copied.get_params() == model.get_params()
        assert copied.history_.equals(model.history_)
        table = model.num_entity_vectors_ * model.vector_dim_ * 4
        assert (model.artifact_.params["entity_weight"].tobytes() in content) is not is_saved
        assert table > 0

    def test_a_loaded_model_is_a_small_pickle_and_shares_tables(self, model: IPInsights, tmp_path: Path) -> None:
        """Less than 2 KB. Copies and estimators of the same file have the arrays of one map.

        Which are aligned.
        """
        model.save(tmp_path)
        loaded = IPInsights.load(tmp_path)
        content = pickle.dumps(loaded)
        assert len(content) < 2000
        copied = pickle.loads(content)  # noqa: S301 - our own
        table = copied.artifact_.params["entity_weight"]
        assert table.flags.aligned
        assert table is loaded.artifact_.params["entity_weight"]
        assert IPInsights.load(tmp_path).predictor_ is loaded.predictor_ is copied.predictor_
        copied.calibrate(LATER, fpr=0.5)
        assert copied.offset_ != loaded.offset_ == 0

    @pytest.mark.parametrize("scorer", ["dot_product", "history"])
    def test_a_calibrated_model_is_a_small_pickle(self, historian: IPInsights, tmp_path: Path, scorer: str) -> None:
        """A pickle with a threshold of either scorer has less than 2 KB and refers to the file."""
        historian.save(tmp_path)
        IPInsights.load(tmp_path, scorer=scorer).calibrate(LATER, fpr=0.1, allow=["10.0.0.0/8"]).save(tmp_path)
        loaded = IPInsights.load(tmp_path, scorer=scorer)
        content = pickle.dumps(loaded)
        assert len(content) < 2000
        copied = pickle.loads(content)  # noqa: S301 - our own
        assert np.array_equal(copied.predict(LATER), loaded.predict(LATER))
        thresholds, scores = (loaded.threshold_, copied.threshold_), np.arange(9, dtype=np.float32)
        assert thresholds[0] is not None
        assert thresholds[1] is not None
        assert thresholds[0].describe() == thresholds[1].describe()
        assert thresholds[0].p_values(scores).tolist() == thresholds[1].p_values(scores).tolist()

    def test_a_threshold_that_is_in_no_file_is_carried(self, model: IPInsights, tmp_path: Path) -> None:
        """A threshold that is not that of the file is in the pickle."""
        model.calibrate(LATER, fpr=0.1).save(tmp_path)
        loaded = IPInsights.load(tmp_path).calibrate(LATER, fpr=0.2)
        for is_there in (True, False):
            if not is_there:
                (tmp_path / "threshold.json").unlink()
            copied = pickle.loads(pickle.dumps(loaded))  # noqa: S301 - our own
            assert copied.threshold_.score == copied.offset_ == loaded.offset_

    def test_a_threshold_that_has_changed_is_refused(self, model: IPInsights, tmp_path: Path) -> None:
        """Loading a pickle is an error if the file holds another threshold, or none."""
        model.calibrate(LATER, fpr=0.1).save(tmp_path)
        content = pickle.dumps(IPInsights.load(tmp_path))
        IPInsights.load(tmp_path).calibrate(LATER, fpr=0.2).save(tmp_path)
        with pytest.raises(ClientError) as caught:
            pickle.loads(content)  # noqa: S301 - our own
        assert str(caught.value) == (
            f"{tmp_path / 'threshold.json'} has changed since the model that refers to it was pickled. Load the model "
            "again with IPInsights.load."
        )
        (tmp_path / "threshold.json").unlink()
        with pytest.raises(ClientError) as caught:
            pickle.loads(content)  # noqa: S301 - our own
        assert str(caught.value) == (
            f"The threshold cannot be read from {tmp_path / 'threshold.json'}: No such file or directory."
        )

    def test_unpickled_arrays_are_aligned(self, historian: IPInsights) -> None:
        """Arrays are aligned even if their bytes come at odd addresses, as from Dask."""
        buffers: list[pickle.PickleBuffer] = []
        content = pickle.dumps(historian, protocol=5, buffer_callback=buffers.append)
        odd = [memoryview(b"x" + buffer.raw())[1:] for buffer in buffers]
        copied = pickle.loads(content, buffers=odd)  # noqa: S301 - our own
        history = copied.artifact_.history
        assert all(array.flags.aligned for array in [*copied.artifact_.params.values(), *history.arrays.values()])
        assert np.array_equal(copied.score_samples(LATER), historian.score_samples(LATER))

    def test_a_model_whose_file_is_gone_carries_its_tables(self, model: IPInsights, tmp_path: Path) -> None:
        """A pickle that could not be loaded is not written."""
        model.save(tmp_path)
        loaded = IPInsights.load(tmp_path)
        (tmp_path / "model_algo-1").unlink()
        copied = pickle.loads(pickle.dumps(loaded))  # noqa: S301 - our own
        assert np.array_equal(copied.score_samples(LATER), model.score_samples(LATER))

    def test_a_file_that_is_gone_later_is_named(self, model: IPInsights, tmp_path: Path) -> None:
        """Loading a pickle whose model file is missing is an error with the path."""
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

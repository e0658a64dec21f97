"""Files of thresholds in a model directory, and references to them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.data.pairs import Pairs
from ipinsights.errors import ClientError
from ipinsights.inference.predictor import Predictor
from ipinsights.inference.threshold import Threshold
from ipinsights.inference.threshold_files import (
    ThresholdReference,
    default_path,
    find_threshold,
    replace_thresholds,
)
from ipinsights.testing import save_random_model

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def predictor(tmp_path: Path) -> Predictor:
    """Return the scorer of a random model in a folder ``model``."""
    rng = np.random.default_rng(0)
    save_random_model(tmp_path / "model", num_entities=50, vector_dim=4, rng=rng)
    return Predictor.load(tmp_path / "model")


@pytest.fixture
def threshold(predictor: Predictor) -> Threshold:
    """Return a threshold of the model."""
    rng = np.random.default_rng(1)
    pairs = Pairs(rng.integers(2**60, size=900, dtype=np.uint64), rng.integers(2**32, size=900, dtype=np.uint32))
    return Threshold.calibrate(predictor, pairs, fpr=0.1)


def test_each_scorer_has_a_default_path(tmp_path: Path) -> None:
    """The file lies in the model directory, and its name follows from the scorer."""
    assert default_path(tmp_path) == tmp_path / "threshold.json"
    assert default_path(tmp_path, "history") == tmp_path / "threshold-history.json"


def test_an_archive_has_no_default_path(tmp_path: Path) -> None:
    """The message says how to choose a path."""
    packed = tmp_path / "model.tar.gz"
    packed.touch()
    with pytest.raises(ClientError) as caught:
        default_path(packed)
    assert str(caught.value) == f"{packed} is no directory to store the threshold in: say where with `output`."


def test_a_threshold_is_found_by_its_scorer(threshold: Threshold, tmp_path: Path) -> None:
    """Without a path, the threshold of the scorer in the model directory is found."""
    other = replace(threshold, fpr=0.2)
    threshold.save(tmp_path / "threshold.json")
    other.save(tmp_path / "other.json")
    found, given = find_threshold(tmp_path), find_threshold(tmp_path, tmp_path / "other.json")
    assert found is not None
    assert given is not None
    assert (found.fpr, given.fpr) == (0.1, 0.2)
    assert find_threshold(tmp_path, scorer="history") is None


def test_thresholds_of_another_model_are_removed(predictor: Predictor, threshold: Threshold, tmp_path: Path) -> None:
    """A threshold of the other scorer stays only if it was made for this model."""
    files = [tmp_path / name for name in ("threshold.json", "threshold-history.json")]
    for path in files:
        threshold.save(path)
    replace_thresholds(tmp_path, predictor, None)
    assert [path.exists() for path in files] == [False, True]
    replace(threshold, probe=threshold.probe + 1).save(files[1])
    replace_thresholds(tmp_path, predictor, threshold)
    assert [path.exists() for path in files] == [True, False]


def test_a_reference_is_to_one_threshold(threshold: Threshold, tmp_path: Path) -> None:
    """There is no reference to another threshold, and a file that changed later is refused."""
    path = tmp_path / "threshold.json"
    assert ThresholdReference.of(threshold, path) is None
    threshold.save(path)
    reference = ThresholdReference.of(threshold, path)
    assert reference is not None
    assert reference.load().fingerprint == threshold.fingerprint
    replace(threshold, fpr=0.2).save(path)
    assert ThresholdReference.of(threshold, path) is None
    with pytest.raises(ClientError) as caught:
        reference.load()
    assert str(caught.value) == (
        f"{path} has changed since the model that refers to it was pickled. Load the model again with IPInsights.load."
    )

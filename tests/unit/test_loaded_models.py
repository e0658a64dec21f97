"""A process loads a model once, and anew when the file is replaced."""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.errors import ClientError, InvalidValueError
from ipinsights.inference import loaded_models
from ipinsights.inference.loaded_models import aligned, load_model, load_referenced
from ipinsights.model import artifact
from ipinsights.model.model_reference import ModelReference
from ipinsights.testing import save_random_model

if TYPE_CHECKING:
    from pathlib import Path

    from ipinsights.model.artifact import Artifact


def save(folder: Path, seed: int = 1) -> Path:
    """Save a model with drawn parameters."""
    save_random_model(folder, num_entities=3, vector_dim=4, rng=np.random.default_rng(seed))
    return folder


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the files that are loaded, in their order."""
    files: list[Path] = []
    original = artifact.load

    def load(path: Path) -> Artifact:
        files.append(path)
        return original(path)

    monkeypatch.setattr(artifact, "load", load)
    return files


def test_a_model_is_loaded_once(tmp_path: Path, loads: list[Path]) -> None:
    """Folder, file and a link to it lead to the same loaded model and scorer."""
    model = save(tmp_path / "model")
    (tmp_path / "link").symlink_to(model)
    found = [load_model(path) for path in (model, model / "model_algo-1", tmp_path / "link")]
    assert found[0] is found[1] is found[2]
    assert found[0].scorer("dot_product") is found[1].scorer("dot_product")
    assert loads == [(model / "model_algo-1").resolve()]


def test_threads_load_it_once(tmp_path: Path, loads: list[Path]) -> None:
    """Those that come meanwhile wait."""
    model, barrier = save(tmp_path / "model"), threading.Barrier(8)

    def load(_: int) -> int:
        barrier.wait()
        return id(load_model(model).scorer("dot_product"))

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(load, range(8)))) == 1
    assert len(loads) == 1


def test_a_replaced_file_is_loaded_anew(tmp_path: Path) -> None:
    """A replaced file is loaded anew, even with the same size and time of modification.

    A model that was loaded before keeps its parameters.
    """
    model = save(tmp_path / "model", 1)
    status = (model / "model_algo-1").stat()
    before = load_model(model)
    weights = before.model.params["entity_weight"].copy()
    save(model, 2)
    os.utime(model / "model_algo-1", ns=(status.st_atime_ns, status.st_mtime_ns))
    after = load_model(model)
    assert not np.array_equal(after.model.params["entity_weight"], weights)
    assert np.array_equal(before.model.params["entity_weight"], weights)


def test_the_last_few_models_stay(tmp_path: Path, loads: list[Path]) -> None:
    """The one that was not used for longest is forgotten."""
    models = [save(tmp_path / str(number)) for number in range(5)]
    for model in (*models[:4], models[0], models[4], models[0], models[1]):
        load_model(model)
    assert [path.parent.name for path in loads] == ["0", "1", "2", "3", "4", "1"]


def test_what_cannot_be_loaded_is_refused(tmp_path: Path) -> None:
    """A missing model, an unknown scorer, and a history of a model without any."""
    with pytest.raises(ClientError, match=r"^There is no model at "):
        load_model(tmp_path / "none")
    model = save(tmp_path / "model")
    with pytest.raises(InvalidValueError, match=r"^The scorer must be 'dot_product' or 'history'\. Got 'x'\.$"):
        load_model(model, "x")
    with pytest.raises(ClientError, match=r"^This model has no history\."):
        load_model(model).scorer("history")


def test_a_reference_leads_to_its_model_only(tmp_path: Path) -> None:
    """Another model at the path is refused."""
    model = save(tmp_path / "model", 1)
    reference = ModelReference.of(model)
    assert load_referenced(reference) is load_model(model)
    save(model, 2)
    with pytest.raises(ClientError) as caught:
        load_referenced(reference)
    assert str(caught.value) == (
        f"{reference.path} has changed since the object that refers to it was pickled. Load the model again with "
        "IPInsights.load."
    )
    reference.path.unlink()
    with pytest.raises(ClientError, match=r"^There is no model at "):
        load_referenced(reference)


def test_a_process_forked_while_a_model_is_loaded_can_load(tmp_path: Path) -> None:
    """The lock of a thread that the child does not have is not waited for."""
    model = save(tmp_path / "model")
    with loaded_models._lock:
        child = multiprocessing.get_context("fork").Process(target=load_model, args=(model,))
        child.start()
        child.join(20)
        child.kill()
    assert child.exitcode == 0


def test_unpickled_arrays_are_aligned(tmp_path: Path) -> None:
    """A message may put them at odd addresses."""
    model = artifact.load(save(tmp_path / "model"))
    params = {
        name: np.frombuffer(b"x" + array.tobytes(), "u1")[1:].view("<f4").reshape(array.shape)
        for name, array in model.params.items()
    }
    assert not any(array.flags.aligned for array in params.values())
    moved = aligned(artifact.Artifact(model.hyperparameters, params, model.known_entities, model.meta))
    for name, array in moved.params.items():
        assert array.flags.aligned
        assert np.array_equal(array, model.params[name])

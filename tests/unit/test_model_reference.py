"""References to model files: a path and a fingerprint of the content."""

from __future__ import annotations

import shutil
import tarfile
from typing import TYPE_CHECKING

import numpy as np

from ipinsights.model.model_reference import ModelReference
from ipinsights.testing import save_random_model

if TYPE_CHECKING:
    from pathlib import Path


def save(folder: Path, seed: int) -> Path:
    """Save a model with drawn parameters."""
    save_random_model(folder, num_entities=3, vector_dim=4, rng=np.random.default_rng(seed))
    return folder


def test_a_reference_leads_to_its_model(tmp_path: Path) -> None:
    """Folder, file and archive have a reference to their file, whose content counts."""
    model = save(tmp_path / "model", 1)
    reference = ModelReference.of(model)
    assert reference == ModelReference.of(model / "model_algo-1")
    shutil.copy(model / "model_algo-1", tmp_path / "copy")
    shutil.copy(tmp_path / "copy", model / "model_algo-1")
    assert reference.is_current()
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        archive.add(model / "model_algo-1", "model_algo-1")
    packed = ModelReference.of(tmp_path / "model.tar.gz")
    assert packed.is_current()


def test_another_model_or_none_is_noticed(tmp_path: Path) -> None:
    """What lies at the path now is not what the reference was made of."""
    reference = ModelReference.of(save(tmp_path / "model", 1))
    save(tmp_path / "model", 2)
    assert not reference.is_current()
    reference.path.unlink()
    assert not reference.is_current()

"""Models that a process has loaded: the last few, each checked and mapped once.

Workers of Spark, Dask and Ray are sent the path of a model with every task. A model is known by the path, device,
inode, size and time of modification of its file. A file that was replaced is loaded anew, and its predecessor is
forgotten.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.data.files import file_identity, read_errors
from ipinsights.errors import ClientError
from ipinsights.inference.scorers import DOT_PRODUCT, check_scorer, make_scorer
from ipinsights.model import artifact
from ipinsights.model.model_reference import ModelReference
from ipinsights.model.pair_history import PairHistory

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from ipinsights.inference.scorers import Scorer
    from ipinsights.model.artifact import Artifact

__all__ = ["LoadedModel", "aligned", "load_model", "load_referenced"]

# An old and a new model of two kinds. Maps cost no memory of their own, and tables of a history do.
_MOST_MODELS = 4
_loaded: dict[Path, LoadedModel] = {}


def _renew_lock() -> None:
    """Make the lock: a child may be forked while a thread of its parent holds it."""
    global _lock  # noqa: PLW0603 - one for the process
    _lock = threading.RLock()


_lock = threading.RLock()
os.register_at_fork(after_in_child=_renew_lock)


@dataclass
class LoadedModel:
    """A model that stays loaded."""

    model: Artifact  # the opened artifact
    reference: ModelReference  # its file and fingerprint
    identity: tuple[int, ...]  # device, inode, size and time of modification of the file
    _scorers: dict[str, Scorer] = field(default_factory=dict)

    def scorer(self, name: str) -> Scorer:
        """Return a scorer of the model by name, made once."""
        with _lock:
            if name not in self._scorers:
                self._scorers[name] = make_scorer(self.model, name)
            return self._scorers[name]


def load_model(path: Path, scorer: str = DOT_PRODUCT) -> LoadedModel:
    """Return the model at a path, loaded if the process has not loaded the same file before.

    The name of the scorer that is wanted is checked before anything is read.
    """
    check_scorer(scorer)
    file = artifact.find(path).resolve()
    with _lock:
        loaded = _loaded.pop(file, None)
        # Again if the file is replaced meanwhile: the model, its fingerprint and its identity are of one file.
        while loaded is None or loaded.identity != _identity(file):
            identity = _identity(file)
            loaded = LoadedModel(artifact.load(file), ModelReference.of(file), identity)
        # The newest is the last one.
        _loaded[file] = loaded
        while len(_loaded) > _MOST_MODELS:
            del _loaded[next(iter(_loaded))]
        return loaded


def load_referenced(reference: ModelReference) -> LoadedModel:
    """Return the model that a reference leads to."""
    loaded = load_model(reference.path)
    if loaded.reference.fingerprint != reference.fingerprint:
        raise ClientError(
            f"{reference.path} has changed since the object that refers to it was pickled. Load the model again with "
            "IPInsights.load."
        )
    return loaded


def aligned(model: Artifact) -> Artifact:
    """Return a model whose arrays begin at multiples of the size of their numbers.

    Unpickled arrays may begin anywhere in a message. There NumPy copies a whole table to take rows of it.
    """
    params = {name: _aligned(array) for name, array in model.params.items()}
    history = model.history
    if history is not None and not all(array.flags.aligned for array in history.arrays.values()):
        history = PairHistory.from_arrays({name: _aligned(array) for name, array in history.arrays.items()})
    return replace(model, params=params, history=history)


def _aligned(array: NDArray[Any]) -> NDArray[Any]:
    return np.require(array, requirements="A")


def _identity(file: Path) -> tuple[int, ...]:
    with read_errors(str(file)):
        return file_identity(file.stat())

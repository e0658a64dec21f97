"""Warm start: a job that begins with the parameters of an earlier model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipinsights.errors import ClientError
from ipinsights.model import artifact

if TYPE_CHECKING:
    from pathlib import Path

    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.model.artifact import Artifact

__all__ = ["load_initial_model"]

_SHAPE = ("num_entity_vectors", "vector_dim", "num_ip_encoder_layers")


def load_initial_model(path: Path, hyperparameters: Hyperparameters) -> Artifact:
    """Read the model that training begins with.

    Parameters
    ----------
    path
        Artifact: a file, a folder or an archive.
    hyperparameters
        Hyperparameters of the job.

    Raises
    ------
    ClientError
        The model cannot be read, or its arrays have other shapes than the job's.
    """
    initial = artifact.load(path)
    differences = [
        f"{name} is {getattr(initial.hyperparameters, name)} there and {getattr(hyperparameters, name)} here"
        for name in _SHAPE
        if getattr(initial.hyperparameters, name) != getattr(hyperparameters, name)
    ]
    if differences:
        raise ClientError(
            f"The initial model {path} has another shape than the one to be trained: {'; '.join(differences)}. Set "
            "the hyperparameters to the model's."
        )
    return initial

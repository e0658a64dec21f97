"""The content of ``meta.json``: how a model was made, and checks of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.errors import ClientError
from ipinsights.model.history_member import FORMAT_VERSION, check_version

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["check_meta", "meta_data"]


def meta_data(hyperparameters: Hyperparameters, training: Mapping[str, Any]) -> dict[str, Any]:
    """Return the meta data of a model without history, with facts about its training."""
    return {
        "format_version": FORMAT_VERSION,
        "algorithm": "ipinsights",
        "hyperparameters": hyperparameters.to_strings(),
        "entity_hash": "pandas.util.hash_array of the UTF-8 string, modulo num_entity_vectors",
        "training": dict(training),
    }


def check_meta(meta: Any) -> Hyperparameters:
    """Check the content of ``meta.json`` and return the hyperparameters in it.

    It is a TypeError or ValueError if the content is damaged, or of another version.
    """
    if not isinstance(meta, dict):
        raise TypeError("its meta.json is no object")
    check_version(meta)
    if not all(isinstance(meta.get(part), dict) for part in ("hyperparameters", "training")):
        raise ValueError("its meta.json tells no hyperparameters or nothing of the training")
    if not isinstance(meta["training"].get("versions", {}), dict):
        raise TypeError("its meta.json tells no versions")
    try:
        return Hyperparameters.parse(meta["hyperparameters"], any_size=True)
    except ClientError as error:
        raise ValueError(str(error).rstrip(".")) from None

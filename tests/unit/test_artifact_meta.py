"""The content of ``meta.json``: what is written, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.model.artifact import check_meta, meta_data

VALUES = Hyperparameters(num_entity_vectors=10, vector_dim=6, learning_rate=0.5)
META = meta_data(VALUES, {"num_rows": 3, "versions": {"numpy": "1.26"}})


def test_what_is_written_is_accepted() -> None:
    """Meta data are accepted after a round trip through JSON, with the same hyperparameters."""
    assert check_meta(json.loads(json.dumps(META))) == VALUES
    assert META["training"] == {"num_rows": 3, "versions": {"numpy": "1.26"}}
    assert (META["format_version"], META["algorithm"]) == (1, "ipinsights")
    assert META["hyperparameters"]["learning_rate"] == "0.5"


def test_tables_of_any_size_are_accepted() -> None:
    """Several hosts train entity tables that no single host may."""
    large = Hyperparameters(num_entity_vectors=10**8, vector_dim=128)
    assert check_meta(meta_data(large, {})) == large


@pytest.mark.parametrize(
    ("meta", "reason"),
    [
        ([], "its meta.json is no object"),
        ({**META, "training": None}, "its meta.json tells no hyperparameters or nothing of the training"),
        ({**META, "hyperparameters": 1}, "its meta.json tells no hyperparameters or nothing of the training"),
        ({**META, "training": {"versions": "1.26"}}, "its meta.json tells no versions"),
        ({**META, "format_version": 3}, "its format is version 3, this ipinsights reads versions 1 and 2"),
        ({**META, "format_version": 2}, "its meta.json does not fit the history of its format"),
        (
            {**META, "hyperparameters": {**META["hyperparameters"], "vector_dim": "2"}},
            "Hyperparameter 'vector_dim' must be an integer from 4 to 4096; it is '2'",
        ),
    ],
)
def test_damage_is_refused(meta: Any, reason: str) -> None:
    """With the reason as the end of a sentence."""
    with pytest.raises((TypeError, ValueError)) as caught:
        check_meta(meta)
    assert str(caught.value) == reason

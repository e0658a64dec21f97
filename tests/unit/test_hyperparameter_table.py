"""What derives from the table of hyperparameters."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from ipinsights.config.hyperparameter_table import EXTENSIONS, TABLE
from ipinsights.config.hyperparameters import Hyperparameters, describe, specification
from ipinsights.errors import ClientError

ROOT = Path(__file__).parents[2]

REQUIRED = {"num_entity_vectors": "20000", "vector_dim": "128"}

DOCUMENTED = [row for row in TABLE if row.is_documented]


class TestTable:
    """What derives from the table for people and for SageMaker."""

    def test_every_field_has_a_row_and_the_same_default(self) -> None:
        """The dataclass and the table cannot drift apart."""
        parsed = Hyperparameters.parse(REQUIRED)
        assert parsed == Hyperparameters(num_entity_vectors=20000, vector_dim=128)
        assert {row.field_name for row in (*TABLE, *EXTENSIONS)} | {"ignored"} == set(
            Hyperparameters.__dataclass_fields__
        )

    def test_the_listing_shows_name_range_default_and_tuning(self) -> None:
        """A line of the listing has all that a user needs to choose a value."""
        lines = describe().splitlines()
        assert lines[3].split("  ")[0] == "learning_rate"
        assert " ".join(lines[3].split()) == "learning_rate a number from 1e-06 to 10.0 0.001 0.0001 to 0.1"
        assert (
            " ".join(lines[5].split()) == "num_entity_vectors an integer from 1 to 250000000 required 10000 to 1000000"
        )

    def test_the_listing_is_a_table_for_a_terminal(self) -> None:
        """Columns begin below their headings, and the rule that joins two rows stands below."""
        lines = describe().splitlines()
        assert lines[:2] == [
            "name                             value                           default   tuning range",
            "batch_metrics_publish_interval   an integer, at least 1          1000      -",
        ]
        assert lines[-2:] == [
            "",
            "random_negative_sampling_rate + shuffled_negative_sampling_rate must be from 1 to 500.",
        ]
        assert len(lines) == 1 + 10 + 2

    def test_words_to_choose_from_are_listed(self) -> None:
        """A wrong word is told with those that would do."""
        with pytest.raises(ClientError) as caught:
            Hyperparameters.parse({**REQUIRED, "_log_level": "loud"})
        assert str(caught.value) == (
            "Hyperparameter '_log_level' must be one of 'debug', 'info', 'warning', 'error', 'critical'; it is 'loud'."
        )

    def test_the_reference_page_is_the_tables(self) -> None:
        """The page in the documentation is what ``scripts/render_reference.py`` makes of the table today."""
        script = runpy.run_path(str(ROOT / "scripts" / "render_reference.py"))
        assert script["PAGE"].read_text(encoding="utf-8") == script["render"]()

    def test_the_specification_has_sagemakers_shape(self) -> None:
        """An entry is what DescribeAlgorithm gives, all values as texts."""
        entries = {entry["Name"]: entry for entry in json.loads(json.dumps(specification()))}
        assert list(entries) == [row.name for row in DOCUMENTED]
        assert entries["weight_decay"] == {
            "Name": "weight_decay",
            "Description": "L2 regularization, added to the gradient of all parameters but the embeddings of entities.",
            "Type": "Continuous",
            "Range": {"ContinuousParameterRangeSpecification": {"MinValue": "0.0", "MaxValue": "10.0"}},
            "IsTunable": True,
            "IsRequired": False,
            "DefaultValue": "0.00001",
        }
        assert "DefaultValue" not in entries["vector_dim"]
        assert entries["epochs"]["Range"]["IntegerParameterRangeSpecification"]["MaxValue"] == "2147483647"

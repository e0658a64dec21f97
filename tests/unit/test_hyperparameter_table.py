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

    def test_the_listing_says_what_each_one_means(self) -> None:
        """Name and default, the meaning, then values and tuning range."""
        assert (
            "num_entity_vectors: required\n"
            "    Rows of the table that entities are hashed into; twice the number of\n"
            "    distinct entities is a good start.\n"
            "    Values: an integer from 1 to 250000000. Tuning range: 10000 to 1000000.\n"
            "\n"
            "num_ip_encoder_layers: default 1\n"
        ) in describe()

    def test_the_listing_fits_a_terminal_of_80_columns(self) -> None:
        """Every documented name begins a block, and the rule that joins two rows stands below."""
        lines = describe().splitlines()
        assert [line.partition(":")[0] for line in lines[:-1] if line[:1].strip()] == [
            row.name for row in TABLE if row.is_documented
        ]
        assert max(map(len, lines)) <= 80
        assert lines[-2:] == [
            "",
            "random_negative_sampling_rate + shuffled_negative_sampling_rate: 1 to 500.",
        ]

    def test_words_to_choose_from_are_listed(self) -> None:
        """A wrong word is told with those that would do."""
        with pytest.raises(ClientError) as caught:
            Hyperparameters.parse({**REQUIRED, "_log_level": "loud"})
        assert str(caught.value) == (
            "Hyperparameter '_log_level' must be one of 'debug', 'info', 'warning', 'error', 'critical'; it is 'loud'."
        )

    def test_the_reference_page_is_the_tables(self) -> None:
        """The reference page is the current output of ``scripts/render_reference.py``."""
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

"""Hyperparameters: the table, the parsing of string maps, and what derives from the table."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.config.hyperparameter_table import TABLE
from ipinsights.config.hyperparameters import (
    Hyperparameters,
    default_configuration,
    final_configuration,
)
from ipinsights.errors import ClientError

REQUIRED = {"num_entity_vectors": "20000", "vector_dim": "128"}


def fault_of(provided: dict[str, Any]) -> str:
    """Return the error message for an invalid map."""
    with pytest.raises(ClientError) as caught:
        Hyperparameters.parse(provided)
    return str(caught.value)


def with_default(row: Any, value: str) -> dict[str, str]:
    """Return a valid map with one changed value."""
    return {**REQUIRED, row.name: value}


class TestParse:
    """Maps of strings become checked values."""

    def test_defaults_are_the_documented_ones(self) -> None:
        """With the two required ones alone, all others have the developer guide's defaults."""
        assert Hyperparameters.parse(REQUIRED) == Hyperparameters(
            num_entity_vectors=20000,
            vector_dim=128,
            batch_metrics_publish_interval=1000,
            epochs=10,
            learning_rate=0.001,
            mini_batch_size=10000,
            num_ip_encoder_layers=1,
            random_negative_sampling_rate=1,
            shuffled_negative_sampling_rate=1,
            weight_decay=0.00001,
        )

    @pytest.mark.parametrize(
        "row", [row for row in TABLE if getattr(row.domain, "type", None)], ids=lambda row: row.name
    )
    @pytest.mark.parametrize("value", ["9" * 5000, "-" + "9" * 5000, "1" + "0" * 5000 + ".5", "9" * 5000 + "e9999"])
    def test_numbers_of_thousands_of_digits_are_refused(self, row: Any, value: str) -> None:
        """The sentence has the name, the rule and the beginning of the value."""
        limit = " and at most 2147483647" if row.domain.high is None and not value.startswith("-") else ""
        assert fault_of(with_default(row, value)) == (
            f"Hyperparameter '{row.name}' must be {row.domain}{limit}; it is '{value[:59]}... "
            f"({len(value) + 2:,} characters)."
        )

    @pytest.mark.parametrize("name", ["epochs", "batch_metrics_publish_interval", "_num_gpus", "_num_kv_servers"])
    def test_the_largest_integer(self, name: str) -> None:
        """What has no upper end in words ends where SageMaker's specification does."""
        assert name in {row.name for row in TABLE}
        Hyperparameters.parse({**REQUIRED, name: "2147483647"})
        assert fault_of({**REQUIRED, name: "2147483648"}).endswith(" and at most 2147483647; it is '2147483648'.")

    def test_missing_ones_say_what_to_give(self) -> None:
        """A required hyperparameter that is missing is told with its rule and advice."""
        assert fault_of({"vector_dim": "128"}) == (
            "Hyperparameter 'num_entity_vectors' is required and missing: give an integer from 1 to 250000000. Rows of "
            "the table that entities are hashed into; twice the number of distinct entities is a good start."
        )

    def test_unknown_names_are_told_with_the_nearest_known_one(self) -> None:
        """A misspelt name gets a 'did you mean', a strange one the place to look."""
        assert fault_of({**REQUIRED, "epoch": "5"}) == "Hyperparameter 'epoch' is unknown. Did you mean 'epochs'?"
        assert fault_of({**REQUIRED, "zzz": "5"}) == (
            "Hyperparameter 'zzz' is unknown; `ipinsights hyperparameters` lists those there are."
        )

    def test_all_faults_are_told_at_once(self) -> None:
        """One message lists unknown names first, then every bad value in the table's order."""
        message = fault_of({"vector_dim": "3", "epochs": "0", "batch_size": "1", "learning_rate": "nan"})
        assert message == (
            "5 hyperparameters are wrong:\n"
            "  - Hyperparameter 'batch_size' is unknown. Did you mean 'mini_batch_size'?\n"
            "  - Hyperparameter 'epochs' must be an integer, at least 1; it is '0'.\n"
            "  - Hyperparameter 'learning_rate' must be a number from 1e-06 to 10.0; it is 'nan'.\n"
            "  - Hyperparameter 'num_entity_vectors' is required and missing: give an integer from 1 to 250000000. "
            "Rows of the table that entities are hashed into; twice the number of distinct entities is a good start.\n"
            "  - Hyperparameter 'vector_dim' must be an integer from 4 to 4096; it is '3'."
        )

    @pytest.mark.parametrize(("num_random", "num_shuffled"), [(0, 1), (1, 0), (500, 0), (0, 500), (250, 250)])
    def test_either_sampling_rate_may_be_at_its_end(self, num_random: int, num_shuffled: int) -> None:
        """Each rate goes from 0 to 500, as long as the other leaves room."""
        names = "random_negative_sampling_rate", "shuffled_negative_sampling_rate"
        rates = {name: str(rate) for name, rate in zip(names, (num_random, num_shuffled), strict=True)}
        assert Hyperparameters.parse({**REQUIRED, **rates}).records_per_row == 1 + num_random + num_shuffled

    @pytest.mark.parametrize(("num_random", "num_shuffled"), [("0", "0"), ("500", "1"), ("300", "300")])
    def test_sampling_rates_have_a_common_range(self, num_random: str, num_shuffled: str) -> None:
        """R + S must be from 1 to 500, whatever each is by itself."""
        rates = {"random_negative_sampling_rate": num_random, "shuffled_negative_sampling_rate": num_shuffled}
        assert fault_of({**REQUIRED, **rates}) == (
            "random_negative_sampling_rate + shuffled_negative_sampling_rate must be from 1 to 500; "
            f"it is {num_random} + {num_shuffled}."
        )

    def test_several_hosts_hold_a_table_of_any_size(self) -> None:
        """`any_size` accepts a table of any size and no other fault."""
        given = {"num_entity_vectors": "16777216", "vector_dim": "128"}
        assert Hyperparameters.parse(given, any_size=True).num_entity_vectors == 2**24
        assert Hyperparameters.parse({**given, "_kvstore": "dist_sync"}).num_entity_vectors == 2**24
        with pytest.raises(ClientError, match=r"^Hyperparameter 'vector_dim' must be an integer from 4 to 4096"):
            Hyperparameters.parse({**given, "vector_dim": "4097"}, any_size=True)

    def test_a_table_beyond_the_engine_is_refused_with_the_largest_that_fits(self) -> None:
        """Rows x dim of 2^31 is refused, and the number that is named fits."""
        assert fault_of({"num_entity_vectors": "16777216", "vector_dim": "128"}) == (
            "num_entity_vectors x vector_dim must be below 2^31 (8 GB of float32, the most that one array holds); "
            "it is 16777216 x 128. The largest num_entity_vectors for vector_dim 128 is 16777215."
        )
        assert Hyperparameters.parse({"num_entity_vectors": "16777215", "vector_dim": "128"}).vector_dim == 128

    def test_platform_names_are_set_aside(self) -> None:
        """Names of the platform and the SDK are accepted, and possible mistakes are recorded."""
        extra = {"sagemaker_program": "x", "_unheard_of": "1", "feature_dim": "2"}
        assert Hyperparameters.parse({**REQUIRED, **extra}).ignored == ("_unheard_of", "feature_dim")

    def test_the_originals_hidden_names_are_typed(self) -> None:
        """What the original prints as its hidden defaults parses, 'auto' being None."""
        hidden = {"_kvstore": "dist_sync", "_num_gpus": "2", "_num_kv_servers": "auto", "_log_level": "debug"}
        parsed = Hyperparameters.parse({**REQUIRED, **hidden})
        assert (parsed.kvstore, parsed.num_gpus, parsed.num_kv_servers, parsed.log_level) == (
            "dist_sync",
            2,
            None,
            "debug",
        )

    def test_a_bad_hidden_value_is_told(self) -> None:
        """Hidden names are checked as strictly as documented ones."""
        assert fault_of({**REQUIRED, "_num_gpus": "many"}) == (
            "Hyperparameter '_num_gpus' must be 'auto' or an integer, at least 0; it is 'many'."
        )

    @given(st.dictionaries(st.text(max_size=8), st.one_of(st.text(max_size=8), st.integers(), st.floats(), st.none())))
    def test_no_map_ever_ends_in_a_traceback(self, provided: dict[str, Any]) -> None:
        """Any map is either parsed or refused with a ClientError."""
        assert fault_of(provided)

    @given(
        st.fixed_dictionaries(
            {
                "num_entity_vectors": st.integers(1, 500_000),
                "vector_dim": st.integers(4, 4096),
                "epochs": st.integers(1, 2**31 - 1),
                "learning_rate": st.floats(1e-6, 10),
                "mini_batch_size": st.integers(1, 500_000),
                "weight_decay": st.floats(0, 10),
                "shuffled_negative_sampling_rate": st.integers(1, 250),
                "random_negative_sampling_rate": st.integers(0, 250),
            }
        )
    )
    def test_to_strings_is_the_inverse(self, values: dict[str, Any]) -> None:
        """Values survive the way through strings, to the last bit."""
        parsed = Hyperparameters(**values)
        assert Hyperparameters.parse(parsed.to_strings()) == parsed

    def test_values_cannot_be_changed(self) -> None:
        """Checked values stay as they were checked."""
        with pytest.raises(FrozenInstanceError):
            Hyperparameters.parse(REQUIRED).epochs = 5  # type: ignore[misc]

    def test_a_row_becomes_itself_and_its_negatives(self) -> None:
        """K = 1 + R + S."""
        rates = {"random_negative_sampling_rate": "5", "shuffled_negative_sampling_rate": "2"}
        assert Hyperparameters.parse({**REQUIRED, **rates}).records_per_row == 8


class TestConfigurations:
    """What the log prints at the start of a job."""

    def test_defaults_come_in_the_originals_order(self) -> None:
        """Defaults are texts, with documented names in alphabetical order before hidden names.

        Required hyperparameters are left out.
        """
        assert default_configuration() == {
            "batch_metrics_publish_interval": "1000",
            "epochs": "10",
            "learning_rate": "0.001",
            "mini_batch_size": "10000",
            "num_ip_encoder_layers": "1",
            "random_negative_sampling_rate": "1",
            "shuffled_negative_sampling_rate": "1",
            "weight_decay": "0.00001",
            "_kvstore": "auto_gpu",
            "_log_level": "info",
            "_num_gpus": "auto",
            "_num_kv_servers": "auto",
            "_tuning_objective_metric": "",
        }

    def test_provided_values_take_their_places(self) -> None:
        """The final configuration keeps the table's order and puts other names last."""
        final = final_configuration(
            {"sagemaker_region": "x", "vector_dim": 64, "num_entity_vectors": "9", "epochs": "2"}
        )
        assert list(final.items())[:5] == [
            ("batch_metrics_publish_interval", "1000"),
            ("epochs", "2"),
            ("learning_rate", "0.001"),
            ("mini_batch_size", "10000"),
            ("num_entity_vectors", "9"),
        ]
        assert (final["vector_dim"], list(final)[-1]) == ("64", "sagemaker_region")

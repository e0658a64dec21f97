"""Ranges of a search as they are written."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ipinsights.config.constraints import Number
from ipinsights.config.hyperparameter_table import TABLE
from ipinsights.errors import ClientError
from ipinsights.tuning.search_range import SearchRange


class TestSearchRange:
    """Ranges as they are written."""

    @pytest.mark.parametrize("row", [row for row in TABLE if row.tuning], ids=lambda row: row.name)
    def test_name_alone_is_the_documented_range(self, row: Any) -> None:
        """A name without ends is the documented tuning range, with valid ends."""
        found = SearchRange.parse(row.name)
        assert (found.low, found.high) == (row.tuning.low, row.tuning.high)
        assert isinstance(row.domain, Number)
        assert row.domain.parse(str(found.low)) == found.low
        assert row.domain.parse(str(found.high)) == found.high

    def test_ends_beyond_the_documented_range(self) -> None:
        """Ends beyond the tuning range are accepted if the hyperparameter allows them.

        SageMaker does the same.
        """
        found = SearchRange.parse("vector_dim=64:1024")
        assert (found.low, found.high, found.is_integer, found.is_logarithmic) == (64, 1024, True, False)

    @pytest.mark.parametrize(
        ("text", "is_logarithmic"),
        [("learning_rate", True), ("mini_batch_size", True), ("num_ip_encoder_layers", False), ("weight_decay", False),
         ("learning_rate=0.001:0.049", False), ("learning_rate=0.001:0.05", True)],
    )  # fmt: skip
    def test_wide_ranges_are_searched_by_logarithms(self, text: str, is_logarithmic: bool) -> None:  # noqa: FBT001
        """Ranges with a factor of 50 or more between their ends are logarithmic unless from 0."""
        assert SearchRange.parse(text).is_logarithmic is is_logarithmic

    @pytest.mark.parametrize("text", ["vector_dim=64", "vector_dim=64:8", "vector_dim=1:8", "vector_dim=8:x",
                                      "vector_dim=8:nan", "vector_dim=8:9:10", "vector_dim=:"])  # fmt: skip
    def test_bad_ends(self, text: str) -> None:
        """Ranges with one or three ends, in the wrong order or with invalid ends are refused."""
        message = f"'{text}' is no range: give LOW:HIGH, each an integer from 4 to 4096. For example: vector_dim=8:256."
        with pytest.raises(ClientError, match=f"^{re.escape(message)}$"):
            SearchRange.parse(text)

    @pytest.mark.parametrize("name", ["batch_metrics_publish_interval", "vector_dims", "_kvstore", ""])
    def test_not_to_be_tuned(self, name: str) -> None:
        """A name without a tuning range is refused, and those that have one are listed."""
        message = (
            f"'{name}' cannot be tuned. What can: epochs, learning_rate, mini_batch_size, num_entity_vectors, "
            "num_ip_encoder_layers, random_negative_sampling_rate, shuffled_negative_sampling_rate, vector_dim, "
            "weight_decay."
        )
        with pytest.raises(ClientError, match=f"^{re.escape(message)}$"):
            SearchRange.parse(name)

"""Which values a hyperparameter may have."""

from __future__ import annotations

from typing import Any

import pytest

from ipinsights.config.constraints import Number
from ipinsights.config.hyperparameter_table import TABLE
from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.errors import ClientError

REQUIRED = {"num_entity_vectors": "20000", "vector_dim": "128"}

DOCUMENTED = [row for row in TABLE if row.is_documented]
INTEGERS = [row for row in DOCUMENTED if isinstance(row.domain, Number) and row.domain.type is int]


def fault_of(provided: dict[str, Any]) -> str:
    """Return the error message for an invalid map."""
    with pytest.raises(ClientError) as caught:
        Hyperparameters.parse(provided)
    return str(caught.value)


def with_default(row: Any, value: str) -> dict[str, str]:
    """Return a valid map with one changed value."""
    return {**REQUIRED, row.name: value}


class TestNumbers:
    """Numbers are read in every notation, and refused outside of their range."""

    @pytest.mark.parametrize(
        ("given_as", "expected"),
        [
            ("1e-05", 1e-5),
            ("1E-2", 0.01),
            ('"0.5"', 0.5),
            (" 0.5 ", 0.5),
            (0.5, 0.5),
            (1, 1.0),
            ("+.5", 0.5),
            ("5.", 5.0),
        ],
    )
    def test_numbers_are_read_however_they_are_written(self, given_as: Any, expected: float) -> None:
        """Scientific notation, JSON's quotes, blanks and JSON numbers all parse."""
        assert Hyperparameters.parse({**REQUIRED, "learning_rate": given_as}).learning_rate == expected

    def test_an_integer_may_be_in_scientific_notation(self) -> None:
        """An integer counts by its value, and stays an integer."""
        value = Hyperparameters.parse({**REQUIRED, "mini_batch_size": "1e4"}).mini_batch_size
        assert (value, type(value)) == (10000, int)

    @pytest.mark.parametrize(
        "value",
        ["nan", "inf", "-inf", "", " ", "ten", "1_0", "0x10", "\u0665", '"', '"5', "1e99999999", "null", "5 5"],
    )
    @pytest.mark.parametrize("row", DOCUMENTED, ids=lambda row: row.name)
    def test_what_is_no_number_is_refused(self, row: Any, value: str) -> None:
        """Every hyperparameter refuses values that are not finite numbers, with rule and value."""
        expected = f"Hyperparameter '{row.name}' must be {row.domain}; it is {value!r}."
        assert fault_of(with_default(row, value)) == expected

    @pytest.mark.parametrize("value", [True, None, [5], {"a": 1}, float("nan"), float("inf")])
    def test_what_json_can_hold_but_is_no_number_is_refused(self, value: Any) -> None:
        """JSON's true, null, arrays, objects and Python's NaN are told like any other bad value."""
        expected = f"Hyperparameter 'epochs' must be an integer, at least 1; it is {value!r}."
        assert fault_of({**REQUIRED, "epochs": value}) == expected

    @pytest.mark.parametrize(
        "row",
        [row for row in DOCUMENTED if not (row.name.endswith("rate") and row in INTEGERS)],
        ids=lambda row: row.name,
    )
    def test_both_ends_of_a_range_are_inside_and_beyond_is_outside(self, row: Any) -> None:
        """Ranges are closed: the ends parse, and one step further is refused."""
        step = 1 if row.domain.type is int else 1e-7
        small = {"num_entity_vectors": "100", "vector_dim": "4"}
        ends = [row.domain.low] + ([] if row.domain.high is None else [row.domain.high])
        for end in ends:
            values = {**small, row.name: str(end)}
            assert getattr(Hyperparameters.parse(values), row.name) == end
        outside = [row.domain.low - step] + ([] if row.domain.high is None else [row.domain.high + step])
        for value in outside:
            text = str(value)
            expected = f"Hyperparameter '{row.name}' must be {row.domain}; it is {text!r}."
            assert fault_of({**small, row.name: text}) == expected

    @pytest.mark.parametrize("row", INTEGERS, ids=lambda row: row.name)
    def test_an_integer_with_a_fraction_is_refused(self, row: Any) -> None:
        """1.5 is no integer, and nobody rounds it."""
        value = str(row.domain.low + 1.5)
        assert f"must be {row.domain}; it is {value!r}." in fault_of(with_default(row, value))

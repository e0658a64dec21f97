"""Tolerances of metrics as they are given."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.errors import ClientError
from ipinsights.runs.criteria import Tolerance, parse_tolerances


class TestTolerances:
    """METRIC=VALUE."""

    def test_amounts_and_shares(self) -> None:
        """A percent sign makes a share; the last one counts."""
        assert parse_tolerances(["auc=1", "accuracy = 1e-3", "auc=2.5%"]) == {
            "auc": Tolerance(0.025, is_share=True), "accuracy": Tolerance(0.001),
        }  # fmt: skip

    @pytest.mark.parametrize("value", ["", "-1", "nan", "inf", "1e999", "x", "1%%", "0x1", "1_0"])
    def test_other_values_are_refused(self, value: str) -> None:
        """NaN and infinity are no numbers."""
        with pytest.raises(ClientError) as caught:
            parse_tolerances([f"auc={value}"])
        assert str(caught.value) == (
            f"Tolerance 'auc={value}' must be a number from 0 or a percentage, for example auc=0.005."
        )

    def test_unknown_metrics_are_refused(self) -> None:
        """The sentence says which there are."""
        with pytest.raises(ClientError) as caught:
            parse_tolerances(["loss=1"])
        assert str(caught.value) == (
            "Tolerance 'loss=1' is for no known metric: it must begin with one of accuracy, auc, cross_entropy, "
            "throughput, for example auc=0.005."
        )

    @given(st.text(max_size=12))
    def test_no_text_gives_another_error(self, text: str) -> None:
        """Whatever is typed, it is a tolerance from 0 or a sentence."""
        with contextlib.suppress(ClientError):
            assert all(tolerance.amount >= 0 for tolerance in parse_tolerances([f"auc={text}"]).values())

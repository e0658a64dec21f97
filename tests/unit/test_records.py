"""Columns that a log format has, and those that it has not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ipinsights.errors import ClientError

from .log_samples import COMBINED

if TYPE_CHECKING:
    from .log_samples import Bench


class TestColumns:
    """What the options say about where things stand."""

    @pytest.mark.parametrize("log_format", ["apache", "nginx", "sshd"])
    def test_places_that_are_fixed(self, bench: Bench, log_format: str) -> None:
        """Choosing one is refused rather than ignored."""
        with pytest.raises(ClientError) as caught:
            bench.of(log_format, COMBINED, ip="agent")
        cure = "" if log_format == "sshd" else " Name the fields of a line with `line_format`."
        assert str(caught.value) == f"`ip` cannot be used with {log_format}: its lines have fixed places for it.{cure}"

"""Which records are wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ipinsights.errors import ClientError
from ipinsights.etl.filters import Filters

from .log_samples import SSHD

if TYPE_CHECKING:
    from .log_samples import Bench


class TestFilters:
    """What the options say."""

    def test_a_field_that_there_is_not(self, bench: Bench) -> None:
        """The message names the option, the field and those there are."""
        bench.put(SSHD)
        with pytest.raises(ClientError) as caught:
            bench.extract("sshd", filters=Filters(path="login"))
        assert str(caught.value) == (
            "`path` cannot be used here: a record has no field 'path'. "
            "The fields are event, method, host, invalid_user."
        )

    def test_no_regular_expression(self) -> None:
        """The message has the library's reason."""
        with pytest.raises(ClientError) as caught:
            Filters.parse(path="(", status="", where=[])
        assert str(caught.value) == "`path` must be a regular expression (RE2). Got '(': missing ): (."

    @pytest.mark.parametrize("text", ["status", "=200", "=a=b", ""])
    def test_no_pair(self, text: str) -> None:
        """A field and a value are needed."""
        with pytest.raises(ClientError) as caught:
            Filters.parse(path=None, status="", where=[text])
        assert str(caught.value) == f"`where` must be FIELD=VALUE. Got {text!r}."

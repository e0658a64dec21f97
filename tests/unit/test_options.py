"""Options that several commands share: what their values stand for."""

from __future__ import annotations

import click
import pytest

from ipinsights.cli.options import parse_assignments, parse_every

CONTEXT = click.Context(click.Command("train"))
EVERY = click.Option(["--checkpoint-every"])


def test_assignments_become_a_map() -> None:
    """Blanks around a name are removed, the first equals sign separates, the last value counts."""
    assert parse_assignments((" epochs =5", "name=a=b", "epochs=6")) == {"epochs": "6", "name": "a=b"}


def test_an_assignment_without_a_value_is_refused() -> None:
    """The error about an assignment without a value shows an example."""
    with pytest.raises(click.UsageError) as caught:
        parse_assignments(("epochs",))
    assert str(caught.value) == "-H takes NAME=VALUE, not 'epochs'. For example: -H epochs=5."


@pytest.mark.parametrize(
    ("value", "expected"),
    [("500", (500, None)), ("90s", (None, 90.0)), (" 10m ", (None, 600.0)), ("999999999", (999_999_999, None))],
)
def test_how_often_is_batches_or_seconds(value: str, expected: tuple[int | None, float | None]) -> None:
    """A number alone counts batches, a unit makes it a time."""
    assert parse_every(CONTEXT, EVERY, value) == expected


@pytest.mark.parametrize("value", ["", "0", "-5", "1h", "1.5m", "m", "1000000000"])
def test_how_often_is_nothing_else(value: str) -> None:
    """The error about an invalid interval shows both forms."""
    with pytest.raises(click.BadParameter) as caught:
        parse_every(CONTEXT, EVERY, value)
    assert caught.value.message == f"'{value}' is neither a number of batches (500) nor a time (90s, 10m)."

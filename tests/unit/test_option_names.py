"""Messages of the library name parameters, and the command line calls them by its options."""

from __future__ import annotations

import click
import pytest

from ipinsights.cli import cli
from ipinsights.cli.option_names import _OPTIONS, with_option_names


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("`fractions` must add up to 1.", "--fraction must add up to 1."),
        ("say where with `output`.", "say where with --output."),
        ("Make one with `Threshold.calibrate`.", "Make one with `ipinsights threshold`."),
        ("Got '`path`'.", "Got '`path`'."),
        ("`something_else` is no parameter.", "`something_else` is no parameter."),
    ],
)
def test_names_in_backquotes_become_options(message: str, shown: str) -> None:
    """Values of users, which stand in quotes, stay as they are."""
    assert with_option_names(message) == shown


def test_every_option_exists() -> None:
    """A message never names an option that no command has."""
    existing = {
        option
        for command in cli.commands.values()
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
    }
    assert {option for option in _OPTIONS.values() if option.startswith("--")} <= existing

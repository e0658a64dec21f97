"""Messages of the library name parameters, and the command line calls them by its options."""

from __future__ import annotations

import click
import pytest

from ipinsights.cli import cli
from ipinsights.cli.data_paths import DataPath
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


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("extract", "Name the encoding with --encoding."),
        ("train", "Name the encoding with `ipinsights extract --encoding`."),
    ],
)
def test_options_of_other_commands_are_named_with_them(command: str, shown: str) -> None:
    """An option that the running command lacks is not shown as one of its own."""
    context = click.Context(cli.commands[command], parent=click.Context(cli))
    assert with_option_names("Name the encoding with `encoding`.", context) == shown


def kind_of(option: click.Option) -> str:
    """Return what an option takes: nothing, a path, or the name of a type."""
    if option.is_flag:
        return "flag"
    if isinstance(option.type, DataPath):
        return "path"
    return option.type.name


def test_an_option_has_one_meaning() -> None:
    """An option takes the same kind of value in each command, and ``-o`` is always the output."""
    kinds: dict[str, set[str]] = {}
    outputs = {"--output", "--output-dir"}
    for command in cli.commands.values():
        for parameter in command.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                for name in parameter.opts:
                    kinds.setdefault(name, set()).add(kind_of(parameter))
                assert ("-o" in parameter.opts) == bool(outputs & {*parameter.opts}), (command.name, parameter.opts)
    assert {name: found for name, found in kinds.items() if len(found) > 1} == {}


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

"""Names of commands, options and arguments, as `--help` lists them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from .builds import case

if TYPE_CHECKING:
    from .builds import Build
    from .golden import Golden

COMMANDS = (
    "compare", "embeddings", "evaluate", "explain", "extract", "hyperparameters", "inspect", "score", "serve",
    "simulate", "split", "strip", "threshold", "train", "transform", "tune", "update",
)  # fmt: skip

WORKFLOW = ("Prepare data", "Train", "Judge", "Score", "Keep a history", "Run as SageMaker does")


def section(text: str, name: str) -> list[str]:
    """Return the first column of a section of a help text, without the prose next to it."""
    found = re.search(rf"^{name}:\n((?:  .*\n|\n)*)", text, re.MULTILINE)
    lines = found[1].split("\n") if found else []
    # further lines of the prose stand under it, and not in the first column
    return [re.split(r"\s{2,}", line[2:])[0] for line in lines if re.match(r"  \S", line)]


def usage(text: str) -> str:
    """Return the arguments of the usage line, from the options on."""
    return " ".join(re.split(r"\n\n", text)[0].split()).partition(" [OPTIONS]")[2].strip()


def help_of(build: Build, command: str) -> str:
    """Return a help text."""
    (done,) = build.run(case(f"help {command}", f"{command} --help")).done
    assert (done.code, done.stderr) == (0, b"")
    return done.stdout.decode()


def test_the_commands_are_these(head: Build) -> None:
    """The list of commands is complete, and nothing is added to it."""
    text = help_of(head, "")
    assert tuple(sorted(name for title in WORKFLOW for name in section(text, title))) == COMMANDS


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_options_and_arguments_are_the_golden_file_s(command: str, head: Build, golden: Golden) -> None:
    """A command has the options, names of values and arguments of the golden file."""
    text = help_of(head, command)
    golden.check(f"help/{command or 'ipinsights'}", "\n".join([usage(text), *section(text, "Options"), ""]))


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_has_a_short_name(option: str, head: Build) -> None:
    """Both names show the same help."""
    (done,) = head.run(case(option, f"train {option}")).done
    assert done.stdout.decode() == help_of(head, "train")


def test_version_is_the_package_s(head: Build) -> None:
    """`--version` names the program and a version."""
    (done,) = head.run(case("version", "--version")).done
    assert re.fullmatch(rb"ipinsights, version \d+\.\d+\.\d+\S*\n", done.stdout)

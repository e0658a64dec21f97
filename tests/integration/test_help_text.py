"""What `--help` shows at 80 columns."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from ipinsights.cli import cli
from ipinsights.cli.help_text import EXAMPLES, WORKFLOW

WIDTH = 80


def help_of(*command: str) -> str:
    """Return a help text at 80 columns."""
    result = CliRunner().invoke(cli, [*command, "--help"], terminal_width=WIDTH, prog_name="ipinsights")
    assert result.exit_code == 0
    return result.output


def test_every_command_is_in_one_step_of_the_workflow() -> None:
    """No command is missing from the list, and none is there twice."""
    assert sorted(name for names in WORKFLOW.values() for name in names) == sorted(cli.commands)


def test_summaries_are_whole_and_on_one_line() -> None:
    """A summary is the first sentence of the command's help, and fits next to the name."""
    text = help_of()
    assert max(map(len, text.splitlines())) <= WIDTH
    for title, names in WORKFLOW.items():
        section = re.search(rf"^{title}:\n((?:  \S.*\n)+)", text, re.MULTILINE)
        assert section is not None
        summaries = [line.split(maxsplit=1) for line in section[1].splitlines()]
        assert summaries == [[name, (cli.commands[name].help or "").split("\n")[0]] for name in names]


def test_exit_codes_are_listed() -> None:
    """A script can look up what an exit code means."""
    assert help_of().endswith(
        "Exit codes:\n"
        "  0    done\n"
        "  1    an error of ipinsights or of the machine; of compare: worse\n"
        "  2    an error in the command, the data or a file\n"
        "  141  the reader of the output has ended, as in a pipe to head\n"
    )


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_help_ends_with_examples(name: str) -> None:
    """Every command has an example, whose lines are not wrapped and fit the terminal."""
    text = help_of(name)
    assert text.endswith("\nExamples:\n" + "".join(f"  {line}\n" for line in EXAMPLES[name]))
    assert [line for line in text.splitlines() if len(line) > WIDTH] == []

"""The examples of the help texts, typed one after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ipinsights.cli.help_text import EXAMPLES

from .shell import run_script

if TYPE_CHECKING:
    from pathlib import Path

# Fewer users, for the time that the test takes.
SMALLER = ("--users 500", "--users 60")


def script() -> str:
    """Return a script of all examples but the server, which does not end."""
    lines = [line for name, lines in EXAMPLES.items() if name != "serve" for line in lines]
    return "\n".join(lines).replace(*SMALLER)


@pytest.mark.slow
def test_examples_run_in_their_order(tmp_path: Path) -> None:
    """In an empty folder each example finds what it reads, and ends with exit code 0."""
    ran = run_script(script(), tmp_path)
    assert ran.returncode == 0, ran.stderr
    made = ("best.json", "ips.npz", "model/threshold.json", "out/test.csv.out", "report/report.html", "runs.json")
    assert [name for name in made if not (tmp_path / name).is_file()] == []

"""What the pages tell a reader to type is typed, and what they say comes out is compared."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ipinsights.testing import PlantedNetworks

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A number by itself: no part of an address, a time or a name.
_NUMBER = re.compile(r"(?<![\w.:/-])-?\d[\d,]*(?:\.\d+)?(?![\w./:-])")
_DONE = "--- done ---"


@dataclass(frozen=True)
class Command:
    """What a reader types, and what the page says they see; nothing when the page shows nothing."""

    text: str
    output: str


def commands(page: Path) -> Iterator[Command]:
    """Give the commands of a page's console blocks in their order."""
    for block in _BLOCK.findall(page.read_text(encoding="utf-8")):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines(keepends=True)
            end = 1
            # A command goes on while the shell would ask for more of it.
            while subprocess.run(["bash", "-nc", "".join(lines[:end])], capture_output=True, check=False).stderr or (
                lines[end - 1].endswith("\\\n")
            ):
                end += 1
            yield Command("".join(lines[:end]), "".join(lines[end:]))


def type_all(typed: list[Command], folder: Path) -> list[str]:
    """Type commands into one shell in a folder, and give what each prints; the first that fails ends it."""
    script = f"set -eo pipefail\nPATH={Path(sys.executable).parent}:$PATH\n" + "".join(
        f"{command.text.rstrip()}\necho '{_DONE}'\n" for command in typed
    )
    ran = subprocess.run(
        ["bash", "-c", script], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout
    return ran.stdout.split(f"{_DONE}\n")[:-1]


def assert_alike(shown: str, printed: str) -> None:
    """Hold what is printed to what is shown: the same words, and numbers not far off.

    Another processor rounds otherwise, and hundreds of steps of training make more of it.
    """
    assert _NUMBER.sub("#", printed) == _NUMBER.sub("#", shown)
    numbers = [[float(number.replace(",", "")) for number in _NUMBER.findall(text)] for text in (printed, shown)]
    far_off = [pair for pair in zip(*numbers, strict=True) if pair[0] != pytest.approx(pair[1], rel=0.35, abs=0.05)]
    # Scores of single networks are the least certain numbers of a page.
    assert len(far_off) <= len(numbers[0]) / 5, far_off


def lay_out_clone(folder: Path) -> None:
    """Lay out what ``make install`` needs of a clone, as if it had been installed already: with our own ``.venv``."""
    for name in ("Makefile", "pyproject.toml", "setup.py", "requirements/constraints.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
        os.utime(folder / name, (0, 0))
    (folder / ".venv").symlink_to(ROOT / ".venv")


@pytest.mark.slow
@pytest.mark.parametrize(
    "pages",
    [
        ["docs/tutorial/first-login.md"],
        [
            "docs/tutorial/from-an-access-log-to-an-alert.md",
            "docs/how-to/explain-an-alert.md",
            "docs/how-to/choose-a-threshold.md",
        ],
    ],
    ids=lambda pages: Path(pages[0]).stem,
)
def test_pages_do_what_they_say(pages: list[str], tmp_path: Path) -> None:
    """Commands of pages that follow each other, in an empty folder with a clone's Makefile, print what is shown."""
    lay_out_clone(tmp_path)
    typed = [command for page in pages for command in commands(ROOT / page)]
    for command, printed in zip(typed, type_all(typed, tmp_path), strict=True):
        if command.output:
            assert_alike(command.output, printed)


def test_first_page_shows_what_the_tutorial_prints() -> None:
    """The command and the output on the documentation's first page are the tutorial's, which are run."""
    (first,) = commands(ROOT / "docs/index.md")
    assert first in commands(ROOT / "docs/tutorial/first-login.md")


@pytest.mark.slow
def test_the_first_page_of_all_does_what_it_says(tmp_path: Path, rng: np.random.Generator) -> None:
    """The commands of the README for one's own data run in their order, and a score has the columns shown."""
    lay_out_clone(tmp_path)
    rows = PlantedNetworks.draw(50, rng=rng).csv(3000, rng=rng).replace(",", ";")
    (tmp_path / "export.csv").write_text(f"user;address\n{rows}mallory;2001:db8::1\nalice;203.0.113.7\n")
    blocks = re.findall(r"^```\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)
    extract, train, score = (block for block in blocks if ".venv/bin/ipinsights" in block)
    score, shown = score.removeprefix("$ ").split("\n", 1)
    typed = [Command(text, "") for text in (extract, train, score)]
    extracted, _, scored = type_all(typed, tmp_path)
    assert extracted == (
        "3,002 records in 1 file: 3,001 written, 1 skipped.\n"
        "               1  IPv6, set aside\n"
        "Written: 3,001 rows of 51 entities.\n"
    )
    assert re.sub(r"-?\d+\.[\d.e-]+", "#", scored) == re.sub(r"-?\d+\.[\d.e-]+", "#", shown)

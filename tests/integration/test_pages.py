"""What the pages tell a reader to type is typed, and what they say comes out is compared."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"(?<![\d.])-?\d+\.\d+(?![\d.])")
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
    """Hold what is printed to what is shown: the same words, and numbers as near as two processors bring them."""
    assert _NUMBER.sub("#", printed) == _NUMBER.sub("#", shown)
    numbers = [[float(number) for number in _NUMBER.findall(text)] for text in (printed, shown)]
    assert numbers[0] == pytest.approx(numbers[1], rel=0.05, abs=0.05)


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
    for name in ("Makefile", "setup.py", "requirements", ".venv"):
        (tmp_path / name).symlink_to(ROOT / name)
    typed = [command for page in pages for command in commands(ROOT / page)]
    for command, printed in zip(typed, type_all(typed, tmp_path)):
        if command.output:
            assert_alike(command.output, printed)


def test_first_page_shows_what_the_tutorial_prints() -> None:
    """The command and the output on the documentation's first page are the tutorial's, which are run."""
    (first,) = commands(ROOT / "docs/index.md")
    assert first in commands(ROOT / "docs/tutorial/first-login.md")

"""What the pages tell a reader to type is typed, and what they say comes out is compared."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ipinsights.testing import PlantedNetworks

from .shell import run_script

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_DONE = "--- done ---"


@dataclass(frozen=True)
class Rough:
    """A kind of number that training determines roughly.

    Another processor sums in another order.

    Attributes
    ----------
    pattern
        Pattern with the number as its group.
    difference
        Largest difference from the number on the page.
    factor
        Largest factor to the number on the page, which is positive.
    """

    pattern: str
    difference: float = 0.0
    factor: float = 1.0

    def is_close(self, printed: float, shown: float) -> bool:
        """Return whether a number is near enough to the number on the page."""
        if self.factor > 1:
            return shown / self.factor <= printed <= shown * self.factor
        return abs(printed - shown) <= self.difference


# Between builds, and between processors with and without AVX, scores of single pairs differed by up to 3.2, thresholds
# by 0.1, AUC by 0.0013 and shares of attacks by 0.5 points. Every number that is not listed must be equal.
_ROUGH = (
    Rough(r"<score>=(0\.\d+)", difference=0.005),
    Rough(r"(?:score <|threshold) (-?\d+\.\d+)", difference=0.5),
    Rough(r"(?:score|score there) (-?\d+\.\d+)", difference=5),
    Rough(r"/24 +[\d,]+ +\d+ % +(-?\d+\.\d+)$", difference=5),
    Rough(r"^\w+,[\d.]+,(-?\d+\.\d+)", difference=5),
    Rough(r"^\w+,[\d.]+,#,\w+,(\d+\.[\de-]+)", factor=20),
    Rough(r"1 in ([\d,]+) normal", factor=20),
    Rough(r"^(\d+\.\d+) %$", difference=0.3),
    Rough(r"the model catches (\d+\.\d+) %", difference=3),
    Rough(r"The history catches (\d+) %", difference=3),
    Rough(r"the model is (\d+\.\d+) points", difference=3),
    Rough(r"points worse \[(-?\d+\.\d+)", difference=5),
    Rough(r"points worse \[#, (-?\d+\.\d+)", difference=5),
)


@dataclass(frozen=True)
class Command:
    """What a reader types, and what the page says they see; nothing when the page shows nothing."""

    text: str
    output: str


def commands(page: Path) -> Iterator[Command]:
    """Yield the commands of a page's console blocks in their order."""
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
    """Run commands in one shell in a folder.

    Return their outputs until the first failure.
    """
    script = "".join(f"{command.text.rstrip()}\necho '{_DONE}'\n" for command in typed)
    ran = run_script(f"exec 2>&1\n{script}", folder)
    assert ran.returncode == 0, ran.stdout
    return ran.stdout.split(f"{_DONE}\n")[:-1]


def assert_alike(shown: str, printed: str) -> None:
    """Compare what is printed with what is shown.

    By their kind, numbers that depend on the processor, else exactly.
    """
    for rough in _ROUGH:
        pattern = re.compile(rough.pattern, re.MULTILINE)
        numbers = [[float(number.replace(",", "")) for number in pattern.findall(text)] for text in (printed, shown)]
        assert len(numbers[0]) == len(numbers[1]), (rough, *numbers)
        far_off = [pair for pair in zip(*numbers, strict=True) if not rough.is_close(*pair)]
        assert not far_off, (rough, far_off)
        printed, shown = (pattern.sub(without_number, text) for text in (printed, shown))
    assert printed == shown


def without_number(found: re.Match[str]) -> str:
    """Return the text of a match with # for its group."""
    start, end = (position - found.start() for position in found.span(1))
    return f"{found[0][:start]}#{found[0][end:]}"


def lay_out_clone(folder: Path) -> None:
    """Create the files that ``make install`` needs of a clone, with our own ``.venv``.

    The clone looks as if the package were already installed.
    """
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
    """Commands of consecutive pages print the shown output in an empty folder.

    The folder has the Makefile of a clone.
    """
    lay_out_clone(tmp_path)
    typed = [command for page in pages for command in commands(ROOT / page)]
    for command, printed in zip(typed, type_all(typed, tmp_path), strict=True):
        if command.output:
            assert_alike(command.output, printed)
    if "docs/tutorial/from-an-access-log-to-an-alert.md" in pages:
        assert_lines_are_in_files(ROOT / "docs/tutorial/from-an-access-log-to-an-alert.md", tmp_path)


def assert_lines_are_in_files(page: Path, folder: Path) -> None:
    """Compare the page's line of the log and its alert with the files.

    The line is cut at three dots.
    """
    line, alert = re.findall(r"^```text\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    with (folder / "traffic" / "access.log").open(encoding="utf-8") as log:
        assert log.readline().startswith(line.partition("...")[0])
    key = ",".join(alert.split(",")[:2])
    (found,) = [row for row in (folder / "alerts.csv").read_text().splitlines() if row.startswith(key)]
    columns, shown = found.split(","), alert.strip().split(",")
    assert_alike(",".join(shown[:3]), ",".join(columns[:3]))
    assert [columns[at] for at in (3, 6, 7)] == [shown[at] for at in (3, 6, 7)]


def test_first_page_shows_what_the_tutorial_prints() -> None:
    """The command and output on the documentation's first page are those of the tutorial.

    The tutorial's commands are run by another test.
    """
    (first,) = commands(ROOT / "docs/index.md")
    assert first in commands(ROOT / "docs/tutorial/first-login.md")


@pytest.mark.slow
def test_the_first_page_of_all_does_what_it_says(tmp_path: Path, rng: np.random.Generator) -> None:
    """The README's commands for own data run in order, and scores have the columns shown."""
    lay_out_clone(tmp_path)
    rows = PlantedNetworks.draw(50, rng=rng).csv(3000, rng=rng).replace(",", ";")
    (tmp_path / "export.csv").write_text(f"user;address\n{rows}mallory;2001:db8::1\nalice;203.0.113.7\n")
    readme = (ROOT / "README.md").read_text("utf-8")
    blocks = re.findall(r"^```(?:sh|console)\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    extract, train, score, oddest = (block for block in blocks if ".venv/bin/ipinsights" in block)
    score, shown = score.removeprefix("$ ").split("\n", 1)
    typed = [Command(text, "") for text in (extract, train, score, oddest)]
    (tmp_path / "new.csv").write_text(rows.replace(";", ","))
    extracted, _, scored, lowest = type_all(typed, tmp_path)
    assert extracted == (
        "3,002 records in 1 file: 3,001 written, 1 skipped.\n"
        "               1  IPv6, set aside\n"
        "Written: 3,001 rows of 51 entities.\n"
    )
    assert re.sub(r"-?\d+\.[\d.e-]+", "#", scored) == re.sub(r"-?\d+\.[\d.e-]+", "#", shown)
    found = [float(line.split(",")[2]) for line in lowest.splitlines()]
    assert len(found) == 10
    assert found == sorted(found, reverse=True)

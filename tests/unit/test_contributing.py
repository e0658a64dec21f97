"""What a newcomer reads first is true: every room has a line, and every command it names is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
NOT_ROOMS = {"__init__", "__main__"}


def test_every_room_has_a_line() -> None:
    """Each module and folder of the package stands in the table of rooms, and nothing else does."""
    names = {
        path.stem for path in (ROOT / "ipinsights").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    table = PAGE.partition("## The rooms")[2].partition("## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    told = {name.removesuffix(".py").rstrip("/") for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert told == names - NOT_ROOMS


def test_every_command_is_there() -> None:
    """What the page tells to make is in the Makefile, and what it tells to run is in the repository."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", PAGE, re.MULTILINE)) <= targets
    assert all((ROOT / name).exists() for name in re.findall(r"`(scripts/[\w.]+)", PAGE))

"""What a newcomer reads first is true: every command that it names is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_every_command_is_there() -> None:
    """Every make target of the page is in the Makefile, and every program in the repository."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", PAGE, re.MULTILINE)) <= targets
    assert all((ROOT / name).exists() for name in re.findall(r"`(scripts/[\w.]+)", PAGE))

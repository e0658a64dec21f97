"""The first hour of four people, as scripts of commands in a clone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "tests" / "system" / "first_hour").glob("*.sh"))


def git(*words: str | Path, cwd: Path = ROOT) -> str:
    """Return what git prints."""
    return subprocess.run(["git", *words], cwd=cwd, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a clone with the changes of the work tree, and with our environment installed."""
    clone = tmp_path / "clone"
    git("clone", "--quiet", "--no-hardlinks", ROOT, clone)
    for name, value in (("user.name", "test"), ("user.email", "test@example.com")):
        git("config", name, value, cwd=clone)
    for name in git("diff", "--name-only", "--diff-filter=d", "HEAD").splitlines():
        shutil.copy(ROOT / name, clone / name)
    (clone / ".venv").symlink_to(sys.prefix)
    # As if the package had been installed after the files were written.
    for name in ("pyproject.toml", "setup.py", "requirements/constraints.txt"):
        os.utime(clone / name, (0, 0))
    return clone


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("script", [path for path in SCRIPTS if path.stem != "steps"], ids=lambda path: path.stem)
def test_commands_of_strangers(script: Path, clone: Path) -> None:
    """Each step has the exit code that it should have, and says what the script expects.

    The steps include the two commands of README.md.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", script], cwd=clone, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

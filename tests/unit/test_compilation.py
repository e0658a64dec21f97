"""The import of the kernels: their cache and log line.

Each import is a separate process.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ipinsights
from ipinsights.training.learners import compilation

LOAD = """
import logging
logging.basicConfig(level=logging.INFO, format="%(message)s")
from ipinsights.training.learners.compilation import load_kernels
print(load_kernels().__name__)
"""
NAME = "ipinsights.training.learners.kernels"


def start(code: str, **environment: str | Path) -> subprocess.Popen[str]:
    """Start a Python program with some variables."""
    kept = {name: value for name, value in os.environ.items() if name not in ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR")}
    given = {**kept, "PYTHONDONTWRITEBYTECODE": "1", **{name: str(value) for name, value in environment.items()}}
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd="/", env=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def run(code: str, **environment: str | Path) -> list[str]:
    """Return the lines that a program prints."""
    process = start(code, **environment)
    lines = process.communicate()[0].splitlines()
    assert process.returncode == 0, lines
    return lines


def without_a_writable_place(folder: Path) -> dict[str, str | Path]:
    """Copy the package to a place without a cache.

    Return variables for a read-only home.
    """
    package = folder / "package" / "ipinsights"
    shutil.copytree(Path(ipinsights.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    # Tests run as root too, which may write everywhere: a file lies where the folder would be.
    (package / "training" / "learners" / "__pycache__").touch()
    (folder / "tmp").mkdir()
    return {"PYTHONPATH": package.parent, "HOME": "/dev/null", "TMPDIR": folder / "tmp"}


@pytest.mark.slow
def test_a_compilation_is_logged_once(tmp_path: Path) -> None:
    """The first process logs the time and the folder of the machine code, the second loads it."""
    first, second = (run(LOAD, NUMBA_CACHE_DIR=tmp_path) for _ in range(2))
    assert len(first) == 2
    pattern = r"Compiled the training step in \d+\.\d seconds\. Later runs load it from (.*)\."
    assert (found := re.fullmatch(pattern, first[0])), first
    assert Path(found[1]).parent == tmp_path
    assert [first[1], *second] == [NAME, NAME]


@pytest.mark.slow
def test_two_processes_may_compile_at_once(tmp_path: Path) -> None:
    """Both come to an end with kernels, and leave a cache that a third one loads."""
    both = [start(LOAD, NUMBA_CACHE_DIR=tmp_path) for _ in range(2)]
    assert [process.communicate()[0].splitlines()[-1] for process in both] == [NAME, NAME]
    assert [process.returncode for process in both] == [0, 0]
    run(LOAD, NUMBA_CACHE_DIR=tmp_path)
    assert run(LOAD, NUMBA_CACHE_DIR=tmp_path) == [NAME]


@pytest.mark.slow
def test_a_read_only_home_has_a_private_cache(tmp_path: Path) -> None:
    """If package and home are read-only, machine code is kept in a private temporary folder."""
    environment = without_a_writable_place(tmp_path)
    assert run(LOAD, **environment)[0].startswith("Compiled the training step in ")
    (folder,) = (tmp_path / "tmp").glob("ipinsights-numba-*")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert run(LOAD, **environment) == [NAME]


class TestPrivateFolder:
    """The folder among temporary files."""

    @pytest.fixture(autouse=True)
    def temporary(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let temporary files lie in the test's folder."""
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def test_it_is_used_again(self) -> None:
        """The cache of a user is the same folder each time."""
        assert compilation._private_folder() == compilation._private_folder()

    @pytest.mark.parametrize("mode", [0o777, 0o750, 0o701])
    def test_a_folder_that_others_can_use_is_not_used(self, tmp_path: Path, mode: int) -> None:
        """Numba unpickles what it finds, so nobody else may write there."""
        (open_to_others := tmp_path / f"ipinsights-numba-{os.geteuid()}").mkdir()
        open_to_others.chmod(mode)
        folder = compilation._private_folder()
        assert folder != open_to_others
        assert folder.stat().st_mode & 0o777 == 0o700

    def test_a_link_is_not_followed(self, tmp_path: Path) -> None:
        """A link in place of the cache is not followed, because another user may own its target."""
        (elsewhere := tmp_path / "elsewhere").mkdir(mode=0o700)
        (link := tmp_path / f"ipinsights-numba-{os.geteuid()}").symlink_to(elsewhere)
        assert compilation._private_folder() not in (link, elsewhere)

    def test_a_chosen_folder_that_is_missing_is_made(self, tmp_path: Path) -> None:
        """A cache folder that does not exist yet is the one that is used."""
        assert compilation._is_writable(tmp_path / "new" / "cache")
        (tmp_path / "file").touch()
        assert not compilation._is_writable(tmp_path / "file" / "cache")

    def test_a_cache_that_cannot_be_written_to_is_copied(self, tmp_path: Path) -> None:
        """The kernels of a read-only cache are loaded from a copy, and nothing is compiled again."""
        (image := tmp_path / "image").mkdir()
        (image / "kernels.nbi").write_text("code")
        assert (compilation._copied(image) / "kernels.nbi").read_text() == "code"
        assert compilation._copied(tmp_path / "missing").is_dir()


def test_an_old_numba_is_named_with_its_cure(tmp_path: Path) -> None:
    """What Numba says of NumPy, and the command that installs another one."""
    (tmp_path / "numba").mkdir()
    (tmp_path / "numba" / "__init__.py").write_text("raise ImportError('Numba needs NumPy 1.26 or less')")
    code = LOAD.replace(
        "print(load_kernels().__name__)", "try:\n    load_kernels()\nexcept Exception as error:\n    print(error)"
    )
    assert run(code, PYTHONPATH=tmp_path) == [
        "Numba cannot be imported: Numba needs NumPy 1.26 or less. Install it: pip install --upgrade numba."
    ]

"""The published package: version, types, completion and a complete source distribution."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata, resources
from pathlib import Path

import pytest

import ipinsights

ROOT = Path(__file__).parents[2]


def run(*arguments: str, **environment: str) -> str:
    """Return the standard output of a program."""
    settings = {**os.environ, **environment}
    return subprocess.run(arguments, capture_output=True, text=True, check=True, env=settings, cwd=ROOT).stdout


def test_version_comes_from_one_place() -> None:
    """Package, metadata and command line have the same version, declared in one file only.

    Neither setup.py nor pyproject.toml has a version.
    """
    assert metadata.version("ipinsights") == ipinsights.__version__
    assert run(sys.executable, "-m", "ipinsights", "--version") == f"ipinsights, version {ipinsights.__version__}\n"
    for name in ("setup.py", "pyproject.toml"):
        assert f'"{ipinsights.__version__}"' not in (ROOT / name).read_text(encoding="utf-8")


def test_types_are_shipped() -> None:
    """The marker that lets type checkers read our annotations is installed with the package."""
    assert resources.files("ipinsights").joinpath("py.typed").is_file()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    """The documented line prints a script for the shell, and completing ``tr`` finds ``train``."""
    command = Path(sys.executable).with_name("ipinsights")
    assert "_IPINSIGHTS_COMPLETE=" in run(str(command), _IPINSIGHTS_COMPLETE=f"{shell}_source")
    variables = {
        "COMP_WORDS": "ipinsights tr" if shell != "fish" else "tr",
        "COMP_CWORD": "1" if shell != "fish" else "tr",
    }
    assert "train" in run(str(command), _IPINSIGHTS_COMPLETE=f"{shell}_complete", **variables)


def test_packages_that_do_not_fit_together_are_named(tmp_path: Path) -> None:
    """PyArrow 26 next to NumPy 1 is an error with one sentence, a cure and exit code 2.

    Installers do not know this conflict.
    """
    (tmp_path / "pyarrow.py").write_text("raise ImportError('pyarrow requires NumPy 2.0 or newer, found 1.26.4')")
    command = [sys.executable, "-m", "ipinsights", "score", "rows.csv", "--model-dir", "model"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        2,
        "ClientError: A package cannot be imported: pyarrow requires NumPy 2.0 or newer, found 1.26.4. "
        "Install one that fits your NumPy: pip install 'pyarrow<26'.\n",
    )


@pytest.mark.slow
def test_source_distribution_is_whole(tmp_path: Path) -> None:
    """The source distribution has licence, notice, tests, documents and tools.

    A wheel built from it has every module of the tree.
    """
    run(sys.executable, "-m", "build", "--outdir", str(tmp_path), str(ROOT))
    (source,) = tmp_path.glob("*.tar.gz")
    (wheel,) = tmp_path.glob("*.whl")
    with tarfile.open(source) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    wanted = {"LICENSE", "NOTICE", "CHANGELOG.md", "CONTRIBUTING.md", "Makefile", "README.md", "docker/Dockerfile",
              "docs/conf.py", "docs/index.md", "requirements/constraints.txt", "scripts/demo.py",
              "tests/conftest.py"}  # fmt: skip
    assert wanted <= names
    assert not {name for name in names if "_build" in name or "__pycache__" in name}
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "ipinsights").rglob("*.py")}
    packaged = set(zipfile.ZipFile(wheel).namelist())
    assert modules | {"ipinsights/py.typed"} <= packaged
    assert {name.partition("/")[2] for name in packaged if "licenses" in name} == {
        "licenses/LICENSE",
        "licenses/NOTICE",
    }

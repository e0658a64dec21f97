"""The wheel: it installs into an empty environment of every Python found here, and works from another folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ipinsights.testing import PlantedNetworks

ROOT = Path(__file__).parents[2]
# Each takes a minute; those between the oldest and the newest are for who has one.
VERSIONS = ("3.9", *(pytest.param(version, marks=pytest.mark.long) for version in ("3.10", "3.11")), "3.12", "3.13")
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
SETTINGS = ["-H", "num_entity_vectors=20", "-H", "vector_dim=8", "-H", "epochs=1", "-H", "mini_batch_size=20"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the sources, and give it."""
    folder = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "ipinsights", folder / "source" / "ipinsights", ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, folder / "source")
    subprocess.run([*PIP, "wheel", "--no-deps", "--wheel-dir", folder, folder / "source"], check=True)
    (found,) = folder.glob("*.whl")
    return found


def interpreter(version: str) -> str:
    """Give a Python of this version, or skip the test if there is none that can make environments."""
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for python in (shutil.which(f"python{version}"), *map(str, pyenv)):
        command = [python, "-c", "import sys, venv; print('%d.%d' % sys.version_info[:2])"]
        # A pyenv shim is there for Pythons that are not.
        if python and subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() == version:
            return python
    pytest.skip(f"there is no Python {version} here")


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_the_wheel_works_on_its_own(version: str, wheel: Path, tmp_path: Path) -> None:
    """Installed with the versions that are known to fit, it trains and scores where no source is near."""
    python, home = interpreter(version), tmp_path / "environment"
    subprocess.run([python, "-m", "venv", "--without-pip", home], check=True)
    install = [*PIP, "--python", home / "bin" / "python", "install", "--no-compile", "--only-binary", ":all:",
               "--constraint", ROOT / "requirements" / "constraints.txt"]  # fmt: skip
    if subprocess.run([*install, "numpy<2"], capture_output=True, check=False).returncode:
        pytest.skip(f"there is no wheel of numpy below 2 for Python {version}")
    subprocess.run([*install, wheel], check=True)

    planted = PlantedNetworks.draw(10, rng=np.random.default_rng(1))
    (tmp_path / "rows.csv").write_text(planted.csv(100, rng=np.random.default_rng(2)))
    ipinsights = home / "bin" / "ipinsights"
    train = [ipinsights, "train", "--train", "rows.csv", "--validation", "rows.csv", "--model-dir", "model", *SETTINGS]
    log = subprocess.run(train, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert 'Saved checkpoint to "model/model_algo-1"' in log
    score = [ipinsights, "score", "rows.csv", "--model-dir", "model"]
    scores = subprocess.run(score, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert scores.stdout.count("\n") == 101
    assert scores.stderr == ""

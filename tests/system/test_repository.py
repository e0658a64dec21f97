"""Files of the repository, checked by the tools that read them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOL = [sys.executable, "-m", "uv", "--quiet", "--no-config", "tool", "run", "--python", sys.executable]

pytestmark = pytest.mark.slow


def check(*command: str | Path, cwd: Path = ROOT) -> str:
    """Return what a command prints. A failure shows it."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("vendor.github-workflows", ".github/workflows/*.yml"),
        ("vendor.readthedocs", ".readthedocs.yaml"),
    ],
)
def test_schemas(schema: str, pattern: str) -> None:
    """Workflows and the settings of the documentation site follow their schemas."""
    files = sorted(ROOT.glob(pattern))
    assert files
    check(*TOOL, "check-jsonschema", "--builtin-schema", schema, *files)


def test_citation() -> None:
    """The citation is valid."""
    check(*TOOL, "--with", "setuptools<81", "cffconvert", "--validate", "-i", ROOT / "CITATION.cff")


def test_release(tmp_path: Path) -> None:
    """A release in a clone dates the changelog and tags the version; a second one is refused."""
    clone = tmp_path / "clone"
    check("git", "clone", "--quiet", "--no-hardlinks", ROOT, clone)
    for name, value in (("user.name", "test"), ("user.email", "test@example.com")):
        check("git", "config", name, value, cwd=clone)
    for changed in ("scripts/release.py", "CITATION.cff", "CHANGELOG.md", "ipinsights/__init__.py"):
        shutil.copy(ROOT / changed, clone / changed)
    version = check(sys.executable, "-c", "import ipinsights; print(ipinsights.__version__)", cwd=clone).strip()
    changelog = clone / "CHANGELOG.md"
    changelog.write_text("# Changelog\n\n## Unreleased\n\n- New.\n", encoding="utf-8")
    check("git", "add", ".", cwd=clone)
    check("git", "commit", "--quiet", "--allow-empty", "--message", "tests: prepare a release", cwd=clone)
    check(sys.executable, clone / "scripts" / "release.py", "--check", cwd=clone)
    assert check(sys.executable, clone / "scripts" / "release.py", cwd=clone) == f"Tagged v{version}.\n"
    assert f"## Unreleased\n\n## {version} - 20" in changelog.read_text(encoding="utf-8")
    assert check("git", "describe", "--exact-match", cwd=clone).strip() == f"v{version}"
    again = subprocess.run(
        [sys.executable, clone / "scripts" / "release.py"], capture_output=True, text=True, check=False
    )
    assert again.returncode == 1

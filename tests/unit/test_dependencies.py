"""Lower bounds of what we depend on: never a version with a known hole."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
# The first version without the hole, as docs/explanation/security.md tells.
FIXED_IN = {"gunicorn": "23", "mxnet": "1.9.1", "orjson": "3.9.15", "pyarrow": "14.0.1", "setuptools": "78.1.1",
            "tqdm": "4.66.3"}  # fmt: skip


def requirements() -> dict[str, Requirement]:
    """Return what the package needs to run, with its extra ``mxnet``, by name."""
    parsed = (Requirement(text) for text in metadata.requires("ipinsights") or ())
    extra = 'extra == "mxnet"'
    needed = [found for found in parsed if "extra" not in str(found.marker or "") or extra in str(found.marker)]
    return {found.name: found for found in reversed(needed)}


@pytest.mark.parametrize("name", FIXED_IN)
def test_no_version_with_a_known_hole_is_accepted(name: str) -> None:
    """The lowest version that a dependency may have is not before the one that mended it."""
    lowest = [Version(bound.version) for bound in requirements()[name].specifier if bound.operator in (">=", "==")]
    assert max(lowest) >= Version(FIXED_IN[name])


def test_the_page_tells_of_every_one() -> None:
    """Every dependency with such a bound has a row on the security page."""
    page = (ROOT / "docs" / "explanation" / "security.md").read_text(encoding="utf-8")
    assert [name for name in FIXED_IN if f"| {name} " not in page] == []


@pytest.mark.parametrize("name", ["numpy", "pandas", "pyarrow"])
def test_no_upper_bound_changes_what_a_user_has(name: str) -> None:
    """The newest version of what most users have installed is always accepted."""
    assert [bound.operator for bound in requirements()[name].specifier] == [">="]


def test_constraints_name_what_is_needed() -> None:
    """Every dependency is held to a version that is known to work, within the bounds."""
    lines = (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    for name, needed in requirements().items():
        versions = [next(iter(pin.specifier)).version for pin in pins if pin.name == name]
        assert versions, name
        assert all(needed.specifier.contains(version) for version in versions), name

"""Lower bounds of what we depend on: never a version with a known hole."""

from __future__ import annotations

import itertools
import re
import runpy
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from ipinsights.model import mxnet_package

ROOT = Path(__file__).parents[2]
# The first version without the hole, as docs/explanation/security.md tells.
FIXED_IN = {"gunicorn": "23", "jinja2": "3.1.6", "mxnet": "1.9.1", "orjson": "3.9.15", "pyarrow": "14.0.1",
            "setuptools": "78.1.1", "tqdm": "4.66.3"}  # fmt: skip


def requirements() -> dict[str, Requirement]:
    """Return what the package needs to run, with its extra ``mxnet``, by name."""
    parsed = (Requirement(text) for text in metadata.requires("ipinsights") or ())
    extras = ('extra == "mxnet"', 'extra == "report"')
    needed = [found for found in parsed if "extra" not in str(found.marker or "") or str(found.marker).endswith(extras)]
    return {found.name: found for found in reversed(needed)}


@pytest.mark.parametrize("name", FIXED_IN)
def test_no_version_with_a_known_hole_is_accepted(name: str) -> None:
    """The lowest version of a dependency is not before the one that fixed the hole."""
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


class TestVersions:
    """The supported versions are the same wherever they are written."""

    @pytest.mark.parametrize("name", ["README.md", "docs/how-to/install.md"])
    def test_pages_show_the_metadata(self, name: str) -> None:
        """The table of versions on a page is the current output of ``scripts/render_versions.py``."""
        script = runpy.run_path(str(ROOT / "scripts" / "render_versions.py"))
        page = (ROOT / name).read_text(encoding="utf-8")
        assert script["table"]() in page
        assert script["render"](page) == page

    def test_classifiers_begin_with_the_oldest_python(self) -> None:
        """Classifiers, ``requires-python`` and the message of ``make`` name the same versions."""
        pythons = runpy.run_path(str(ROOT / "scripts" / "render_versions.py"))["pythons"]()
        assert metadata.metadata("ipinsights")["Requires-Python"] == f">={pythons[0]}"
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert f"supports Python {pythons[0]} to {pythons[-1]}, and" in makefile
        assert pythons == [f"3.{minor}" for minor in range(10, 10 + len(pythons))]

    @pytest.mark.parametrize("name", ["README.md", "docs/how-to/install.md"])
    def test_pages_show_the_command_for_mxnet(self, name: str) -> None:
        """The documented command is that of the error message for NumPy 2 on Python 3.13."""
        command = mxnet_package.installation_command((3, 13), "2.0.0")
        assert f"\n{command}\n" in (ROOT / name).read_text(encoding="utf-8")

    def test_the_extra_has_the_platforms_of_the_messages(self) -> None:
        """The marker of the extra ``mxnet`` holds where a message offers MXNet with its pins."""
        marker = requirements()["mxnet"].marker
        assert marker is not None
        for system, machine in itertools.product(("linux", "darwin", "win32"), ("x86_64", "aarch64", "arm64")):
            for version in ("3.10", "3.12", "3.13", "3.14"):
                found = {
                    "sys_platform": system,
                    "platform_machine": machine,
                    "python_version": version,
                    "extra": "mxnet",
                }
                is_pinned = mxnet_package.is_published(system, machine) and version < "3.13"
                assert marker.evaluate(found) == is_pinned, found


def test_nothing_is_said_to_be_on_an_index() -> None:
    """No message and no page installs ipinsights from a package index, because none has it."""
    places = ("*.md", "docs/**/*.md", "docs/**/*.ipynb", "docker/*.md", "ipinsights/**/*.py", "scripts/*.py")
    texts = {
        path: path.read_text(encoding="utf-8")
        for place in places
        for path in ROOT.glob(place)
        if "_build" not in path.parts
    }
    installs = {path.name: re.findall(r"pip install '?ipinsights(?!\S* @ )\S*", text) for path, text in texts.items()}
    assert {name: found for name, found in installs.items() if found} == {}

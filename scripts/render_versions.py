"""Write the table of supported versions into the pages that show it.

A test fails when a page is out of date.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "docs/how-to/install.md")
NAMES = {"numpy": "NumPy", "pandas": "pandas", "pyarrow": "PyArrow", "scipy": "SciPy", "scikit-learn": "scikit-learn",
         "mxnet": "MXNet (optional)"}  # fmt: skip
_BLOCK = re.compile(r"(<!-- versions -->\n).*?(<!-- end of versions -->)", re.DOTALL)


def pythons() -> list[str]:
    """Return the supported versions of Python, ascending."""
    classifiers = metadata.metadata("ipinsights").get_all("Classifier", [])
    return re.findall(r"Python :: (3\.\d+)$", "\n".join(classifiers), re.MULTILINE)


def oldest() -> dict[str, str]:
    """Return the lower bound of each dependency."""
    requirements = map(Requirement, reversed(metadata.requires("ipinsights") or []))
    bounds = {(found.name, bound.operator): bound.version for found in requirements for bound in found.specifier}
    return {name: version for (name, operator), version in bounds.items() if operator in (">=", "==")}


def newest() -> dict[str, str]:
    """Return the newest version of each dependency that the constraints name."""
    lines = (ROOT / "requirements" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [(found.name, next(iter(found.specifier)).version) for found in map(Requirement, filter(_is_pin, lines))]
    return dict(sorted(pins, key=lambda pin: Version(pin[1])))


def _is_pin(line: str) -> bool:
    return not line.lstrip().startswith("#")


def table() -> str:
    """Return the table."""
    rows = [("Python", pythons()[0], pythons()[-1])]
    rows += [(title, oldest()[name], newest()[name]) for name, title in NAMES.items()]
    lines = [f"| {title} | {first} | {last} |\n" for title, first, last in rows]
    return "| | oldest | newest known |\n| --- | --- | --- |\n" + "".join(lines)


def render(page: str) -> str:
    """Return a page with the table of today."""
    return _BLOCK.sub(lambda match: match[1] + table() + match[2], page)


if __name__ == "__main__":
    for path in map(ROOT.joinpath, PAGES):
        path.write_text(render(path.read_text(encoding="utf-8")), encoding="utf-8")

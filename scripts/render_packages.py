"""Write the table of packages into ``CONTRIBUTING.md`` from their docstrings.

A test fails when the table is out of date.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "CONTRIBUTING.md"
BEGIN, END = "<!-- Packages: written by scripts/render_packages.py -->\n", "<!-- End of packages -->\n"


def render() -> str:
    """Return the page with the table of today, packages that use others first."""
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    rows = "".join(f"| `{package.replace('.', '/')}/` | {summary(package)} |\n" for package in packages())
    return f"{head}{BEGIN}\n| package | what it is for |\n| --- | --- |\n{rows}\n{END}{rest.partition(END)[2]}"


def packages() -> list[str]:
    """Return the names of all packages in the order of the import contract."""
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    layers = settings.partition("\nlayers = [")[2].partition("]")[0]
    order = re.findall(r"\w+", layers)
    folders = [path.parent.relative_to(ROOT / "ipinsights") for path in (ROOT / "ipinsights").rglob("__init__.py")]
    found = [".".join(folder.parts) for folder in folders if folder.parts]
    return sorted(found, key=lambda name: (order.index(name.partition(".")[0]), name))


def summary(package: str) -> str:
    """Return the first line of a package's docstring, in Markdown."""
    source = (ROOT / "ipinsights" / Path(*package.split(".")) / "__init__.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0].replace("``", "`")


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")

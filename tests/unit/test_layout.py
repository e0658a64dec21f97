"""The layout of the package: names, docstrings of packages, and a test file for each module."""

from __future__ import annotations

import ast
import runpy
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "ipinsights"
TESTS = ROOT / "tests"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if not path.stem.startswith("__"))
PACKAGES = sorted(path for path in PACKAGE.rglob("__init__.py") if path.parent != PACKAGE)
MOST_AT_THE_TOP = 8
# Modules that only other programs, processes or whole commands can test, with the file that does.
TESTED_WITH_OTHERS = {
    # learners take the same steps
    "cpu": "unit/test_learner.py",
    "hidden_layers": "unit/test_learner.py",
    "octet_layer": "unit/test_learner.py",
}


def own_tests(module: Path) -> list[Path]:
    """Return the test files under the name of a module."""
    return sorted(TESTS.glob(f"*/test_{module.stem.lstrip('_')}.py"))


def test_module_names_are_unique() -> None:
    """A name means one module, wherever it is imported from."""
    counts = Counter(module.stem for module in MODULES)
    assert [name for name, count in counts.items() if count > 1] == []


def test_few_modules_are_at_the_top() -> None:
    """Everything else is in a package that says what it is for."""
    assert len(list(PACKAGE.glob("*.py"))) <= MOST_AT_THE_TOP


@pytest.mark.parametrize("path", PACKAGES, ids=lambda path: path.parent.relative_to(PACKAGE).as_posix())
def test_packages_say_what_they_are_for(path: Path) -> None:
    """The docstring has a first line, and a paragraph on what is elsewhere."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    first, _, second = docstring.partition("\n\n")
    assert first.endswith(".")
    assert second.endswith(".")


def test_contributing_has_the_table_of_packages() -> None:
    """The table is what ``scripts/render_packages.py`` makes of the docstrings of today."""
    script = runpy.run_path(str(ROOT / "scripts" / "render_packages.py"))
    assert script["PAGE"].read_text(encoding="utf-8") == script["render"]()


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_every_module_has_a_test_file(module: Path) -> None:
    """The file has the module's name, or the list above says which file tests the module."""
    other = TESTED_WITH_OTHERS.get(module.stem)
    assert (TESTS / other).is_file() if other else own_tests(module)


def test_only_modules_without_a_test_file_are_listed() -> None:
    """A module of the list exists, and has no test file of its own."""
    by_name = {module.stem: module for module in MODULES}
    assert set(TESTED_WITH_OTHERS) <= set(by_name)
    assert [name for name in TESTED_WITH_OTHERS if own_tests(by_name[name])] == []

"""The public names: few, imported when they are used, each with an example that runs."""

from __future__ import annotations

import doctest
import subprocess
import sys
from importlib import import_module

import pytest

import ipinsights

# Modules with examples, of public names and of what they rest on.
MODULES = (
    "ipinsights",
    "ipinsights.cli.option_names",
    "ipinsights.data.frames",
    "ipinsights.estimator",
    "ipinsights.etl.record_batches",
    "ipinsights.etl.summary",
    "ipinsights.errors",
    "ipinsights.evaluation.evaluate_rows",
    "ipinsights.evaluation.results",
    "ipinsights.inference.detector",
    "ipinsights.inference.explain",
    "ipinsights.inference.history",
    "ipinsights.inference.history_explanation",
    "ipinsights.inference.score_arrow",
    "ipinsights.inference.threshold",
    "ipinsights.synthetic.login_frames",
    "ipinsights.training.automatic_sizes",
    "ipinsights.training.callbacks",
    "ipinsights.training.mlflow_tracking",
)


def test_importing_the_package_imports_nothing_else() -> None:
    """The import loads neither NumPy nor scikit-learn before a name is used.

    The import takes milliseconds.
    """
    code = "import sys, ipinsights; print(sorted({'numpy', 'pandas', 'sklearn', 'pyarrow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_public_names_are_listed_and_there() -> None:
    """Each is an attribute and is completed, and any other name is an AttributeError."""
    assert len(ipinsights.__all__) <= 25
    assert set(ipinsights.__all__) <= set(dir(ipinsights))
    assert all(getattr(ipinsights, name).__name__ == name for name in ipinsights.__all__)
    with pytest.raises(AttributeError, match=r"^module 'ipinsights' has no attribute 'Nothing'$"):
        ipinsights.Nothing  # noqa: B018


@pytest.mark.parametrize("name", ipinsights.__all__)
def test_each_public_name_has_an_example(name: str) -> None:
    """Its docstring shows how it is used."""
    assert ">>> " in getattr(ipinsights, name).__doc__


@pytest.mark.parametrize("name", MODULES)
def test_examples_show_what_is_printed(name: str) -> None:
    """Every example of the module runs, and prints what stands below it."""
    results = doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert results.attempted > 0
    assert results.failed == 0

"""The import of MXNet, each time in a new process, because an import happens once."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ipinsights.model import mxnet_package

if TYPE_CHECKING:
    from pathlib import Path


def python(code: str, **environment: str) -> str:
    """Return what a program prints, with every warning an error."""
    unset = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(
        command, env={**unset, **environment}, capture_output=True, text=True, check=True
    ).stdout.strip()


ENGINE = """
import os, warnings
from ipinsights.model._mxnet import mx
warnings.simplefilter("ignore")  # of scipy, each time an array is made
print(mx.__version__, mx.nd.dot(mx.nd.array([1, 2]), mx.nd.ones(2)).asscalar(), os.environ["OMP_NUM_THREADS"])
"""
ERROR = """
from ipinsights.errors import ClientError
try:
    import ipinsights.model._mxnet
except ClientError as error:
    print(error)
"""


def test_mxnet_imports_without_a_warning_and_computes() -> None:
    """MXNet imports and computes next to the installed NumPy. One of two cores is left free."""
    assert python(ENGINE) == f"1.9.1 3.0 {max(1, len(os.sched_getaffinity(0)) - 1)}"


def test_the_number_of_threads_can_be_set() -> None:
    """A value in the environment is kept."""
    assert python(ENGINE, OMP_NUM_THREADS="3") == "1.9.1 3.0 3"


@pytest.mark.parametrize(("given", "used"), [("3,2", "3"), (" 2 ", "2"), ("many", None), ("-1", None), ("0", None)])
def test_a_number_of_threads_that_mxnet_cannot_read_is_replaced(given: str, used: str | None) -> None:
    """The first number of a list counts, and what is no number counts as not given."""
    assert python(ENGINE, OMP_NUM_THREADS=given) == f"1.9.1 3.0 {used or max(1, len(os.sched_getaffinity(0)) - 1)}"


def test_numpy_keeps_every_name_of_its_own() -> None:
    """Only names that NumPy does not have are added to it, and its own stay as they were."""
    code = """
import types
import numpy as np
before = dict(vars(np))
from ipinsights.model import _mxnet
after = {name: value for name, value in vars(np).items() if name in before or not isinstance(value, types.ModuleType)}
wanted = set(_mxnet._names_that_numpy_removed())
print([name for name in before if after.get(name) is not before[name]])
print(sorted(set(after) - set(before)) == sorted(wanted - set(before)))
"""
    assert python(code).splitlines() == ["[]", "True"]


def test_only_training_loads_mxnet() -> None:
    """Neither the command line nor the preparation of a job nor scoring loads MXNet."""
    code = """
import sys
import ipinsights.cli, ipinsights.inference.predictor, ipinsights.inference.score_file, ipinsights.training.job
print([name for name in sys.modules if name.split(".")[0] in ("mxnet", "sklearn", "matplotlib")])
"""
    assert python(code) == "[]"


def test_missing_system_libraries_are_named(tmp_path: Path) -> None:
    """The error names the system libraries that MXNet needs and the command to install them."""
    (tmp_path / "mxnet.py").write_text("raise OSError('libgomp.so.1: cannot open shared object file')")
    assert python(ERROR, PYTHONPATH=str(tmp_path)) == (
        "MXNet cannot be loaded: libgomp.so.1: cannot open shared object file. It needs libgomp and libquadmath; "
        "on Debian and Ubuntu: apt install libgomp1 libquadmath0."
    )


def test_missing_mxnet_is_one_sentence_with_the_command() -> None:
    """Where MXNet is not installed, the error names the command that installs it."""
    code = "import sys\nsys.modules['mxnet'] = None\n" + ERROR
    assert python(code) == f"MXNet is not installed. Install it: {mxnet_package.installation_command()}"


def test_missing_mxnet_on_a_platform_without_a_wheel() -> None:
    """Where MXNet has no wheel, the error names no command that would fail."""
    code = "import sys, platform\nsys.modules['mxnet'] = None\nplatform.machine = lambda: 'riscv64'\n" + ERROR
    assert python(code) == "MXNet is not installed: it has no release for this platform."

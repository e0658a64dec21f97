"""The door to the engine, each time in a process of its own: an import happens once."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def python(code: str, **environment: str) -> str:
    """Give what a program prints, with every warning an error."""
    unset = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(
        command, env={**unset, **environment}, capture_output=True, text=True, check=True
    ).stdout.strip()


ENGINE = """
import os, warnings
import numpy as np
from ipinsights._mxnet import mx
assert np.bool is bool
warnings.simplefilter("ignore")  # of scipy, each time an array is made
print(mx.__version__, mx.nd.dot(mx.nd.array([1, 2]), mx.nd.ones(2)).asscalar(), os.environ["OMP_NUM_THREADS"])
"""


def test_the_engine_imports_without_a_warning_and_computes() -> None:
    """The repairs hold: numpy has its old name back, at call time too; of two cores one is left free."""
    assert python(ENGINE) == f"1.9.1 3.0 {max(1, len(os.sched_getaffinity(0)) - 1)}"


def test_whoever_sets_the_number_of_threads_has_the_last_word() -> None:
    """A container or a user may know better."""
    assert python(ENGINE, OMP_NUM_THREADS="3") == "1.9.1 3.0 3"


def test_only_what_trains_waits_for_the_engine() -> None:
    """Neither the command line nor a job's preparation nor scoring loads MXNet."""
    code = """
import sys
import ipinsights.cli, ipinsights.predictor, ipinsights.scoring, ipinsights.sagemaker.training
print([name for name in sys.modules if name.split(".")[0] in ("mxnet", "sklearn", "matplotlib")])
"""
    assert python(code) == "[]"


def test_a_system_without_the_engines_libraries_is_told_which(tmp_path: Path) -> None:
    """What MXNet's wheel leaves to the system is named, with the cure; a module that fails as it does stands in."""
    (tmp_path / "mxnet.py").write_text("raise OSError('libgomp.so.1: cannot open shared object file')")
    code = """
from ipinsights.errors import ClientError
try:
    import ipinsights._mxnet
except ClientError as error:
    print(error)
"""
    assert python(code, PYTHONPATH=str(tmp_path)) == (
        "MXNet cannot be loaded: libgomp.so.1: cannot open shared object file. It needs libgomp and libquadmath; "
        "on Debian and Ubuntu: apt install libgomp1 libquadmath0."
    )

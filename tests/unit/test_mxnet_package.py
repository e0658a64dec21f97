"""Whether MXNet is installed, and the command that installs it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.model import mxnet_package

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("python_version", "numpy", "command"),
    [((3, 10), "1.26.4", "pip install mxnet==1.9.1"),
     ((3, 12), "1.26.4", "pip install mxnet==1.9.1 setuptools"),
     ((3, 11), "2.0.0", "pip install requests && pip install --no-deps mxnet==1.9.1"),
     ((3, 13), "2.5.0", "pip install requests setuptools && pip install --no-deps mxnet==1.9.1")],
)  # fmt: skip
def test_the_command_fits_python_and_numpy(python_version: tuple[int, int], numpy: str, command: str) -> None:
    """The command respects MXNet's pins unless NumPy 2 or Python 3.13 or later rules them out."""
    assert mxnet_package.installation_command(python_version, numpy) == command


def test_only_platforms_with_a_wheel_are_published() -> None:
    """Apple silicon and Windows have no wheel of MXNet."""
    platforms = [
        ("linux", "x86_64"),
        ("linux", "aarch64"),
        ("darwin", "x86_64"),
        ("darwin", "arm64"),
        ("win32", "AMD64"),
    ]
    assert [mxnet_package.is_published(*platform) for platform in platforms] == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("preparation", "printed"), [("", "True False"), ("sys.modules['mxnet'] = None", "False True")]
)
def test_it_is_found_without_being_imported(tmp_path: Path, preparation: str, printed: str) -> None:
    """A module of that name on the path is enough, and the import of a second is not made."""
    (tmp_path / "mxnet.py").write_text("raise AssertionError('imported')")
    code = f"import sys; from ipinsights.model.mxnet_package import is_installed; {preparation}\n"
    code += "print(is_installed(), 'mxnet' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"{printed}\n"


def test_the_command_for_this_python() -> None:
    """Without arguments it is that of the versions that run."""
    expected = mxnet_package.installation_command(sys.version_info[:2], np.__version__)
    assert mxnet_package.installation_command() == expected

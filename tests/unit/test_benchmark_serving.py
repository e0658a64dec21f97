"""What measuring the endpoint needs, told to who has not got it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_SCRIPT = Path(__file__).parents[2] / "benchmarks" / "benchmark_serving.py"


def test_it_says_how_to_get_the_load_generator(tmp_path: Path) -> None:
    """Without wrk it ends at once, with the command that installs it."""
    environment = {**os.environ, "PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, _SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "This needs the load generator wrk: apt-get install wrk.\n")


def test_it_says_how_to_get_what_it_is_compared_with(tmp_path: Path) -> None:
    """Without Flask, too, before anything is measured."""
    (tmp_path / "wrk").symlink_to("/bin/true")
    hidden = f"import runpy, sys; sys.modules['flask'] = None; runpy.run_path({str(_SCRIPT)!r}, run_name='__main__')"
    environment = {**os.environ, "PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", hidden], env=environment, capture_output=True, text=True, check=False)
    message = "The endpoint it is compared with needs Flask: pip install flask.\n"
    assert (done.returncode, done.stderr) == (1, message)

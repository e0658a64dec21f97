"""The sums behind the table of engines."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

_FOLDER = Path(__file__).parents[2] / "benchmarks"
# Its child uses half a second of a processor, and has a grandchild that uses as much and ends.
_BUSY = (
    "import subprocess, sys, time\n"
    "def work():\n"
    "    while time.process_time() < 0.5: pass\n"
    "if len(sys.argv) > 1: subprocess.run([sys.executable, '-c', sys.argv[1]])\n"
    "work(); print(flush=True); sys.stdin.read()"
)


def test_the_time_of_all_processes_below_counts() -> None:
    """The sum has processes that have ended, and processes of processes."""
    cpu_seconds = runpy.run_path(str(_FOLDER / "engine_jobs.py"))["cpu_seconds"]
    before = cpu_seconds()
    grandchild = "import time\nwhile time.process_time() < 0.5: pass"
    command = [sys.executable, "-c", _BUSY, grandchild]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert 0.9 < cpu_seconds() - before < 3
        child.communicate()
    assert 0.9 < cpu_seconds() - before < 3


def test_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speeds are relative to the command's, and Ray's are those of the clock."""
    monkeypatch.syspath_prepend(str(_FOLDER))
    table = runpy.run_path(str(_FOLDER / "benchmark_engines.py"))["rows_of_table"]
    command = {"score": 2.0, "extract": 3.0}
    jobs = {"identity": [1.0, 3.0], "score": [2.0, 4.0], "extract": [4.0, 6.0]}
    found = [tuple(row.values()) for row in table("spark", jobs, command, 8_000_000, 3_000_000)]
    assert found == [
        ("spark", "identity", 1.0, 3.0, pytest.approx(8 / 3), None),
        ("spark", "score", 2.0, 4.0, 2.0, 0.5),
        ("spark", "extract", 4.0, 6.0, 0.5, 0.5),
        ("spark", "identity / score, cpu", 0.75),
    ]
    del jobs["extract"]
    found = [tuple(row.values()) for row in table("ray", jobs, command, 8_000_000, 3_000_000)]
    assert found == [
        ("ray", "identity", 1.0, None, None, None),
        ("ray", "score", 2.0, None, None, None),
        ("ray", "identity / score, clock", 0.5),
    ]

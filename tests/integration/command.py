"""The command line in a process of its own."""

from __future__ import annotations

import subprocess
import sys


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command."""
    command = [sys.executable, "-m", "ipinsights", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)

"""A shell that finds the programs of the tests' environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def run_script(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script of bash in a folder until its first failure, also one in a pipe."""
    before = f"set -eo pipefail\nPATH={Path(sys.executable).parent}:$PATH\n"
    return subprocess.run(["bash", "-c", before + script], cwd=folder, capture_output=True, text=True, check=False)

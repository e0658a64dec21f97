"""Peak memory of a process."""

from __future__ import annotations

import subprocess
import sys

# Not ru_maxrss, which a process inherits from the one that started it, here from a worker of pytest.
_PEAK = (
    "def peak():\n"
    "    import pathlib, re\n"
    "    return int(re.search(r'VmHWM:\\s*(\\d+) kB', pathlib.Path('/proc/self/status').read_text())[1])\n"
)


def run_with_peak(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run code in a process where ``peak()`` returns the peak resident memory in kB."""
    command = [sys.executable, "-c", _PEAK + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)

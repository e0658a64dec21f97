"""The files that this process holds open."""

from __future__ import annotations

import contextlib
from pathlib import Path

__all__ = ["open_files"]


def open_files(folder: Path) -> list[Path]:
    """Return the files below a folder that this process holds open, one for each descriptor.

    Others are left out: at any time the garbage collector may close one that an earlier test left behind.
    """
    targets = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            targets.append(descriptor.readlink())
    return [target for target in targets if folder in target.parents]

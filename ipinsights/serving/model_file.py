"""The file behind a served model, and whether it is still the file that was opened.

The table of entity embeddings is a memory map. A program that writes into the file changes scores, and one that
truncates it ends the process with SIGBUS. Both change the size or the time of modification, which ``fstat`` reads in
a microsecond. A file renamed over the model changes neither, because the opened file lives on without its name.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING

from ipinsights.errors import ClientError
from ipinsights.model import artifact
from ipinsights.model.untar import is_tar

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ModelFile"]

_Identity = tuple[int, int, int, int]


class ModelFile:
    """An open descriptor of the file of a model directory, ``model_algo-1`` or ``model.tar.gz``."""

    def __init__(self, path: Path) -> None:
        self.path = artifact.find(path)
        # An archive was unpacked into a private file.
        self._is_mapped = not is_tar(self.path)
        try:
            self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise ClientError(f"{self.path} cannot be opened: {error.strerror}.") from None
        weakref.finalize(self, os.close, self._descriptor)
        self._opened = _identity(os.fstat(self._descriptor))

    @property
    def is_intact(self) -> bool:
        """Whether nobody wrote into the opened file."""
        return not self._is_mapped or _identity(os.fstat(self._descriptor)) == self._opened

    @property
    def is_current(self) -> bool:
        """Whether the path still leads to the opened file as it was."""
        return self.identity_at_path() == self._opened

    def identity_at_path(self) -> _Identity | None:
        """Return device, inode, size and modification time of the file at the path, or None."""
        try:
            return _identity(self.path.stat())
        except OSError:
            return None


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns

"""References to model files, by path and fingerprint, where tables are too large to copy."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipinsights.errors import ClientError
from ipinsights.model import artifact
from ipinsights.model.untar import is_tar

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ModelReference"]

_CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class ModelReference:
    """Reference to a model on disk."""

    path: Path  # absolute path of the file
    # Hash of the checksums in the file's table of contents, or of the whole file if it is a ``model.tar.gz``.
    fingerprint: str

    @classmethod
    def of(cls, path: Path) -> ModelReference:
        """Return the reference of a model directory, file or archive."""
        file = artifact.find(path).resolve()
        try:
            return cls(file, _fingerprint(file))
        except (OSError, zipfile.BadZipFile) as error:
            raise ClientError(f"{path} cannot be read: {error}.") from None

    def is_current(self) -> bool:
        """Return whether the file has the same content as before."""
        try:
            return _fingerprint(self.path) == self.fingerprint
        except (OSError, zipfile.BadZipFile):
            return False


def _fingerprint(file: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    if is_tar(file):
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
        return digest.hexdigest()
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            digest.update(f"{member.filename}:{member.file_size}:{member.CRC}\n".encode())
    return digest.hexdigest()

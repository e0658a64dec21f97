"""Compiled kernels: their import, their cache of machine code, and their log line."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import shutil
import stat
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

from ipinsights.errors import ClientError

__all__ = ["load_kernels"]

_MODULE = "ipinsights.training.learners.kernels"

_logger = logging.getLogger(__name__)


@cache
def load_kernels() -> Any:
    """Return the module of compiled kernels, or raise a ClientError if Numba cannot be imported.

    Machine code comes from Numba's cache: ``NUMBA_CACHE_DIR``, or next to the package, or below the user's home.
    Where none of them can be written to, it is kept in a folder for temporary files that only this user can use.
    """
    try:
        settings: Any = importlib.import_module("numba.core.config")
    except (ImportError, OSError) as error:
        raise ClientError(f"Numba cannot be imported: {error}. Install it: pip install --upgrade numba.") from None
    if settings.CACHE_DIR and not _is_writable(Path(settings.CACHE_DIR)):
        settings.CACHE_DIR = str(_copied(Path(settings.CACHE_DIR)))
    start = time.perf_counter()
    try:
        kernels = importlib.import_module(_MODULE)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        settings.CACHE_DIR = str(_private_folder())
        kernels = importlib.import_module(_MODULE)
    _log_compilation(kernels.KERNELS, time.perf_counter() - start)
    return kernels


def _log_compilation(kernels: tuple[Any, ...], seconds: float) -> None:
    # NUMBA_DISABLE_JIT leaves plain functions, without statistics.
    compiled = [kernel.stats for kernel in kernels if hasattr(kernel, "stats") and kernel.stats.cache_misses]
    if compiled:
        path = compiled[0].cache_path
        _logger.info("Compiled the training step in %.1f seconds. Later runs load it from %s.", seconds, path)


def _is_writable(folder: Path) -> bool:
    """Return whether machine code can be kept in a folder, which is made if it is missing."""
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return os.access(folder, os.W_OK)


def _copied(folder: Path) -> Path:
    """Return a private copy of a cache folder that is read-only, as in an image."""
    private = _private_folder()
    if folder.is_dir():
        shutil.copytree(folder, private, dirs_exist_ok=True)
    return private


def _private_folder() -> Path:
    """Return a folder for temporary files that nobody but this user can read or write.

    Numba unpickles what lies in its cache, so the folder of a stranger is never used.
    """
    folder = Path(tempfile.gettempdir(), f"ipinsights-numba-{os.geteuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077:
        return folder
    return Path(tempfile.mkdtemp(prefix="ipinsights-numba-"))

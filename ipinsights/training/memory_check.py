"""Check that a model fits into memory before any memory is allocated for it.

Otherwise the kernel would kill the process without a message.
"""

from __future__ import annotations

import contextlib
import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING

from ipinsights._system import group_folders
from ipinsights.errors import ClientError
from ipinsights.model.artifact import parameter_shapes
from ipinsights.model.ip_encoder import NUM_OCTET_ROWS
from ipinsights.training.learners.cpu import num_pieces

if TYPE_CHECKING:
    from ipinsights.config.hyperparameters import Hyperparameters

__all__ = ["available_bytes", "check_memory", "is_large", "training_bytes"]

_logger = logging.getLogger(__name__)

# From here on a model is large enough for a line in the log.
_WORTH_TELLING = 10**9
# Bytes of each entity vector besides its numbers: the learner's index, whether data has it, and whether it is known.
_NOTES_BYTES = 4 + 4 + 1
# Of the 16 bytes of a row of data, those that are allocated after the check: its row of the entity table.
_ROW_NUMBER_BYTES = 4
# Bytes of each record: two base batches, the one that is learned and the next one, and what the next one is made from.
_RECORD_BYTES = 2 * 12 + 20


# Versions of control groups: mount point, controller, files of limit and usage, and the cache in `memory.stat`.
_HIERARCHIES = (
    ("sys/fs/cgroup", "", "memory.max", "memory.current", "inactive_file"),
    ("sys/fs/cgroup/memory", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def training_bytes(hyperparameters: Hyperparameters, *, num_rows: int = 0, num_used: int | None = None) -> int:
    """Return the bytes that a model and ``num_rows`` rows take in training on one CPU.

    Weights and Adam's two moments are 12 bytes a number, and saving needs no copy of them. Of the entity vectors only
    the ``num_used`` that the data has are in memory, by default all. Rows are 16 bytes each. Python with its libraries
    (0.3 GB) comes on top.
    """
    dim, layers = hyperparameters.vector_dim, hyperparameters.num_ip_encoder_layers
    batch = hyperparameters.mini_batch_size
    numbers = sum(math.prod(shape) for shape in parameter_shapes(hyperparameters).values())
    if num_used is not None:
        numbers -= (hyperparameters.num_entity_vectors - num_used) * dim
    tables = 4 * NUM_OCTET_ROWS * dim * (1 + num_pieces(batch, dim))
    # Embeddings of a batch, which layers behind the first keep for their gradients.
    embeddings = 4 * batch * dim * (layers + 1) if layers > 1 else 0
    records = _RECORD_BYTES * batch * hyperparameters.records_per_row
    notes = _NOTES_BYTES * hyperparameters.num_entity_vectors
    return 12 * numbers + notes + tables + embeddings + records + 16 * num_rows


def is_large(hyperparameters: Hyperparameters) -> bool:
    """Return whether a model is so large that its memory is worth a log line."""
    return training_bytes(hyperparameters) > _WORTH_TELLING


def available_bytes(root: Path = Path("/")) -> int | None:
    """Return the available memory in bytes, from machine and control groups, or None if unknown.

    ``proc`` and ``sys`` are below ``root``.
    """
    groups = [
        _of_group(folder, *files)
        for mount, controller, *files in _HIERARCHIES
        for folder in group_folders(root, mount, controller)
    ]
    return min((limit for limit in (_of_machine(root), *groups) if limit is not None), default=None)


def check_memory(
    hyperparameters: Hyperparameters, *, num_rows: int, num_used: int | None = None, root: Path = Path("/")
) -> None:
    """Log the memory of a large model, and raise an error if the model does not fit.

    ``num_rows`` rows of data are in memory already. They have ``num_used`` of the entity vectors, by default all.
    """
    total = training_bytes(hyperparameters, num_rows=num_rows, num_used=num_used)
    needed, available = total - (16 - _ROW_NUMBER_BYTES) * num_rows, available_bytes(root)
    part = "" if num_used in (None, hyperparameters.num_entity_vectors) else f"{num_used} of "
    model = f"{part}{hyperparameters.num_entity_vectors} entity vectors of {hyperparameters.vector_dim} dimensions"
    if available is not None and needed > available:
        raise ClientError(
            f"The model does not fit into memory: {model} take {needed / 1e9:.1f} GB to train (12 bytes a number: the "
            f"weights and Adam's two moments), and {available / 1e9:.1f} GB are free. Lower num_entity_vectors or "
            "vector_dim, or use a larger machine."
        )
    if total > _WORTH_TELLING:
        _logger.info("Training %s takes %.1f GB of memory at its peak.", model, total / 1e9)


def _of_machine(root: Path) -> int | None:
    try:
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    sizes = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(sizes["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in sizes else None


def _of_group(folder: Path, limit_file: str, usage_file: str, cache: str) -> int | None:
    """Return the bytes that a group may still allocate, or None without a limit."""
    try:
        limit, usage = (int((folder / name).read_text(encoding="ascii")) for name in (limit_file, usage_file))
    except (OSError, ValueError):
        # There is no such group, or its limit is "max", which means no limit.
        return None
    # Files in the page cache count as used, but the kernel evicts them when memory is needed.
    cached = 0
    with contextlib.suppress(OSError, StopIteration):
        pairs = (line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
        cached = next(int(value) for key, value in pairs if key == cache)
    return max(0, limit - usage + cached)

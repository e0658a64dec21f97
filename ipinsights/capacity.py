"""Whether a model fits into memory, asked before any of it is taken: the kernel kills without a word."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ipinsights.errors import ClientError

if TYPE_CHECKING:
    from ipinsights.hyperparameters import Hyperparameters

__all__ = ["available_bytes", "check_memory", "is_large", "training_bytes"]

_logger = logging.getLogger(__name__)

# From here on a model is large enough for a line in the log.
_WORTH_TELLING = 10**9
# Limits of control groups, version 2 and 1: the limit, and what is in use of it. Inside a container the group of the
# container is the root of what is seen.
_CGROUP_FILES = (
    ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current"),
    ("sys/fs/cgroup/memory/memory.limit_in_bytes", "sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def training_bytes(hyperparameters: Hyperparameters, *, num_rows: int = 0) -> int:
    """Give the memory that a model and ``num_rows`` rows of data take while it is trained on one CPU, in bytes.

    Weights and Adam's two moments are 12 bytes a number, and each entity has a number of 4 bytes; rows are 16 bytes
    each. What a batch needs, and Python with the engine itself (0.3 GB), comes on top.
    """
    dim, entities = hyperparameters.vector_dim, hyperparameters.num_entity_vectors
    encoder = 4 * 256 * -(-dim // 4) + hyperparameters.num_ip_encoder_layers * (dim + 1) * dim
    return 12 * (entities * dim + encoder) + 4 * entities + 16 * num_rows


def is_large(hyperparameters: Hyperparameters) -> bool:
    """Tell whether a model is so large that one wants to be told what takes so long."""
    return training_bytes(hyperparameters) > _WORTH_TELLING


def available_bytes(root: Path = Path("/")) -> int | None:
    """Give the memory that can still be taken, by the machine and by the control group; None where nothing tells.

    Parameters
    ----------
    root
        Where ``proc`` and ``sys`` are.
    """
    found = [limit for limit in (_of_machine(root), *(_of_group(root, *files) for files in _CGROUP_FILES)) if limit]
    return min(found, default=None)


def check_memory(hyperparameters: Hyperparameters, *, num_rows: int, root: Path = Path("/")) -> None:
    """Say what training takes if it is much, and refuse what cannot fit.

    Parameters
    ----------
    hyperparameters
        Of the model.
    num_rows
        Rows of data that are in memory already.
    root
        As in :func:`available_bytes`.

    Raises
    ------
    ClientError
        The model needs more than there is.
    """
    needed, available = training_bytes(hyperparameters), available_bytes(root)
    model = f"{hyperparameters.num_entity_vectors} entity vectors of {hyperparameters.vector_dim} dimensions"
    if available is not None and needed > available:
        raise ClientError(
            f"The model does not fit into memory: {model} take {needed / 1e9:.1f} GB to train (12 bytes a number: the "
            f"weights and Adam's two moments), and {available / 1e9:.1f} GB are free. Lower num_entity_vectors or "
            "vector_dim, or use a larger machine."
        )
    if is_large(hyperparameters):
        total = training_bytes(hyperparameters, num_rows=num_rows)
        _logger.info("Training %s takes %.1f GB of memory at its peak.", model, total / 1e9)


def _of_machine(root: Path) -> int | None:
    try:
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    sizes = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(sizes["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in sizes else None


def _of_group(root: Path, limit: str, usage: str) -> int | None:
    try:
        # "max" is no limit, and no number.
        return int((root / limit).read_text(encoding="ascii")) - int((root / usage).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None

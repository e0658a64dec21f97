"""Checkpoints: the state of a run on disk, from which another process resumes it.

A checkpoint is an uncompressed zip (:mod:`ipinsights.model.ndarray_archive`) of

- ``params``: parameters and Adam's moments. Of the entity table only the rows in the data: no other row changes.
- ``meta.json``: format version, identity of the run, its counters and running totals of its metrics.

Each of several hosts has a checkpoint of its own range, ``checkpoint-<batch>.<host>-of-<hosts>``. The files of all
hosts may lie in one folder.

The sampler has no state: each draw follows from the seed, the epoch and the index of the base batch.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import tempfile
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ipinsights.data.wrapped_streams import DAMAGE
from ipinsights.errors import ClientError
from ipinsights.model import ndarray_archive

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["BEST_PREFIX", "FORMAT_VERSION", "Checkpoint", "CheckpointDirectory"]

FORMAT_VERSION = 2
BEST_PREFIX = "best:"
"""Prefix of the names of arrays that belong to the best model so far."""

_PREFIX = "checkpoint-"
_LOCK_FILE = ".checkpoints.lock"
_MAX_META_BYTES = 2**20
_NAME = re.compile(rf"{_PREFIX}\d+(?:\.\d+-of-(\d+))?")

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run between two base batches."""

    identity: Mapping[str, str]  # entries of the :class:`~ipinsights.training.run_identity.RunIdentity`
    counters: Mapping[str, Any]  # counters of :class:`~ipinsights.training.train_state.TrainState`
    metric_sums: tuple[int, int, int, float]  # result of :meth:`ipinsights.training.metrics.RunningClassification.sums`
    # Epoch and validation AUC of the best model so far. None without early stopping.
    best: tuple[int, float] | None = None
    # Float32 arrays, or objects that return an array for a slice, which are read when the checkpoint is saved.
    arrays: Mapping[str, Any] = field(default_factory=dict)

    @property
    def best_parameters(self) -> dict[str, Any]:
        """Parameters of the best model so far, by artifact name, empty without early stopping."""
        names = [name for name in self.arrays if name.startswith(BEST_PREFIX)]
        return {name.removeprefix(BEST_PREFIX): self.arrays[name] for name in names}

    def check_identity(self, identity: Mapping[str, str], path: Path) -> None:
        """Raise an error with each difference if a run may not resume from this checkpoint."""
        names = list(dict.fromkeys([*self.identity, *identity]))
        differences = [
            f"{name} was {self.identity.get(name, 'not given')} and is {identity.get(name, 'not given')}"
            for name in names
            if self.identity.get(name) != identity.get(name)
        ]
        if differences:
            raise ClientError(
                f"The checkpoint in {path} is of another run: {'; '.join(differences)}. Go on with what it was begun "
                "with, or give this run a checkpoint directory of its own."
            )


class CheckpointDirectory:
    """The newest ``keep`` checkpoints of a run, locked against a second job until :meth:`close`."""

    def __init__(self, path: Path, *, keep: int, rank: int = 0, num_hosts: int = 1) -> None:
        self.path = path
        self._keep = keep
        self._suffix = f".{rank + 1}-of-{num_hosts}" if num_hosts > 1 else ""
        # A job on one host and the first of several hosts exclude each other.
        self._lock_file = path / (_LOCK_FILE + (self._suffix if rank else ""))
        self._lock: int | None = None

    def prepare(self) -> None:
        """Make the directory, lock it, and remove the partial files of killed processes."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self.path).close()
            if self._lock is None:
                self._lock = os.open(self._lock_file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
                self._refuse_if_in_use(self._lock)
            for leftover in self.path.glob(f".{_PREFIX}*"):
                if self._suffix in leftover.name:
                    leftover.unlink()
        except OSError as error:
            raise self._unwritable(error) from None

    def close(self) -> None:
        """Unlock the directory."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint. Earlier ones are unchanged if this fails."""
        # Numbers of one width, so that the order of the names is the order in time.
        target = self.path / f"{_PREFIX}{checkpoint.counters['num_batches']:012d}{self._suffix}"
        meta = {
            "format_version": FORMAT_VERSION,
            "identity": dict(checkpoint.identity),
            "counters": dict(checkpoint.counters),
            "metric_sums": checkpoint.metric_sums,
            "best": checkpoint.best,
        }
        try:
            ndarray_archive.write(target, checkpoint.arrays, {"meta.json": json.dumps(meta).encode()})
        except OSError as error:
            raise self._unwritable(error) from None
        return target

    def prune(self, newest: Path) -> None:
        """Keep the newest `keep` checkpoints up to this one.

        Any newer file is corrupt, otherwise the run would have resumed from it.
        """
        try:
            kept = [path for path in self._paths() if path <= newest][-self._keep :]
            for path in self._paths():
                if path not in kept:
                    path.unlink()
        except OSError as error:
            raise self._unwritable(error) from None

    def whole(self) -> Iterator[tuple[Path, Checkpoint]]:
        """Yield the whole checkpoints with their paths, the newest first, and warn of damaged ones.

        It is a ClientError if one cannot be read at the moment, and may be whole, or if all are of another number of
        hosts.
        """
        try:
            paths = self._paths()
            foreign = [] if paths else sorted(path.name for path in self.path.iterdir() if self._is_foreign(path.name))
        except OSError as error:
            raise self._unreadable(self.path, error) from None
        if foreign:
            raise ClientError(
                f"The checkpoints in {self.path}, such as {foreign[0]}, are of another number of hosts. Begin with the "
                "saved model, or give this run a checkpoint directory of its own."
            )
        for path in reversed(paths):
            try:
                yield path, _read(path)
            except DAMAGE as error:
                if ndarray_archive.is_unreadable(error):
                    raise self._unreadable(path, error) from None
                _logger.warning("Checkpoint %s is damaged and passed over for the one before: %s.", path, error)

    def load_newest(self) -> tuple[Path, Checkpoint] | None:
        """Return the newest whole checkpoint with its path, or None, as :meth:`whole` yields it."""
        return next(self.whole(), None)

    def _refuse_if_in_use(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise ClientError(
                f"The checkpoint directory {self.path} is in use by another job. Wait for its end, or give this job a "
                "directory of its own."
            ) from None
        except OSError as error:
            _logger.warning(
                "The checkpoint directory %s cannot be locked: %s. Do not let a second job use it.",
                self.path, error.strerror,
            )  # fmt: skip

    def _paths(self) -> list[Path]:
        # `glob` returns nothing for a folder that cannot be listed, instead of an error.
        found = sorted(path for path in self.path.iterdir() if path.name.startswith(_PREFIX))
        return [path for path in found if path.name.partition(".")[2] == self._suffix[1:]]

    def _is_foreign(self, name: str) -> bool:
        """Check whether a file is a checkpoint of another number of hosts."""
        found = _NAME.fullmatch(name)
        return found is not None and (found[1] or "") != self._suffix.partition("-of-")[2]

    def _unreadable(self, path: Path, error: BaseException) -> ClientError:
        reason = getattr(error, "strerror", None) or error
        return ClientError(
            f"{path} cannot be read: {reason}. No checkpoint is removed: run the same command again when it can be."
        )

    def _unwritable(self, error: OSError) -> ClientError:
        return ClientError(f"Checkpoints cannot be written to {self.path}: {error.strerror or error}.")


def _read(path: Path) -> Checkpoint:
    with zipfile.ZipFile(path) as archive:
        meta = json.loads(ndarray_archive.read_member(archive, "meta.json", _MAX_META_BYTES))
        arrays = ndarray_archive.map_arrays(path, archive)
    version = meta.get("format_version")
    if version != FORMAT_VERSION:
        raise ValueError(f"its format is version {version}, this ipinsights reads version {FORMAT_VERSION}")
    batches, records, correct, loss = meta["metric_sums"]
    best = meta["best"]
    return Checkpoint(
        identity=meta["identity"],
        counters=meta["counters"],
        metric_sums=(batches, records, correct, loss),
        best=(best[0], best[1]) if best else None,
        arrays=arrays,
    )

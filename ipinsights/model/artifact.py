"""The model artifact: the only module that knows what lies in a model directory.

``model_algo-1`` is an uncompressed zip, as the siblings of the original write it, of

- ``params``: the parameters as an MXNet NDArray file (``mx.nd.load`` reads it once unzipped).
- ``symbol.json``: the network as an MXNet symbol, for other programs. Missing if training had no MXNet.
- ``known_entities``: which entities training saw, one byte per row of the entity table (:mod:`ipinsights.model.bloom`).
- ``meta.json``: format version, hyperparameters, how entities were hashed, what it was trained on and with.
- ``history/...``: the pairs of the training data with their counts, only of a model that keeps its history
  (:mod:`ipinsights.model.pair_history`). Such a model has format version 2, which an older ipinsights refuses.

The parameters are read as read-only memory maps, so that several processes share one copy and nothing is loaded before
it is used, see :mod:`ipinsights.model.ndarray_archive`.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.data.files import is_file, is_folder
from ipinsights.data.wrapped_streams import DAMAGE
from ipinsights.errors import ClientError
from ipinsights.model import ndarray_archive
from ipinsights.model.bloom import BloomFilter
from ipinsights.model.history_member import (
    FORMAT_VERSION,
    HISTORY,
    check_version,
    history_columns,
    map_history,
    sizes,
    with_history,
)  # fmt: skip
from ipinsights.model.ip_encoder import encoder_shapes
from ipinsights.model.untar import copy_member, is_tar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from ipinsights.model.history_member import HistoryRecord
    from ipinsights.model.pair_history import PairHistory

__all__ = [
    "FORMAT_VERSION", "MODEL_FILE", "Artifact", "check_meta", "load", "meta_data", "parameter_shapes", "prepare",
    "replace_history", "write",
]  # fmt: skip

MODEL_FILE = "model_algo-1"

_TAR_FILE = "model.tar.gz"
_SYMBOL_FILE = "symbol.json"

_MAX_META_BYTES = 2**20
_ZIP_MAGIC = b"PK"
_FOREIGN = "A model that AWS's container trained cannot be read: train one with ipinsights, on the same data."


@dataclass(frozen=True)
class Artifact:
    """A model as it lies on disk."""

    hyperparameters: Hyperparameters
    params: Mapping[str, NDArray[np.float32]]  # read-only float32 arrays by name, see :func:`parameter_shapes`
    # Hashes of the entities that training saw, in one byte for each row of the entity table.
    known_entities: BloomFilter
    meta: Mapping[str, Any]  # the whole of ``meta.json``
    symbol: str | None = None  # The network as MXNet symbol JSON. None if it was trained without MXNet.
    # Pairs of the training data with their counts. None if the model does not keep them.
    history: PairHistory | None = None

    def summary(self) -> dict[str, Any]:
        """Return a summary for JSON: meta data, parameter shapes and number of entities."""
        shapes = {name: list(array.shape) for name, array in self.params.items()}
        found = {**self.meta, "parameters": shapes, "num_known_entities": self.known_entities.estimate_count()}
        return found if self.history is None else {**found, HISTORY: {**self.meta[HISTORY], **sizes(self.history)}}


def meta_data(hyperparameters: Hyperparameters, training: Mapping[str, Any]) -> dict[str, Any]:
    """Return the meta data of a model without history, with facts about its training."""
    return {
        "format_version": FORMAT_VERSION,
        "algorithm": "ipinsights",
        "hyperparameters": hyperparameters.to_strings(),
        "entity_hash": "pandas.util.hash_array of the UTF-8 string, modulo num_entity_vectors",
        "training": dict(training),
    }


def check_meta(meta: Any) -> Hyperparameters:
    """Check the content of ``meta.json`` and return the hyperparameters in it.

    It is a TypeError or ValueError if the content is damaged, or of another version.
    """
    if not isinstance(meta, dict):
        raise TypeError("its meta.json is no object")
    check_version(meta)
    if not all(isinstance(meta.get(part), dict) for part in ("hyperparameters", "training")):
        raise ValueError("its meta.json tells no hyperparameters or nothing of the training")
    if not isinstance(meta["training"].get("versions", {}), dict):
        raise TypeError("its meta.json tells no versions")
    try:
        return Hyperparameters.parse(meta["hyperparameters"], any_size=True)
    except ClientError as error:
        raise ValueError(str(error).rstrip(".")) from None


def parameter_shapes(hyperparameters: Hyperparameters) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every parameter of a model, in the order of the file."""
    dim = hyperparameters.vector_dim
    encoder = encoder_shapes(dim, hyperparameters.num_ip_encoder_layers)
    return {"entity_weight": (hyperparameters.num_entity_vectors, dim), **encoder}


def prepare(directory: Path, hyperparameters: Hyperparameters) -> None:
    """Make the directory, and check that a model can be written there.

    So no training is in vain.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
        free = shutil.disk_usage(directory).free
    except OSError as error:
        raise ClientError(f"The model cannot be written to {directory}: {error.strerror or error}.") from None
    needed = 4 * sum(math.prod(shape) for shape in parameter_shapes(hyperparameters).values())
    if needed > free:
        raise ClientError(
            f"The model takes {needed / 1e6:.2f} MB, and {free / 1e6:.2f} MB are free in {directory}. Lower "
            "num_entity_vectors or vector_dim, or free some space."
        )


def write(directory: Path, model: Artifact) -> Path:
    """Write a model into a directory, which is made if it does not exist, and return the file.

    The old model stays until the new one is complete.
    """
    target = directory / MODEL_FILE
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _write_file(target, model)
    except OSError as error:
        raise ClientError(f"The model cannot be written to {directory}: {error.strerror or error}.") from None
    return target


def replace_history(
    path: Path, model: Artifact, history: PairHistory | None, record: HistoryRecord | None = None
) -> Path:
    """Write a model anew with another history. Everything else stays as it is, to the byte.

    The write is atomic. ``path`` is a model directory or file, from which the model was loaded, and no archive.
    ``record`` says how a history was built, None removes it.
    """
    target = find(path)
    if is_tar(target):
        raise ClientError(f"{target} is an archive, and only a {MODEL_FILE} can be changed. Unpack the archive first.")
    try:
        _write_file(target, replace(model, history=history, meta=with_history(model.meta, history, record)))
    except OSError as error:
        raise ClientError(f"The model cannot be written to {target}: {error.strerror or error}.") from None
    return target


def find(path: Path) -> Path:
    """Return the file that holds a model: of a directory the model itself, or the archive."""
    if is_folder(path):
        found = [path / name for name in (MODEL_FILE, _TAR_FILE) if is_file(path / name)]
        if not found:
            raise ClientError(
                f"There is no model in the folder {path}: it holds neither {MODEL_FILE}, which training writes, "
                f"nor {_TAR_FILE}."
            )
        path = found[0]
    if not is_file(path):
        raise ClientError(f"There is no model at {path}: give a model directory, a {MODEL_FILE} file or a {_TAR_FILE}.")
    return path


def load(path: Path) -> Artifact:
    """Open a model directory, its ``model_algo-1`` file, or SageMaker's ``model.tar.gz``.

    It is a ClientError if there is no model, or the file is damaged or from a later version.
    """
    path = find(path)
    return _load_from_tar(path) if is_tar(path) else _load_file(path, path)


def _write_file(target: Path, model: Artifact) -> None:
    members: dict[str, bytes | memoryview] = {
        **({} if model.symbol is None else {_SYMBOL_FILE: model.symbol.encode()}),
        "known_entities": model.known_entities.bits.data,
        "meta.json": json.dumps(model.meta, indent=2, sort_keys=True).encode(),
    }
    arrays = {name: model.params[name] for name in parameter_shapes(model.hyperparameters)}
    columns = {} if model.history is None else history_columns(model.history)
    ndarray_archive.write(target, arrays, members, columns)


def _load_from_tar(path: Path) -> Artifact:
    with tempfile.TemporaryDirectory(prefix="ipinsights-") as folder:
        copy = Path(folder) / MODEL_FILE
        try:
            if not copy_member(path, MODEL_FILE, copy):
                raise ClientError(f"{path} holds no {MODEL_FILE}: it is not a model of ipinsights. {_FOREIGN}")
        except DAMAGE as error:
            raise ClientError(f"{path} cannot be unpacked: {error}.") from None
        # The memory maps keep the file's content alive after the folder is gone.
        return _load_file(copy, path)


def _load_file(path: Path, shown_as: Path) -> Artifact:
    try:
        with zipfile.ZipFile(path) as archive:
            meta = json.loads(ndarray_archive.read_member(archive, "meta.json", _MAX_META_BYTES))
            hyperparameters = check_meta(meta)
            num_rows = hyperparameters.num_entity_vectors
            known = np.frombuffer(
                ndarray_archive.read_member(archive, "known_entities", num_rows), dtype=np.uint8, count=num_rows
            )
            params = ndarray_archive.map_arrays(path, archive)
            history = map_history(path, archive, meta)
            has_symbol = _SYMBOL_FILE in archive.namelist()
            symbol = ndarray_archive.read_member(archive, _SYMBOL_FILE, _MAX_META_BYTES) if has_symbol else None
    except DAMAGE as error:
        if ndarray_archive.is_unreadable(error):
            reason = getattr(error, "strerror", None) or error
            raise ClientError(f"{shown_as} cannot be read: {reason}.") from None
        advice = f" {_FOREIGN}" if _is_foreign(path) else ""
        raise ClientError(f"{shown_as} is not a whole model of ipinsights: {error}.{advice}") from None
    expected = parameter_shapes(hyperparameters)
    found = {name: array.shape for name, array in params.items()}
    if found != expected:
        raise ClientError(f"{shown_as} contradicts itself: its hyperparameters ask for {expected}, it holds {found}.")
    # The entity table may have gigabytes, and is read where it is used: scores that are not numbers are refused there.
    for name, values in params.items():
        if name != "entity_weight" and not np.isfinite(values).all():
            raise ClientError(f"{shown_as} cannot score: its {name} holds values that are no finite numbers.")
    text = None if symbol is None else symbol.decode(errors="replace")
    return Artifact(hyperparameters, params, BloomFilter(known), meta, text, history)


def _is_foreign(path: Path) -> bool:
    """Return whether a file is neither a damaged zip archive nor an archive with ``meta.json``."""
    try:
        with zipfile.ZipFile(path) as archive:
            return "meta.json" not in archive.namelist()
    except DAMAGE:
        with path.open("rb") as stream:
            return stream.read(len(_ZIP_MAGIC)) not in (_ZIP_MAGIC, b"")

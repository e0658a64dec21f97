"""The model artifact: the only module that knows what lies in a model directory.

``model_algo-1`` is an uncompressed zip, as the siblings of the original write it, of

- ``params``: the parameters as an MXNet NDArray file (``mx.nd.load`` reads it once unzipped);
- ``symbol.json``: the network as an MXNet symbol, for other programs; missing if training had no MXNet;
- ``known_entities``: which entities training saw, one byte per row of the entity table (:mod:`ipinsights.model.bloom`);
- ``meta.json``: format version, hyperparameters, how entities were hashed, what it was trained on and with.

The parameters are read as read-only memory maps, so that several processes share one copy and nothing is loaded before
it is used; see :mod:`ipinsights.model.ndarray_archive`.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.errors import ClientError
from ipinsights.model import ndarray_archive
from ipinsights.model.bloom import BloomFilter
from ipinsights.model.ip_encoder import encoder_shapes
from ipinsights.model.untar import DAMAGE as ARCHIVE_DAMAGE
from ipinsights.model.untar import copy_member, is_tar
from ipinsights.reporting.plain_text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = [
    "FORMAT_VERSION",
    "MODEL_FILE",
    "Artifact",
    "load",
    "meta_data",
    "parameter_shapes",
    "prepare",
    "save",
    "write",
]

MODEL_FILE = "model_algo-1"
FORMAT_VERSION = 1

_TAR_FILE = "model.tar.gz"
_SYMBOL_FILE = "symbol.json"

_MAX_META_BYTES = 2**20


@dataclass(frozen=True)
class Artifact:
    """A model as it lies on disk.

    Attributes
    ----------
    hyperparameters
        What it was trained with.
    params
        Read-only float32 arrays by name, see :func:`parameter_shapes`.
    known_entities
        Hashes of the entities that training saw, in one byte for each row of the entity table.
    meta
        The whole of ``meta.json``.
    symbol
        The network as MXNet symbol JSON. None if it was trained without MXNet.
    """

    hyperparameters: Hyperparameters
    params: Mapping[str, NDArray[np.float32]]
    known_entities: BloomFilter
    meta: Mapping[str, Any]
    symbol: str | None = None

    def summary(self) -> dict[str, Any]:
        """Give all there is to tell of the model, as JSON can hold it: meta data, shapes, the number of entities."""
        shapes = {name: list(array.shape) for name, array in self.params.items()}
        return {**self.meta, "parameters": shapes, "num_known_entities": self.known_entities.estimate_count()}

    def describe(self) -> str:
        """Give the summary as text for a terminal."""
        summary = self.summary()
        training = summary["training"]
        table = summary["hyperparameters"]
        known, rows = summary["num_known_entities"], self.hyperparameters.num_entity_vectors
        sections = {
            "Trained on": {key: value for key, value in training.items() if key != "versions"},
            "Trained with": training.get("versions", {}),
            "Hyperparameters": table,
            "Parameters": {name: " x ".join(map(str, shape)) for name, shape in summary["parameters"].items()},
        }
        head = f"IP Insights model, format {summary['format_version']}: {rows} entity vectors, some {known} entities"
        return "\n".join([head, *(line for name, values in sections.items() for line in _section(name, values))])


def parameter_shapes(hyperparameters: Hyperparameters) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every parameter of a model, in the order of the file."""
    dim = hyperparameters.vector_dim
    encoder = encoder_shapes(dim, hyperparameters.num_ip_encoder_layers)
    return {"entity_weight": (hyperparameters.num_entity_vectors, dim), **encoder}


def prepare(directory: Path) -> None:
    """Make the directory and try to write to it, so that no training is in vain.

    Raises
    ------
    ClientError
        The directory cannot be made or written to.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        raise ClientError(f"The model cannot be written to {directory}: {error.strerror or error}.") from None


def save(
    directory: Path,
    *,
    params: Mapping[str, Any],
    symbol: str | None,
    known_entities: BloomFilter,
    hyperparameters: Hyperparameters,
    training: Mapping[str, Any],
) -> Path:
    """Write a model into a directory, beside the old one first and then in its place.

    Parameters
    ----------
    directory
        Made if it does not exist.
    params
        MXNet or NumPy float32 arrays by name, exactly those of :func:`parameter_shapes`.
    symbol
        The network as MXNet symbol JSON; None to leave it out, where there is no MXNet.
    known_entities
        Hashes of the entities that training saw, in ``num_entity_vectors`` bytes.
    hyperparameters
        What it was trained with.
    training
        Facts about the run, kept under ``training`` in ``meta.json``.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ClientError
        The directory cannot be written, or the disk is full.
    """
    meta = meta_data(hyperparameters, training)
    return write(directory, Artifact(hyperparameters, params, known_entities, meta, symbol))


def write(directory: Path, model: Artifact) -> Path:
    """Write a model into a directory, which is made if it does not exist, and return the file.

    Raises
    ------
    ClientError
        The directory cannot be written, or the disk is full.
    """
    members: dict[str, bytes | memoryview] = {
        **({} if model.symbol is None else {_SYMBOL_FILE: model.symbol.encode()}),
        "known_entities": model.known_entities.bits.data,
        "meta.json": json.dumps(model.meta, indent=2, sort_keys=True).encode(),
    }
    target = directory / MODEL_FILE
    try:
        directory.mkdir(parents=True, exist_ok=True)
        arrays = {name: model.params[name] for name in parameter_shapes(model.hyperparameters)}
        ndarray_archive.write(target, arrays, members)
    except OSError as error:
        raise ClientError(f"The model cannot be written to {directory}: {error.strerror or error}.") from None
    return target


def find(path: Path) -> Path:
    """Return the file that holds a model: of a directory the model itself, or the archive.

    Raises
    ------
    ClientError
        There is no model at the path.
    """
    if path.is_dir():
        found = [path / name for name in (MODEL_FILE, _TAR_FILE) if (path / name).is_file()]
        if not found:
            raise ClientError(
                f"There is no model in the folder {path}: it holds neither {MODEL_FILE}, which training writes, "
                f"nor {_TAR_FILE}."
            )
        path = found[0]
    if not path.is_file():
        raise ClientError(f"There is no model at {path}: give a model directory, a {MODEL_FILE} file or a {_TAR_FILE}.")
    return path


def load(path: Path) -> Artifact:
    """Open a model: its directory, its ``model_algo-1`` file, or the ``model.tar.gz`` SageMaker makes of it.

    Raises
    ------
    ClientError
        There is no model at the path, or the file is damaged or from a later version.
    """
    path = find(path)
    if is_tar(path):
        return _load_from_tar(path)
    return _load_file(path, path)


def _section(name: str, values: Mapping[str, Any]) -> list[str]:
    shown = {one_line(key): one_line(value) for key, value in values.items()}
    width = max(map(len, shown), default=0)
    return ["", name, *(f"  {key:<{width}}  {value}" for key, value in shown.items())]


def meta_data(hyperparameters: Hyperparameters, training: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of ``meta.json`` for a model with these facts about its training."""
    return {
        "format_version": FORMAT_VERSION,
        "algorithm": "ipinsights",
        "hyperparameters": hyperparameters.to_strings(),
        "entity_hash": "pandas.util.hash_array of the UTF-8 string, modulo num_entity_vectors",
        "training": dict(training),
    }


def _load_from_tar(path: Path) -> Artifact:
    with tempfile.TemporaryDirectory(prefix="ipinsights-") as folder:
        copy = Path(folder) / MODEL_FILE
        try:
            if not copy_member(path, MODEL_FILE, copy):
                raise ClientError(f"{path} holds no {MODEL_FILE}: it is not a model of IP Insights.")
        except ARCHIVE_DAMAGE as error:
            raise ClientError(f"{path} cannot be unpacked: {error}.") from None
        # The memory maps keep the file's content alive after the folder is gone.
        return _load_file(copy, path)


def _load_file(path: Path, shown_as: Path) -> Artifact:
    try:
        with zipfile.ZipFile(path) as archive:
            meta = json.loads(ndarray_archive.read_member(archive, "meta.json", _MAX_META_BYTES))
            hyperparameters = _check_meta(meta)
            num_rows = hyperparameters.num_entity_vectors
            known = np.frombuffer(
                ndarray_archive.read_member(archive, "known_entities", num_rows), dtype=np.uint8, count=num_rows
            )
            params = ndarray_archive.map_arrays(path, archive)
            has_symbol = _SYMBOL_FILE in archive.namelist()
            symbol = ndarray_archive.read_member(archive, _SYMBOL_FILE, _MAX_META_BYTES) if has_symbol else None
    except ndarray_archive.DAMAGE as error:
        if ndarray_archive.is_unreadable(error):
            reason = getattr(error, "strerror", None) or error
            raise ClientError(f"{shown_as} cannot be read: {reason}.") from None
        raise ClientError(f"{shown_as} is not a whole model of IP Insights: {error}.") from None
    expected = parameter_shapes(hyperparameters)
    found = {name: array.shape for name, array in params.items()}
    if found != expected:
        raise ClientError(f"{shown_as} contradicts itself: its hyperparameters ask for {expected}, it holds {found}.")
    _check_encoder(params, shown_as)
    text = None if symbol is None else symbol.decode(errors="replace")
    return Artifact(hyperparameters, params, BloomFilter(known), meta, text)


def _check_encoder(params: Mapping[str, NDArray[np.float32]], shown_as: Path) -> None:
    """Refuse an encoder of addresses that gives no numbers.

    The table of entities is not looked through: it may have gigabytes, and is read where it is used. A row of it that
    is no number makes scores that are none, which are refused where they are made.
    """
    for name, values in params.items():
        if name != "entity_weight" and not np.isfinite(values).all():
            raise ClientError(f"{shown_as} cannot score: its {name} holds values that are no finite numbers.")


def _check_meta(meta: Any) -> Hyperparameters:
    if not isinstance(meta, dict):
        raise TypeError("its meta.json is no object")
    version = meta.get("format_version")
    if version != FORMAT_VERSION:
        raise ValueError(f"its format is version {version}, this ipinsights reads version {FORMAT_VERSION}")
    if not all(isinstance(meta.get(part), dict) for part in ("hyperparameters", "training")):
        raise ValueError("its meta.json tells no hyperparameters or nothing of the training")
    if not isinstance(meta["training"].get("versions", {}), dict):
        raise TypeError("its meta.json tells no versions")
    try:
        return Hyperparameters.parse(meta["hyperparameters"], any_size=True)
    except ClientError as error:
        raise ValueError(str(error).rstrip(".")) from None

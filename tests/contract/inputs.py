"""The files that the commands read: those of `inputs/`, and what is made of them."""

from __future__ import annotations

import gzip
import json
import shutil
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import parquet

if TYPE_CHECKING:
    from collections.abc import Mapping

_STORED = Path(__file__).parent / "inputs"
_LOGS = Path(__file__).parents[1] / "data" / "logs"
_SMALL = {"num_entity_vectors": "60", "vector_dim": "8", "epochs": "2", "mini_batch_size": "100"}


def lay_out(folder: Path) -> Path:
    """Write all inputs into a new folder, and return the folder."""
    shutil.copytree(_STORED, folder)
    shutil.copytree(_LOGS, folder / "runs")
    _write_packed(folder)
    _write_damaged(folder)
    _write_containers(folder)
    return folder


def _write_packed(folder: Path) -> None:
    model = folder / "model" / "model_algo-1"
    shutil.copytree(model.parent, folder / "guarded")
    shutil.copy(folder / "threshold.json", folder / "guarded")
    shutil.copytree(model.parent, folder / "tree" / "model")
    with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
        archive.add(model, "model_algo-1")
    for name in ("pairs.csv", "logs/apache.log"):
        (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes(), mtime=0))
    text = (folder / "logs" / "semicolons.csv").read_text(encoding="utf-8")
    (folder / "logs" / "utf16.csv").write_text(text, encoding="utf-16")
    table = {
        "entity": ["ann", "bob", None, "dan"],
        "ip": ["192.0.2.1", "198.51.100.7", "203.0.113.9", "2001:db8::1"],
        "timestamp": pa.array([1_700_000_000, 1_700_003_600, 1_700_007_200, 1_700_010_800], pa.timestamp("s")),
    }
    parquet.write_table(pa.table(table), folder / "logs" / "table.parquet")


def _write_damaged(folder: Path) -> None:
    content = (folder / "model" / "model_algo-1").read_bytes()
    for name, damaged in (("truncated", content[:-100]), ("text", b"no model"), ("empty", b"")):
        (folder / name).mkdir()
        (folder / name / "model_algo-1").write_bytes(damaged)
    (folder / "no-model").mkdir()
    (folder / "empty.csv").write_bytes(b"")
    (folder / "bytes.csv").write_bytes(b"u,1.2.3.4\n\xff\xfe,1.2.3.4\n")
    (folder / "packed.csv").write_bytes(gzip.compress(b"u,1.2.3.4\n" * 50, mtime=0)[:-12])


def _write_containers(folder: Path) -> None:
    """Write the trees that SageMaker gives to training jobs."""
    train, validation = (folder / name for name in ("train.csv", "validation.csv"))
    both = {"train": train, "validation": validation}
    _write_container(folder / "ml", _SMALL, both)
    _write_container(folder / "ml-quoted", {**_SMALL, "epochs": '"1"', "sagemaker_region": '"eu-west-1"'}, both)
    _write_container(folder / "ml-wrong", {**_SMALL, "epochs": "none", "vector_dim": "3"}, both)
    _write_container(folder / "ml-no-train", _SMALL, {"trian": train})
    _write_container(folder / "ml-pipe", _SMALL, both, mode="Pipe")
    _write_container(folder / "ml-json", _SMALL, both, content_type="application/json")
    _write_container(folder / "ml-model", _SMALL, {**both, "model": folder / "model" / "model_algo-1"})
    (folder / "ml" / "checkpoints").mkdir()
    (folder / "ml-broken" / "input" / "config").mkdir(parents=True)
    (folder / "ml-broken" / "input" / "config" / "hyperparameters.json").write_text("[1, 2]")


def _write_container(
    base: Path,
    hyperparameters: Mapping[str, str],
    channels: Mapping[str, Path],
    *,
    mode: str = "File",
    content_type: str = "text/csv",
) -> None:
    config = base / "input" / "config"
    config.mkdir(parents=True)
    channel = {"TrainingInputMode": mode, "S3DistributionType": "FullyReplicated", "ContentType": content_type}
    files = {
        "hyperparameters.json": hyperparameters,
        "inputdataconfig.json": dict.fromkeys(channels, channel),
        "resourceconfig.json": {"current_host": "algo-7", "hosts": ["algo-7"], "network_interface_name": "eth0"},
    }
    for name, content in files.items():
        (config / name).write_text(json.dumps(content))
    for name, source in channels.items():
        (base / "input" / "data" / name).mkdir(parents=True)
        shutil.copy(source, base / "input" / "data" / name)

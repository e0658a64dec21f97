"""Test helpers: data with a known answer, a container's folder tree, in-process commands."""

from __future__ import annotations

import contextlib
import io
import ipaddress
import json
import logging
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import numpy as np

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.data.entity_hash import hash_entities
from ipinsights.data.pairs import Pairs
from ipinsights.model import artifact
from ipinsights.model.bloom import BloomFilter
from ipinsights.synthetic.ip_ranges import Ranges

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = [
    "Done", "PlantedNetworks", "csv_text", "logger_restored", "make_container_tree", "run_command",
    "save_random_model", "single_address_ranges",
]  # fmt: skip


@dataclass(frozen=True)
class PlantedNetworks:
    """Entities that each live in a /16 network of their own, so that the right answer is known.

    A model that learned them tells an entity's addresses, seen or not, from those of any other entity's network.
    ``networks`` has the first two octets of each as a number, all different, (num_entities,).
    """

    networks: NDArray[np.uint32]

    @classmethod
    def draw(cls, num_entities: int, *, rng: np.random.Generator) -> PlantedNetworks:
        """Return networks for ``num_entities`` entities, at most 65,536."""
        return cls(rng.choice(2**16, size=num_entities, replace=False).astype(np.uint32))

    def names(self, entities: NDArray[np.int64]) -> list[str]:
        """Return the names of entities by number."""
        return [f"user_{entity}" for entity in entities.tolist()]

    def normal(self, num_rows: int, *, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
        """Return entity numbers and random addresses of their own networks, (num_rows,) each."""
        entities = rng.integers(len(self.networks), size=num_rows)
        return entities, self._address(entities, rng)

    def odd(self, num_rows: int, *, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
        """Return entity numbers and random addresses of other entities' networks, (num_rows,) each."""
        entities = rng.integers(len(self.networks), size=num_rows)
        others = (entities + rng.integers(1, len(self.networks), size=num_rows)) % len(self.networks)
        return entities, self._address(others, rng)

    def pairs(self, num_rows: int, *, rng: np.random.Generator) -> Pairs:
        """Return normal rows as pairs for the trainer."""
        entities, ips = self.normal(num_rows, rng=rng)
        return Pairs(hash_entities(self.names(entities)), ips)

    def csv(self, num_rows: int, *, rng: np.random.Generator) -> str:
        """Return normal rows as the text of a training file."""
        entities, ips = self.normal(num_rows, rng=rng)
        return csv_text(self.names(entities), ips)

    def _address(self, entities: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.uint32]:
        hosts = rng.integers(2**16, size=len(entities), dtype=np.uint32)
        addresses: NDArray[np.uint32] = (self.networks[entities] << np.uint32(16)) + hosts
        return addresses


def single_address_ranges(size: int) -> Ranges:
    """Return ranges of one address each.

    The address of a simulated event is then its row in the table of ranges.
    """
    return Ranges(np.arange(size, dtype=np.uint32), np.arange(size, dtype=np.uint32))


def csv_text(entities: Sequence[str], ips: NDArray[np.uint32]) -> str:
    """Return headerless CSV of entities that need no quoting and addresses, of equal length."""
    return "".join(f"{entity},{ipaddress.IPv4Address(ip)}\n" for entity, ip in zip(entities, ips.tolist(), strict=True))


def make_container_tree(
    base: Path,
    *,
    hyperparameters: Mapping[str, str],
    channels: Mapping[str, str],
    content_type: str | None = "text/csv",
    hosts: Sequence[str] = ("algo-1",),
    current_host: str | None = None,
    distribution: str = "FullyReplicated",
) -> Path:
    """Write what the platform lays below ``/opt/ml`` before it starts a training container.

    ``base`` stands for ``/opt/ml`` and is returned. ``channels`` has CSV text by channel name.
    """
    config = base / "input" / "config"
    config.mkdir(parents=True)
    (base / "model").mkdir()
    (base / "output").mkdir()
    channel = {"TrainingInputMode": "File", "S3DistributionType": distribution, "RecordWrapperType": "None"}
    if content_type is not None:
        channel["ContentType"] = content_type
    resources = {"current_host": current_host or hosts[0], "hosts": list(hosts), "network_interface_name": "eth0"}
    files = {
        "hyperparameters.json": dict(hyperparameters),
        "inputdataconfig.json": dict.fromkeys(channels, channel),
        "resourceconfig.json": resources,
    }
    for name, content in files.items():
        (config / name).write_text(json.dumps(content), encoding="utf-8")
    for name, text in channels.items():
        folder = base / "input" / "data" / name
        folder.mkdir(parents=True)
        (folder / "part-00000.csv").write_text(text, encoding="utf-8")
    return base


def save_random_model(directory: Path, *, num_entities: int, vector_dim: int, rng: np.random.Generator) -> Path:
    """Write a model of random parameters, with scores of about 1 and half the entities known."""
    hyperparameters = Hyperparameters(num_entities, vector_dim)
    params = {
        name: rng.normal(scale=vector_dim**-0.5 if "layer" in name else 1, size=shape).astype(np.float32)
        for name, shape in artifact.parameter_shapes(hyperparameters).items()
    }
    # four of an entity's bits must be set
    known = BloomFilter(np.packbits(rng.random(8 * num_entities) < 0.5**0.25))
    meta = artifact.meta_data(hyperparameters, {})
    artifact.write(directory, artifact.Artifact(hyperparameters, params, known, meta, "{}"))
    return directory


@dataclass(frozen=True)
class Done:
    """What became of a command: its exit code, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def run_command(*arguments: object, folder: Path | None = None, stdin: str = "") -> Done:
    """Run ``ipinsights`` in this process, which saves the time of imports."""
    from ipinsights.cli import main

    given = io.TextIOWrapper(io.BufferedReader(io.BytesIO(stdin.encode())), encoding="utf-8")
    stdout, stderr = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    code = 0
    with contextlib.ExitStack() as stack:
        stack.enter_context(logger_restored())
        stack.callback(os.chdir, Path.cwd())
        os.chdir(folder or ".")
        stack.enter_context(patch.multiple(sys, argv=["ipinsights", *map(str, arguments)], stdin=given))
        stack.enter_context(contextlib.redirect_stdout(stdout))
        stack.enter_context(contextlib.redirect_stderr(stderr))
        try:
            main()
        except SystemExit as stopped:
            code = stopped.code if isinstance(stopped.code, int) else 1
    printed = [stream.buffer.getvalue().decode() for stream in (stdout, stderr)]
    return Done(code, *printed)


@contextlib.contextmanager
def logger_restored() -> Iterator[None]:
    """Leave the package's logger as it was found, whatever a command sets up."""
    logger = logging.getLogger("ipinsights")
    before = logger.handlers[:], logger.level, logger.propagate
    try:
        yield
    finally:
        logger.handlers[:], logger.level, logger.propagate = before

"""The public test helpers: planted networks and the container's folder tree."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import numpy as np
import pytest

from ipinsights.data.entity_hash import hash_entities
from ipinsights.data.pairs import read_pairs
from ipinsights.testing import Done, PlantedNetworks, csv_text, make_container_tree, run_command


class TestPlantedNetworks:
    """Entities that live in networks of their own."""

    def test_normal_rows_are_at_home_and_odd_ones_are_not(self, rng: np.random.Generator) -> None:
        """The first two octets are the entity's, or another entity's; both kinds visit every entity."""
        planted = PlantedNetworks.draw(20, rng=rng)
        assert len(set(planted.networks.tolist())) == 20
        entities, ips = planted.normal(2000, rng=rng)
        assert (ips >> 16 == planted.networks[entities]).all()
        assert set(entities.tolist()) == set(range(20))
        entities, ips = planted.odd(2000, rng=rng)
        assert (ips >> 16 != planted.networks[entities]).all()
        assert set((ips >> 16).tolist()) == set(planted.networks.tolist())

    def test_the_text_and_the_arrays_are_the_same_rows(self, tmp_path: Path) -> None:
        """From one seed both give the same pairs."""
        planted = PlantedNetworks.draw(20, rng=np.random.default_rng(1))
        (tmp_path / "x.csv").write_text(planted.csv(100, rng=np.random.default_rng(2)))
        read, drawn = read_pairs(tmp_path / "x.csv"), planted.pairs(100, rng=np.random.default_rng(2))
        assert read.entities.tolist() == drawn.entities.tolist()
        assert read.ips.tolist() == drawn.ips.tolist()
        assert set(read.entities) <= set(hash_entities([f"user_{number}" for number in range(20)]))


def test_csv_text_is_headerless_csv() -> None:
    """An entity and a dotted quad a line."""
    assert csv_text(["a", "b"], np.array([0x01020304, 2**32 - 1], dtype=np.uint32)) == "a,1.2.3.4\nb,255.255.255.255\n"


class TestMakeContainerTree:
    """The tree a training container starts in."""

    @pytest.mark.parametrize("content_type", ["text/csv", None])
    def test_it_is_what_the_platform_writes(self, tmp_path: Path, content_type: str | None) -> None:
        """The three configuration files, a folder for each channel, and the folders for results."""
        base = make_container_tree(
            tmp_path / "opt" / "ml",
            hyperparameters={"epochs": "2"},
            channels={"train": "a,1.2.3.4\n"},
            content_type=content_type,
            hosts=("algo-1", "algo-2"),
        )
        files = {path.relative_to(base).as_posix(): path for path in base.rglob("*")}
        assert {name for name, path in files.items() if path.is_dir()} == {
            "input", "input/config", "input/data", "input/data/train", "model", "output",
        }  # fmt: skip
        assert files["input/data/train/part-00000.csv"].read_text() == "a,1.2.3.4\n"
        read = {name: json.loads(path.read_text()) for name, path in files.items() if path.suffix == ".json"}
        channel = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
        assert read == {
            "input/config/hyperparameters.json": {"epochs": "2"},
            "input/config/inputdataconfig.json": {
                "train": channel if content_type is None else {**channel, "ContentType": content_type}
            },
            "input/config/resourceconfig.json": {
                "current_host": "algo-1", "hosts": ["algo-1", "algo-2"], "network_interface_name": "eth0",
            },
        }  # fmt: skip


class TestRunCommand:
    """A command without a process of its own."""

    def test_it_is_what_a_shell_would_see(self, tmp_path: Path) -> None:
        """Output, messages and exit code; files are found in the folder, standard input is read."""
        (tmp_path / "access.csv").write_text("alice,192.0.2.7\n")
        done = run_command("extract", "--format", "csv", "--no-timestamps", "access.csv", folder=tmp_path)
        message = "1 record in 1 file: 1 written, 0 skipped.\nWritten: 1 row of 1 entity.\n"
        assert done == Done(0, "alice,192.0.2.7\n", message)
        done = run_command("extract", "--format", "csv", "--no-timestamps", "-", stdin="a,192.0.2.7\n")
        assert done.stdout == "a,192.0.2.7\n"
        done = run_command("score", "none.csv", "--model-dir", "none", folder=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("ClientError: ")

    def test_it_leaves_the_process_as_it_was(self, tmp_path: Path) -> None:
        """Directory, arguments, streams and the package's logger."""

        def state() -> list[object]:
            logger = logging.getLogger("ipinsights")
            return [Path.cwd(), sys.argv, sys.stdin, sys.stdout, sys.stderr, logger.handlers[:], logger.level]

        before = state()
        run_command("simulate", "--users", 0, "-o", tmp_path, folder=tmp_path)
        assert state() == before

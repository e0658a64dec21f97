"""What users test with is tested itself: planted networks are what they say, and so is the container's tree."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.data import hash_entities, read_pairs
from ipinsights.testing import PlantedNetworks, csv_text, make_container_tree

if TYPE_CHECKING:
    from pathlib import Path


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

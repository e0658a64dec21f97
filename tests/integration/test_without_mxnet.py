"""Training without MXNet, in separate processes, compared with the same job with MXNet."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.model import mxnet_package
from ipinsights.testing import PlantedNetworks

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = {"num_entity_vectors": "100", "vector_dim": "18", "mini_batch_size": "64", "epochs": "2",
            "num_ip_encoder_layers": "2", "learning_rate": "0.01"}  # fmt: skip
MISSING = f"MXNet is not installed. Install it: {mxnet_package.installation_command()}"
FEW_STEPS = (
    "warning: An epoch has 72 optimizer steps of mini_batch_size 64, and the job 144 in all: a model needs some "
    "3,000 to learn. Lower mini_batch_size or raise epochs, or set both to auto.\n"
)

pytestmark = pytest.mark.skipif(not mxnet_package.is_installed(), reason="needs MXNet, to be compared with")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of planted data."""
    path = tmp_path_factory.mktemp("data") / "rows.csv"
    rng = np.random.default_rng(1)
    path.write_text(PlantedNetworks.draw(40, rng=rng).csv(1500, rng=rng))
    return path


@pytest.fixture(scope="module")
def blocker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that hides MXNet, and modules that macOS lacks, from a Python path."""
    folder = tmp_path_factory.mktemp("blocker")
    code = 'import os, sys\nsys.modules["mxnet"] = None\ndel os.sched_getaffinity\n'
    (folder / "sitecustomize.py").write_text(code)
    return folder


def ipinsights(*words: str | Path, blocker: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command, without MXNet if there is a blocker."""
    environment = {**os.environ, **({"PYTHONPATH": str(blocker)} if blocker else {})}
    command = [sys.executable, "-m", "ipinsights", *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def train(
    rows: Path, model_dir: Path, *options: str | Path, blocker: Path | None = None, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Train on rows, and validate on the same."""
    given = [word for name, value in {**SETTINGS, **settings}.items() for word in ("-H", f"{name}={value}")]
    words = ["train", "--train", rows, "--validation", rows, "--model-dir", model_dir, *given, *options]
    return ipinsights(*words, blocker=blocker)


def members_of(model_dir: Path) -> dict[str, bytes]:
    """Return the members of an artifact."""
    with zipfile.ZipFile(model_dir / "model_algo-1") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_artifact_is_the_same_but_for_the_symbol(rows: Path, tmp_path: Path, blocker: Path) -> None:
    """Every other member is equal to the byte, and one line of the log says how it was trained."""
    done = [train(rows, tmp_path / "with"), train(rows, tmp_path / "without", blocker=blocker)]
    assert [each.returncode for each in done] == [0, 0]
    assert [each.stdout.count(f"Training on one CPU without MXNet. {MISSING}\n") for each in done] == [0, 1]
    with_mxnet, without = members_of(tmp_path / "with"), members_of(tmp_path / "without")
    assert with_mxnet.keys() - without.keys() == {"symbol.json"}
    assert without == {name: with_mxnet[name] for name in without}


@pytest.mark.slow
def test_a_cpu_does_not_need_an_mxnet_that_cannot_be_loaded(rows: Path, tmp_path: Path) -> None:
    """On a CPU a broken MXNet is logged with the reason, and the model is trained.

    On Linux for aarch64, for example, the wheel needs Arm's libraries.
    """
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "mxnet.py").write_text("raise OSError('libarmpl_lp64_mp.so: cannot open shared object file')")
    done = train(rows, tmp_path / "model", blocker=folder)
    assert done.returncode == 0, done.stderr
    reason = "MXNet cannot be loaded: libarmpl_lp64_mp.so: cannot open shared object file."
    assert done.stdout.count(f"Training on one CPU without MXNet. {reason}") == 1
    assert "symbol.json" not in members_of(tmp_path / "model")


@pytest.mark.slow
def test_its_model_scores_and_is_inspected(rows: Path, tmp_path: Path, blocker: Path) -> None:
    """By either: equal text comes of the model of the other."""
    train(rows, tmp_path / "without", blocker=blocker)
    commands: list[list[str | Path]] = [
        ["inspect", tmp_path / "without"],
        ["score", "--model-dir", tmp_path / "without", rows],
    ]
    for words in commands:
        one, other = ipinsights(*words), ipinsights(*words, blocker=blocker)
        assert (one.returncode, other.returncode) == (0, 0), one.stderr + other.stderr
        assert one.stdout == other.stdout != ""


@pytest.mark.slow
@pytest.mark.parametrize("is_first_without", [True, False])
def test_a_checkpoint_of_one_is_resumed_by_the_other(
    rows: Path, tmp_path: Path, blocker: Path, *, is_first_without: bool
) -> None:
    """One epoch with MXNet and one without, in either order, are two epochs with it, to the bit."""
    order = [blocker, None] if is_first_without else [None, blocker]
    whole, parts, checkpoints = tmp_path / "whole", tmp_path / "parts", tmp_path / "checkpoints"
    train(rows, whole)
    for epochs, one in zip(("1", "2"), order, strict=True):
        done = train(rows, parts, "--checkpoint-dir", checkpoints, blocker=one, epochs=epochs)
        assert done.returncode == 0, done.stderr
    assert "Resuming from checkpoint" in done.stdout
    assert members_of(parts)["params"] == members_of(whole)["params"]


@pytest.mark.slow
def test_an_initial_model_and_early_stopping_work(rows: Path, tmp_path: Path, blocker: Path) -> None:
    """Warm start from a model of MXNet and early stopping are the same without MXNet."""
    train(rows, tmp_path / "initial")
    options: list[str | Path] = ["--initial-model", tmp_path / "initial", "--early-stopping-patience", "1"]
    done = [train(rows, tmp_path / str(bool(one)), *options, blocker=one, epochs="4") for one in (None, blocker)]
    assert [each.returncode for each in done] == [0, 0]
    assert "Keeping the model of epoch" in done[1].stdout
    assert members_of(tmp_path / "True")["params"] == members_of(tmp_path / "False")["params"]


@pytest.mark.parametrize(
    ("options", "settings", "warning"),
    [([], {"_num_gpus": "1"}, FEW_STEPS), (["--hosts", "2"], {}, ""), ([], {"_kvstore": "dist_sync"}, "")],
    ids=str,
)
def test_what_needs_mxnet_says_which_command_installs_it(
    rows: Path, tmp_path: Path, blocker: Path, options: list[str], settings: dict[str, str], warning: str
) -> None:
    """GPUs, several hosts and a parameter server need MXNet: an error names the command.

    The exit code is the user's, and there is no traceback.
    """
    done = train(rows, tmp_path / "model", *options, blocker=blocker, **settings)
    assert (done.returncode, done.stderr) == (2, f"{warning}ClientError: {MISSING}\n")
    assert not (tmp_path / "model" / "model_algo-1").exists()

"""The engines of `train` on one CPU, compiled kernels and Gluon, and a missing engine."""

from __future__ import annotations

import os
import re
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

SETTINGS = ["-H", "num_entity_vectors=100", "-H", "vector_dim=18", "-H", "mini_batch_size=64", "-H", "epochs=2"]
# What Python says of the import depends on its version.
NO_NUMBA = r"Numba cannot be imported: .*numba\.core.*\. Install it: pip install --upgrade numba\."
FEW_STEPS = (
    "warning: An epoch has 72 optimizer steps of mini_batch_size 64, and the job 144 in all: a model needs some "
    "3,000 to learn. Lower mini_batch_size or raise epochs, or set both to auto.\n"
)

needs_mxnet = pytest.mark.skipif(not mxnet_package.is_installed(), reason="needs MXNet")


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of planted data."""
    path = tmp_path_factory.mktemp("data") / "rows.csv"
    rng = np.random.default_rng(1)
    path.write_text(PlantedNetworks.draw(40, rng=rng).csv(1500, rng=rng))
    return path


def ipinsights(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command."""
    command = [sys.executable, "-m", "ipinsights", *map(str, words)]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def train(rows: Path, model_dir: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Train on rows."""
    return ipinsights("train", "--train", rows, "--model-dir", model_dir, *SETTINGS, *options, **environment)


def params_of(model_dir: Path) -> bytes:
    """Return the parameters of an artifact."""
    with zipfile.ZipFile(model_dir / "model_algo-1") as archive:
        return archive.read("params")


def blocker(folder: Path, *names: str) -> str:
    """Return a folder that, on Python's path, hides some modules."""
    folder.mkdir()
    lines = ["import sys", *(f"sys.modules[{name!r}] = None" for name in names)]
    (folder / "sitecustomize.py").write_text("\n".join(lines))
    return str(folder)


@pytest.mark.slow
@needs_mxnet
def test_gluon_is_an_engine_of_its_own(rows: Path, tmp_path: Path) -> None:
    """It needs no Numba, and its model is that of the compiled kernels to rounding."""
    hidden = blocker(tmp_path / "blocker", "numba", "numba.core")
    done = [train(rows, tmp_path / "kernels"), train(rows, tmp_path / "gluon", "--engine", "gluon", PYTHONPATH=hidden)]
    assert [each.returncode for each in done] == [0, 0], done[1].stderr
    assert "Numba" not in done[1].stdout
    ours, theirs = (np.frombuffer(params_of(tmp_path / name), np.uint8) for name in ("kernels", "gluon"))
    assert len(ours) == len(theirs)
    size = 4 * 100 * 18
    at = len(b"".join([bytes(24 + 12 + 16 + 12)]))
    one, other = (found[at : at + size].copy().view(np.float32) for found in (ours, theirs))
    assert (one != other).any()
    assert (np.abs(one - other) > 1e-4).mean() < 0.01


@needs_mxnet
def test_without_numba_gluon_takes_its_place(rows: Path, tmp_path: Path) -> None:
    """One line says so, and the model is the one that --engine gluon trains."""
    hidden = blocker(tmp_path / "blocker", "numba", "numba.core")
    done = train(rows, tmp_path / "auto", PYTHONPATH=hidden)
    assert done.returncode == 0, done.stderr
    assert len(re.findall(f"Training with MXNet, which is slower on a CPU. {NO_NUMBA}\n", done.stdout)) == 1
    train(rows, tmp_path / "gluon", "--engine", "gluon")
    assert params_of(tmp_path / "auto") == params_of(tmp_path / "gluon")


def test_without_numba_and_mxnet_the_error_names_the_cure(rows: Path, tmp_path: Path) -> None:
    """Without numba and MXNet, the error has the reason and the command, and the exit code 2.

    There is no traceback.
    """
    hidden = tmp_path / "blocker"
    blocker(hidden, "numba", "numba.core", "mxnet")
    with (hidden / "sitecustomize.py").open("a") as file:
        file.write("\nimport importlib.util as u\nfind = u.find_spec\n"
                   "u.find_spec = lambda name, *a: None if name == 'mxnet' else find(name, *a)\n")  # fmt: skip
    done = train(rows, tmp_path / "model", PYTHONPATH=str(hidden))
    assert done.returncode == 2
    assert re.fullmatch(f"{re.escape(FEW_STEPS)}ClientError: {NO_NUMBA}\n", done.stderr)


@pytest.mark.slow
def test_the_number_of_threads_does_not_change_the_model(rows: Path, tmp_path: Path) -> None:
    """One and three threads, and a process bound to one core, train equal parameters."""
    options = ("-H", "vector_dim=256", "-H", "mini_batch_size=512")
    assert train(rows, tmp_path / "one", *options, "--threads", "1").returncode == 0
    assert train(rows, tmp_path / "three", *options, "--threads", "3").returncode == 0
    core = min(os.sched_getaffinity(0))
    command = ["taskset", "--cpu-list", str(core), sys.executable, "-m", "ipinsights"]
    words = ["train", "--train", str(rows), "--model-dir", str(tmp_path / "bound"), *SETTINGS, *options]
    subprocess.run([*command, *words], check=True, capture_output=True)
    assert params_of(tmp_path / "one") == params_of(tmp_path / "three") == params_of(tmp_path / "bound")


@pytest.mark.slow
def test_two_processes_train_while_both_compile(rows: Path, tmp_path: Path) -> None:
    """With an empty cache, at the same time: two models that are equal to the byte."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    commands: list[list[str | Path]] = [
        [sys.executable, "-m", "ipinsights", "train", "--train", rows, "--model-dir", tmp_path / name, *SETTINGS]
        for name in ("one", "other")
    ]
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for command in commands]
    assert [process.wait() for process in both] == [0, 0]
    assert params_of(tmp_path / "one") == params_of(tmp_path / "other")


IMPORTED = """
import sys
from ipinsights.cli import main
try:
    main()
except SystemExit:
    pass
print([name for name in sys.modules if name.partition(".")[0] in ("numba", "llvmlite")], file=sys.stderr)
"""


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["train", "--help"],
        ["hyperparameters"],
        ["inspect", "{model}"],
        ["score", "{rows}", "--model-dir", "{model}"],
    ],
    ids=lambda words: words[0],
)
def test_only_training_imports_numba(words: list[str], rows: Path, tmp_path: Path) -> None:
    """Its import takes a part of a second, which no other command waits for."""
    model = tmp_path / "model"
    train(rows, model)
    given = [word.format(model=model, rows=rows) for word in words]
    done = subprocess.run([sys.executable, "-c", IMPORTED, *given], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "[]"
    code = "import sys, ipinsights, ipinsights.serving.application; print('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"

"""Jobs that ``mpiexec`` starts.

Collectives, training, and the end of all when one process fails.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from ipinsights.distributed.mpi_collectives import num_mpi_processes
from ipinsights.model import artifact
from ipinsights.testing import PlantedNetworks

from . import sums
from .test_kvstore_collectives import check_training

if TYPE_CHECKING:
    import numpy as np

ROOT = Path(__file__).parents[2]
UV = [sys.executable, "-m", "uv", "--quiet", "--no-config"]
PINS = ["mpi4py==4.1.2", "mpich==5.0.2"]
SETTINGS = ["-Hnum_entity_vectors=200", "-Hvector_dim=16", "-Hmini_batch_size=100", "-Hlearning_rate=0.01"]


@pytest.fixture(scope="module")
def mpi_bin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the programs of an environment with MPI.

    Everything else comes from the environment of the tests.
    """
    folder = tmp_path_factory.mktemp("mpi") / "env"
    subprocess.run([*UV, "venv", "--python", sys.executable, folder], check=True)
    subprocess.run([*UV, "pip", "install", "--python", folder / "bin" / "python", *PINS], check=True)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    (site_packages / "tests.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    return folder / "bin"


def mpi(mpi_bin: Path, num_processes: int, *command: object) -> list[str]:
    """Return the command that starts a number of processes on this machine."""
    return [str(mpi_bin / "mpiexec"), "-n", str(num_processes), str(mpi_bin / "python"), *map(str, command)]


def training(folder: Path, *options: str, model: str = "model") -> list[object]:
    """Return the arguments of Python for a training on the folder's rows."""
    return [
        "-m",
        "ipinsights",
        "train",
        "--train",
        folder / "train.csv",
        "--model-dir",
        folder / model,
        *SETTINGS,
        *options,
    ]


@pytest.fixture
def rows(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Write training and validation rows, and return their folder."""
    networks = PlantedNetworks.draw(60, rng=rng)
    (tmp_path / "train.csv").write_text(networks.csv(401, rng=rng))
    (tmp_path / "validation.csv").write_text(networks.csv(200, rng=rng))
    return tmp_path


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, 1),
        ({"SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "8"}, 1),
        ({"SLURM_STEP_NUM_TASKS": "8", "PMIX_RANK": "3"}, 8),
        ({"PMI_SIZE": "2", "PMI_RANK": "0"}, 2),
        ({"OMPI_COMM_WORLD_SIZE": "5", "PMIX_RANK": "3"}, 5),
        ({"PMI_SIZE": "many"}, 1),
    ],
)
def test_processes_are_counted(environment: dict[str, str], expected: int) -> None:
    """A batch script of Slurm is one process.

    `srun` with pmi2 or pmix and `mpirun` start several.
    """
    assert num_mpi_processes(environment) == expected


def test_a_missing_library_is_named(rows: Path) -> None:
    """Each process says how to install it, and no process trains a model of its own."""
    hidden = "import sys; sys.modules['mpi4py'] = None; from ipinsights.cli import main; main()"
    command = [sys.executable, "-c", hidden, *map(str, training(rows)[2:])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PMI_SIZE": "2"})
    assert done.returncode == 2
    assert done.stderr.strip() == (
        "ClientError: MPI has started this job, and mpi4py cannot be imported: import of mpi4py halted; None in "
        "sys.modules. Install it for the cluster's MPI: pip install mpi4py."
    )
    assert not (rows / "model").exists()


@pytest.mark.slow
@pytest.mark.parametrize("num_hosts", [2, 3, 4])
def test_hosts_agree_and_train_together(tmp_path: Path, mpi_bin: Path, num_hosts: int) -> None:
    """Every collective has its result on each host, and all have one encoder after training."""
    command = mpi(mpi_bin, num_hosts, Path(__file__).parent / "mpi_work.py", tmp_path)
    subprocess.run(command, check=True, timeout=300)
    found = [json.loads((tmp_path / f"{rank}.json").read_text(encoding="utf-8")) for rank in range(num_hosts)]
    assert [each["collectives"] for each in found] == [sums.expected_of(num_hosts, rank) for rank in range(num_hosts)]
    check_training([each["training"] for each in found])


@pytest.mark.slow
def test_a_job_resumes_to_the_bit(rows: Path, mpi_bin: Path) -> None:
    """Three processes log under their names, and write one model, whole or in two runs."""
    validation = ["--validation", str(rows / "validation.csv")]
    whole = run(mpi(mpi_bin, 3, *training(rows, *validation, "-Hepochs=3")))
    assert [f"host=algo-{number}, epoch=2, train" in whole for number in (1, 2, 3)] == [True] * 3
    assert whole.count("validation discriminator_auc") == 3
    options = [*validation, "--checkpoint-dir", str(rows / "ck")]
    for epochs in (1, 3):
        run(mpi(mpi_bin, 3, *training(rows, *options, f"-Hepochs={epochs}", model="resumed")))
    assert sorted(path.name.partition(".")[2] for path in (rows / "ck").glob("checkpoint-*")) == [
        f"{number}-of-3" for number in (1, 2, 3) for _ in range(2)
    ]
    assert parameters(rows / "model") == parameters(rows / "resumed")


@pytest.mark.slow
def test_a_fault_of_the_user_ends_all(rows: Path, mpi_bin: Path) -> None:
    """With its sentence and exit code 2."""
    command = mpi(mpi_bin, 2, *training(rows, "--initial-model", str(rows / "nothing")))
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 2, done.stderr
    assert "ClientError: There is no model at " in done.stderr


@pytest.mark.slow
def test_a_killed_process_ends_all(rows: Path, mpi_bin: Path) -> None:
    """Within seconds, and not as a success."""
    command = mpi(mpi_bin, 2, *training(rows, "-Hepochs=100000"))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as job:
        assert job.stdout is not None
        pid = read_pid(job.stdout)
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        job.communicate(timeout=60)
        assert time.monotonic() - killed < 5
    assert job.returncode != 0


def run(command: list[str]) -> str:
    """Run a command that succeeds, and return what it prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def read_pid(stream: IO[str]) -> int:
    """Return the process of a worker, once it has trained an epoch."""
    pid = 0
    for line in stream:
        if line.startswith("Process "):
            pid = int(line.split()[1])
        if "epoch=1, train" in line:
            break
    return pid


def parameters(model: Path) -> dict[str, Any]:
    """Return the parameters of a model, as bytes."""
    return {name: array.tobytes() for name, array in artifact.load(model).params.items()}

"""``--hosts``: one machine plays them all."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.data.entity_hash import hash_entities
from ipinsights.model import artifact
from ipinsights.model.bloom import BloomFilter
from ipinsights.testing import PlantedNetworks, csv_text

from .namespaces import HYPERPARAMETERS

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow


@pytest.fixture
def rows(tmp_path: Path, rng: np.random.Generator) -> str:
    """Write 401 training rows, one more for the first host, and return their text."""
    text = PlantedNetworks.draw(60, rng=rng).csv(401, rng=rng)
    (tmp_path / "train.csv").write_text(text)
    return text


def command(folder: Path, num_hosts: int, *options: str, model: str = "model", **changes: str) -> list[str | Path]:
    """Return the command that trains on the folder's rows with ``num_hosts`` hosts."""
    given = [f"-H{name}={value}" for name, value in {**HYPERPARAMETERS, **changes}.items()]
    return [sys.executable, "-m", "ipinsights", "train", "--train", folder / "train.csv", "--model-dir",
            folder / model, "--hosts", str(num_hosts), *given, *options]  # fmt: skip


def train(folder: Path, num_hosts: int, *options: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Train, and see that it ends well."""
    done = subprocess.run(command(folder, num_hosts, *options, **changes), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def parameters(folder: Path, model: str = "model") -> dict[str, bytes]:
    """Return the parameters of a model in a folder, as bytes."""
    return {name: array.tobytes() for name, array in artifact.load(folder / model).params.items()}


@pytest.mark.usefixtures("rows")
class TestTraining:
    """Hosts that end well."""

    def test_two_hosts(self, tmp_path: Path) -> None:
        """Each logs under its name, and the model is where it was asked for."""
        done = train(tmp_path, 2)
        assert "host=algo-1, epoch=3, train" in done.stdout
        assert "host=algo-2, epoch=3, train" in done.stdout
        assert artifact.load(tmp_path / "model").meta["training"]["num_epochs"] == 4

    def test_hosts_merge_their_histories(self, tmp_path: Path) -> None:
        """The history of two hosts and the record of its rows are those of one host, to the byte.

        Rows include IPv6.
        """
        with (tmp_path / "train.csv").open("a") as stream:
            stream.writelines(f"user_{number},2a00:{number}::1\n" for number in range(9))
        for name, num_hosts in (("one", 1), ("two", 2)):
            train(tmp_path, num_hosts, "--keep-history", "--ipv6", model=name, epochs="1")
        one, two = (artifact.load(tmp_path / name) for name in ("one", "two"))
        assert one.history is not None
        assert two.history is not None
        assert {name: array.tobytes() for name, array in one.history.arrays.items()} == {
            name: array.tobytes() for name, array in two.history.arrays.items()
        }
        assert one.meta["history"] == two.meta["history"]
        assert [source["num_rows"] for source in two.meta["history"]["sources"]] == [410]

    @pytest.mark.long
    def test_a_distributed_store_on_one_host(self, tmp_path: Path) -> None:
        """The roles are started for it too, as a sibling of the original does."""
        done = train(tmp_path, 1, _kvstore="dist_async")
        assert "Launching parameter server for role scheduler" in done.stdout
        assert "Create Store: dist_async" in done.stdout
        assert done.stdout.count("Hosts keep step with _kvstore 'dist_async', too: it is taken for 'dist_sync'.") == 1
        assert artifact.load(tmp_path / "model").meta["training"]["num_records"] == 4 * 3 * 401

    @pytest.mark.long
    def test_they_end_with_the_best_model(self, tmp_path: Path) -> None:
        """Only the first host validates, all hosts stop with it, and the best model is written.

        The model is that of two hosts whose training ended at this epoch.
        """
        (tmp_path / "validation.csv").write_text((tmp_path / "train.csv").read_text()[:3000].rpartition("\n")[0])
        options = ("--validation", str(tmp_path / "validation.csv"), "--early-stopping-patience", "2")
        hasty = {"learning_rate": "1.0", "epochs": "60"}
        done = train(tmp_path, 2, *options, **hasty)
        aucs = [float(auc) for auc in re.findall(r"discriminator_auc <score>=(\S+)", done.stdout)]
        best = aucs.index(max(aucs))
        assert len(aucs) == best + 1 + 2
        kept = f"Keeping the model of epoch {best}, the best: validation discriminator_auc {max(aucs)!r}."
        assert done.stdout.count(kept) == 2
        assert artifact.load(tmp_path / "model").meta["training"]["validation_auc"] == max(aucs)
        train(tmp_path, 2, model="shorter", **{**hasty, "epochs": str(best + 1)})
        assert parameters(tmp_path) == parameters(tmp_path, "shorter")

    @pytest.mark.long
    def test_they_begin_with_a_model(self, tmp_path: Path) -> None:
        """A warm start lowers the loss from the first batch on, and keeps known entities.

        This holds on each host.
        """
        train(tmp_path, 1, epochs="30")
        with (tmp_path / "train.csv").open("a") as stream:
            stream.writelines(f"new_{number},{number}.2.3.4\n" for number in range(9))
        done = train(tmp_path, 2, "--initial-model", str(tmp_path / "model"), model="next", epochs="1")
        pattern = r"epoch=0, batch=0 train binary_classification_cross_entropy <loss>=(\S+)"
        losses = [float(loss) for loss in re.findall(pattern, done.stdout)]
        assert len(losses) == 2
        assert max(losses) < 0.5
        old, new = (artifact.load(tmp_path / name).known_entities for name in ("model", "next"))
        both = old | BloomFilter.of(hash_entities([f"new_{number}" for number in range(9)]), 200)
        assert new.bits.tolist() == both.bits.tolist()


@pytest.mark.usefixtures("rows")
@pytest.mark.long
class TestGoingOn:
    """Hosts that go on from a checkpoint."""

    def test_two_go_on_to_the_bit(self, tmp_path: Path) -> None:
        """Stopped in the second epoch: the model of hosts that were not."""
        train(tmp_path, 2)
        options = ("--checkpoint-dir", str(tmp_path / "ck"), "--checkpoint-every", "3", "--keep-checkpoints", "99")
        train(tmp_path, 2, *options, model="saved")
        # The second host has written one more than the first: what both have counts.
        for path in [*(tmp_path / "ck").glob("*.1-of-2"), *(tmp_path / "ck").glob("*.2-of-2")]:
            if path.stem > ("checkpoint-000000000012" if path.suffix == ".1-of-2" else "checkpoint-000000000015"):
                path.unlink()
        resumed = train(tmp_path, 2, *options, model="resumed")
        for part in ("1-of-2", "2-of-2"):
            line = f'Resuming from checkpoint "{tmp_path}/ck/checkpoint-000000000012.{part}": epoch 1, '
            assert resumed.stdout.count(line) == 1
        assert parameters(tmp_path, "resumed") == parameters(tmp_path)
        ours, theirs = (artifact.load(tmp_path / name).meta["training"] for name in ("resumed", "model"))
        assert ours == theirs

    def test_three_go_on_to_rounding(self, tmp_path: Path) -> None:
        """Three hosts that stop at a time limit resume to the same model, to rounding.

        The engine adds the gradients of three hosts in order of arrival.
        """
        train(tmp_path, 3)
        options = ("--checkpoint-dir", str(tmp_path / "ck"))
        stopped = train(tmp_path, 3, *options, "--max-seconds", "0.0001", model="other")
        assert stopped.stdout.count("0.0001 seconds are over: stopping.") == 3
        assert artifact.load(tmp_path / "other").meta["training"]["num_batches"] == 3
        resumed = train(tmp_path, 3, *options, model="other")
        assert resumed.stdout.count(f'Resuming from checkpoint "{tmp_path}/ck/checkpoint-000000000003.') == 3
        found, expected = artifact.load(tmp_path / "other"), artifact.load(tmp_path / "model")
        for name, array in found.params.items():
            assert np.abs(array - expected.params[name]).max() < 1e-3, name
        assert found.meta["training"] == expected.meta["training"]

    def test_other_data_is_refused(self, tmp_path: Path) -> None:
        """The message names the hosts whose rows are others, by their numbers."""
        options = ("--checkpoint-dir", str(tmp_path / "ck"))
        train(tmp_path, 2, *options, epochs="1")
        lines = (tmp_path / "train.csv").read_text().splitlines(keepends=True)
        (tmp_path / "train.csv").write_text("".join([*lines[:-1], f"{lines[-1].split(',')[0]},1.2.3.4\n"]))
        done = subprocess.run(command(tmp_path, 2, *options, epochs="1"), capture_output=True, text=True, check=False)
        assert done.returncode == 2
        message = re.sub(r"host \d was \d+ rows with fingerprint \w{32} and is \d+ rows with fingerprint \w{32}",
                         "host # was # and is #", failure(done.stderr).replace(".1-of-2", ".2-of-2"))  # fmt: skip
        assert message == (
            f"ClientError: The checkpoint in {tmp_path}/ck/checkpoint-000000000009.2-of-2 is of another run: the "
            "training data of host # was # and is #. Go on with what it was begun with, or give this run a checkpoint "
            "directory of its own."
        )


@pytest.mark.long
class TestStopping:
    """SIGTERM, whatever hosts are at."""

    def stop_when(self, folder: Path, is_time: Callable[[str], bool], *options: str, **changes: str) -> tuple[int, str]:
        """Train with two hosts, and send SIGTERM when a log condition holds.

        Return code and log.
        """
        log = folder / "log"
        with (
            log.open("w") as stream,
            subprocess.Popen(command(folder, 2, *options, **changes), stdout=stream, stderr=subprocess.STDOUT) as job,
        ):
            while job.poll() is None and not is_time(log.read_text()):
                time.sleep(0.002)
            job.send_signal(signal.SIGTERM)
            return job.wait(), log.read_text()

    @pytest.mark.usefixtures("rows")
    def test_hosts_that_have_hardly_begun(self, tmp_path: Path) -> None:
        """SIGTERM while processes start ends all hosts with exit code 0 and without a model."""
        code, log = self.stop_when(tmp_path, lambda log: "Final configuration" in log, epochs="100000")
        assert code == 0, log
        assert "The job was stopped before training began: there is no model to save." in log
        assert not list(tmp_path.glob("model/*"))

    @pytest.mark.usefixtures("rows")
    def test_hosts_in_a_validation(self, tmp_path: Path) -> None:
        """It is broken off on the first host, for which the other one waits; the model is saved."""
        many = csv_text(["user_1"] * 400_000, np.arange(400_000, dtype=np.uint32))
        (tmp_path / "validation.csv").write_text(many)
        options = ("--validation", str(tmp_path / "validation.csv"))
        line = "host=algo-1, epoch=0, train binary_classification_cross_entropy"
        code, log = self.stop_when(tmp_path, lambda log: line in log, *options, epochs="100000", vector_dim="128")
        assert code == 0, log
        assert "discriminator_auc <score>" not in log
        facts = artifact.load(tmp_path / "model").meta["training"]
        assert (facts["num_epochs"], facts["num_batches"]) == (0, 9)

    @pytest.mark.usefixtures("rows")
    def test_hosts_of_which_one_saves_the_model(self, tmp_path: Path) -> None:
        """The other one has nothing left to do and waits; the model is whole."""
        beside = ".model_algo-1.*"
        code, log = self.stop_when(
            tmp_path, lambda _: bool(list((tmp_path / "model").glob(beside))), num_entity_vectors="300000", epochs="1"
        )
        assert code == 0, log
        assert "completed 100.0 % of epochs" in log
        assert artifact.load(tmp_path / "model").meta["training"]["num_epochs"] == 1
        assert not list((tmp_path / "model").glob(beside))


class TestFailing:
    """Hosts that end badly."""

    def test_a_fault_is_told_once(self, tmp_path: Path) -> None:
        """As one line on standard error, with the exit code of whose fault it is."""
        (tmp_path / "train.csv").write_text("")
        done = subprocess.run(command(tmp_path, 2), capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert failure(done.stderr) == (
            f"ClientError: {tmp_path}/train.csv is empty: it must hold at least one row of entity,ip."
        )

    @pytest.mark.usefixtures("rows")
    @pytest.mark.long
    def test_a_full_disk_ends_all(self, tmp_path: Path) -> None:
        """A host that cannot write its part says so for all."""
        (tmp_path / "ck").mkdir()
        mount: list[str | Path] = ["mount", "-t", "tmpfs", "-o", "size=16k", "none", tmp_path / "ck"]
        mounted = subprocess.run(mount, check=False, capture_output=True, text=True)
        if mounted.returncode:
            pytest.skip(f"only root may mount a file system: {mounted.stderr.strip()}")
        try:
            options = ("--checkpoint-dir", str(tmp_path / "ck"))
            done = subprocess.run(command(tmp_path, 2, *options), capture_output=True, text=True, check=False)
            assert list((tmp_path / "ck").glob("*checkpoint-*")) == []
        finally:
            subprocess.run(["umount", tmp_path / "ck"], check=True)
        assert done.returncode == 2
        message = f"Checkpoints cannot be written to {tmp_path}/ck: No space left on device."
        assert failure(done.stderr) == f"ClientError: {message}"
        assert list((tmp_path / "model").iterdir()) == []

    @pytest.mark.usefixtures("rows")
    @pytest.mark.long
    @pytest.mark.parametrize(
        ("killed", "sentence"),
        [
            ("host", "Host 'algo-1' was lost: it was killed by SIGKILL."),
            ("server", "The server of host 'algo-1' was killed by SIGKILL."),
        ],
    )
    def test_a_loss_is_told_by_the_only_host(self, tmp_path: Path, killed: str, sentence: str) -> None:
        """Nobody else can miss it, and it is no success."""
        with subprocess.Popen(
            command(tmp_path, 1, _kvstore="dist_sync", epochs="100000"),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as job:  # fmt: skip
            assert job.stdout is not None
            log = read_until(job.stdout, "epoch=1, train")
            pids = {"host": children_of(job.pid)[0], "server": re.findall(r"Process (\d+) is a shell:server", log)[0]}
            os.kill(int(pids[killed]), signal.SIGKILL)
            _, errors = job.communicate()
        assert job.returncode == 1
        assert failure(errors) == f"AlgorithmError: {sentence} Training cannot go on without it; start the job again."

    @pytest.mark.usefixtures("rows")
    @pytest.mark.long
    @pytest.mark.parametrize(
        ("paused", "sentence"),
        [
            ("host", "Host 'algo-2' was lost: it has been silent for 45 seconds."),
            ("worker", "The worker of host 'algo-2' has been paused for 45 seconds."),
        ],
    )
    def test_a_pause_is_noticed(self, tmp_path: Path, paused: str, sentence: str) -> None:
        """A host or process that is paused ends the job within two minutes, without processes left."""
        with subprocess.Popen(
            command(tmp_path, 2, epochs="100000"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as job:
            assert job.stdout is not None
            read_until(job.stdout, "epoch=1, train")
            host = children_of(job.pid)[1]
            processes = children_of(int(host))
            os.kill(int(host if paused == "host" else processes[0]), signal.SIGSTOP)
            _, errors = job.communicate(timeout=120)
        assert job.returncode == 1
        assert failure(errors) == f"AlgorithmError: {sentence} Training cannot go on without it; start the job again."
        deadline = time.monotonic() + 30
        while left := [pid for pid in [host, *processes] if (Path("/proc") / pid).exists()]:
            assert time.monotonic() < deadline, left
            time.sleep(0.1)


def failure(errors: str) -> str:
    """Return the failure line of the host that failed, without lines of the engine."""
    assert "leaked" not in errors
    (line,) = [line for line in errors.splitlines() if line.startswith(("ClientError: ", "AlgorithmError: "))]
    return re.sub(r"Host 'algo-\d' failed: ", "", line)


def read_until(stream: IO[str], text: str) -> str:
    """Read lines up to the first one that has a text in it, and give all of them."""
    lines = []
    for line in stream:
        lines.append(line)
        if text in line:
            break
    return "".join(lines)


def children_of(pid: int) -> list[str]:
    """Return the host processes of a job, without Python's own process."""
    found = subprocess.run(["pgrep", "-P", str(pid), "-f", "spawn_main"], capture_output=True, text=True, check=True)
    return found.stdout.split()

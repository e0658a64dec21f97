"""Stop and resume by the command line: equal to the bit, with a single log, or refused."""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
import resource
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest

from ipinsights.data.entity_hash import hash_entities
from ipinsights.model import artifact
from ipinsights.model.bloom import BloomFilter
from ipinsights.testing import Done, PlantedNetworks, make_container_tree, run_command

from .small_job import given

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

SMALL = {"num_entity_vectors": "300", "vector_dim": "16", "mini_batch_size": "20", "epochs": "3",
         "learning_rate": "0.01", "batch_metrics_publish_interval": "4"}  # fmt: skip
NETWORKS = PlantedNetworks.draw(20, rng=np.random.default_rng(1))
ROWS = NETWORKS.csv(390, rng=np.random.default_rng(2))
VALIDATION = NETWORKS.csv(50, rng=np.random.default_rng(3))
NUM_BATCHES = 3 * 3 * 20


def run(folder: Path, *options: object, **changes: str) -> Done:
    """Train in a folder with ``rows.csv`` and ``validation.csv``, into its folder ``model``."""
    (folder / "rows.csv").write_text(ROWS)
    (folder / "validation.csv").write_text(VALIDATION)
    command = ("train", "--train", "rows.csv", "--model-dir", "model", *given({**SMALL, **changes}))
    return run_command(*command, *options, folder=folder)


def validated(folder: Path, *options: object, **changes: str) -> Done:
    """Train as :func:`run` does, with validation."""
    return run(folder, "--validation", "validation.csv", *options, **changes)


def refusal_of(done: Done | subprocess.CompletedProcess[str]) -> str:
    """Return the message of a command that failed by the user's fault."""
    assert done.returncode == 2, done.stderr
    return done.stderr.rpartition("ClientError: ")[2][:-1]


def model(folder: Path) -> dict[str, NDArray[np.float32]]:
    """Return the parameters of the model in a folder."""
    return {name: np.array(array) for name, array in artifact.load(folder / "model").params.items()}


def is_same(left: dict[str, NDArray[np.float32]], right: dict[str, NDArray[np.float32]]) -> bool:
    """Return whether two models are equal to the bit."""
    return all(left[name].tobytes() == right[name].tobytes() for name in left)


def measured(log: str) -> list[str]:
    """Return the metrics and counts of a log, in order and without times."""
    counted = r'"Meta": "training_data_iter".*"Metrics": \{.*\}'
    return re.findall(rf"#quality_metric.*|#progress_metric.*|Epoch\[\d+\] Train-.*|{counted}", log)


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """Mount a memory file system at a new folder, or skip the test without permission."""
    folder.mkdir()
    mount: list[str | Path] = ["mount", "-t", "tmpfs", "-o", options, "none", folder]
    done = subprocess.run(mount, check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"only root may mount a file system: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the folder and the log of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    done = validated(folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


class TestFewerEpochs:
    """A checkpoint that has more epochs than the job asks for."""

    @pytest.mark.parametrize(("epochs", "is_told"), [("1", True), ("2", True), ("3", False), ("4", False)])
    def test_a_warning_names_the_model(
        self,
        tmp_path: Path,
        whole: tuple[Path, str],
        epochs: str,
        is_told: bool,  # noqa: FBT001
    ) -> None:
        """The model is the checkpoint's; of as many epochs or more there is nothing to warn of."""
        shutil.copytree(whole[0], tmp_path / "job", ignore=shutil.ignore_patterns("model"))
        folder = tmp_path / "job"
        assert validated(folder, "--checkpoint-dir", "ck").returncode == 0
        done = validated(folder, "--checkpoint-dir", "ck", epochs=epochs)
        warning = (
            f"The job asks for {epochs} epochs, and its checkpoint has more: the model is that of 3 epochs and "
            "0 batches."
        )
        assert done.returncode == 0, done.stderr
        assert (warning in done.stdout) == is_told
        assert is_same(model(folder), model(whole[0])) == (epochs != "4")


class TestOneJobAtATime:
    """A directory of checkpoints is one job's."""

    def test_a_second_job_is_refused(self, tmp_path: Path) -> None:
        """A job is refused while another process has the lock, and runs when that has ended."""
        (tmp_path / "ck").mkdir()
        with (tmp_path / "ck" / ".checkpoints.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert refusal_of(run(tmp_path, "--checkpoint-dir", "ck")) == (
                "The checkpoint directory ck is in use by another job. Wait for its end, or give this job a directory "
                "of its own."
            )
        assert run(tmp_path, "--checkpoint-dir", "ck").returncode == 0


class TestGoingOn:
    """A run that is stopped and resumed is the run that was not stopped."""

    def test_model_and_log_are_those_of_an_uninterrupted_run(self, tmp_path: Path, whole: tuple[Path, str]) -> None:
        """A run resumed within the second epoch has the model and log of an uninterrupted run.

        Parameters are equal to the bit, and so is every line without times.
        """
        checkpoints = ("--checkpoint-dir", "ck", "--checkpoint-every", "3", "--keep-checkpoints", "100")
        done = validated(tmp_path, *checkpoints)
        assert done.returncode == 0, done.stderr
        assert "Checkpoint loading and saving are enabled." in done.stdout
        assert is_same(model(tmp_path), model(whole[0]))
        assert measured(done.stdout) == measured(whole[1])
        names = [path.name for path in sorted((tmp_path / "ck").glob("*checkpoint-*"))]
        assert names == [f"checkpoint-{number:012d}" for number in range(3, NUM_BATCHES + 1, 3)]
        for name in names[25:]:
            (tmp_path / "ck" / name).unlink()
        shutil.rmtree(tmp_path / "model")
        resumed = validated(tmp_path, *checkpoints)
        assert 'Resuming from checkpoint "ck/checkpoint-000000000075": epoch 1, after batch 14.' in resumed.stdout
        assert is_same(model(tmp_path), model(whole[0]))
        lines = measured(resumed.stdout)
        begin = "#quality_metric: host=algo-1, epoch=1, batch=16"
        expected = measured(whole[1])
        first = next(place for place, line in enumerate(expected) if line.startswith(begin))
        assert lines == expected[first:]
        ours, theirs = (artifact.load(place / "model").meta["training"] for place in (tmp_path, whole[0]))
        assert ours == theirs

    def test_its_logs_compare_as_one_run(self, tmp_path: Path, whole: tuple[Path, str]) -> None:
        """Logs of the parts, together or the last one alone, compare as equal to the whole log."""
        stopped = validated(tmp_path, "--checkpoint-dir", "ck", "--max-seconds", "0.0001")
        resumed = validated(tmp_path, "--checkpoint-dir", "ck")
        for name, log in (("whole", whole[1]), ("both", stopped.stdout + resumed.stdout), ("rest", resumed.stdout)):
            (tmp_path / f"{name}.log").write_text(log)
        for name in ("both", "rest"):
            done = run_command("compare", "whole.log", f"{name}.log", folder=tmp_path)
            assert done.stdout.splitlines()[-1] == f"OK: {name}.log is not worse than whole.log."
            assert "not understood" not in done.stdout
            assert done.returncode == 0

    def test_a_finished_run_gives_its_model_again(self, tmp_path: Path, whole: tuple[Path, str]) -> None:
        """A finished run writes the same model, and more epochs resume from its checkpoint."""
        fewer = validated(tmp_path, "--checkpoint-dir", "ck", epochs="2")
        assert fewer.returncode == 0
        first = model(tmp_path)
        again = validated(tmp_path, "--checkpoint-dir", "ck", epochs="2")
        assert "Epoch[" not in again.stdout
        assert is_same(model(tmp_path), first)
        more = validated(tmp_path, "--checkpoint-dir", "ck", epochs="3", batch_metrics_publish_interval="7")
        assert "Epoch[2] Train-" in more.stdout
        assert "Epoch[1]" not in more.stdout
        assert is_same(model(tmp_path), model(whole[0]))

    def test_a_time_limit_stops_a_run_that_goes_on_later(self, tmp_path: Path, whole: tuple[Path, str]) -> None:
        """A time limit stops a run after the current base batch, with a model and a checkpoint.

        The exit code is 0, and the run can be resumed.
        """
        done = validated(tmp_path, "--checkpoint-dir", "ck", "--max-seconds", "0.0001")
        assert done.returncode == 0
        assert "0.0001 seconds are over: stopping." in done.stdout
        assert artifact.load(tmp_path / "model").meta["training"]["num_batches"] == 3
        assert [path.name for path in (tmp_path / "ck").glob("*checkpoint-*")] == ["checkpoint-000000000003"]
        validated(tmp_path, "--checkpoint-dir", "ck")
        assert is_same(model(tmp_path), model(whole[0]))

    def test_a_damaged_checkpoint_is_passed_over(self, tmp_path: Path, whole: tuple[Path, str]) -> None:
        """The job resumes from the one before, with a warning, and trains the same model."""
        validated(tmp_path, "--checkpoint-dir", "ck", epochs="2")
        newest = tmp_path / "ck" / "checkpoint-000000000120"
        newest.write_bytes(newest.read_bytes()[:-100])
        done = validated(tmp_path, "--checkpoint-dir", "ck")
        warning = "Checkpoint ck/checkpoint-000000000120 is damaged and passed over for the one before: "
        assert warning in done.stdout
        assert 'Resuming from checkpoint "ck/checkpoint-000000000060": epoch 1, after batch -1.' in done.stdout
        assert is_same(model(tmp_path), model(whole[0]))

    def test_in_a_container_the_folder_is_the_platforms(self, tmp_path: Path) -> None:
        """Checkpoints are written to and resumed from /opt/ml/checkpoints only if it exists."""
        base = make_container_tree(tmp_path, hyperparameters=SMALL, channels={"train": ROWS})
        command = ("train", "--base-dir", base)
        without = run_command(*command)
        assert "Checkpoint loading and saving are disabled." in without.stdout
        assert "heckpoint-0" not in without.stdout
        first = model(base)
        (base / "checkpoints").mkdir()
        stopped = run_command(*command, "--max-seconds", "0.0001")
        assert f'Wrote checkpoint "{base}/checkpoints/checkpoint-000000000003"' in stopped.stdout
        resumed = run_command(*command)
        assert f'Resuming from checkpoint "{base}/checkpoints/checkpoint-000000000003"' in resumed.stdout
        assert is_same(model(base), first)


class TestRefusals:
    """Checkpoints that must not be resumed from, and files that cannot be written."""

    def test_another_run_is_refused_naming_each_difference(self, tmp_path: Path) -> None:
        """A checkpoint of another run is refused, with all differences in one sentence.

        The differences are rows, hyperparameters, seed and a missing validation.
        """
        assert validated(tmp_path, "--checkpoint-dir", "ck", epochs="1").returncode == 0
        command = ("train", "--train", "other.csv", "--model-dir", "other", "--checkpoint-dir", "ck", "--seed", "1")
        (tmp_path / "other.csv").write_text(ROWS + "one,1.2.3.4\n")
        values = {**SMALL, "learning_rate": "0.02", "vector_dim": "8"}
        done = run_command(*command, *given(values), folder=tmp_path)
        message = re.sub(r"fingerprint \w{32}", "fingerprint #", refusal_of(done))
        assert message == (
            "The checkpoint in ck/checkpoint-000000000060 is of another run: learning_rate was '0.01' and is '0.02'; "
            "vector_dim was '16' and is '8'; the seed was 0 and is 1; the training data was 390 rows with fingerprint "
            "# and is 391 rows with fingerprint #; the validation data was 50 rows with fingerprint # and is not given"
            ". Go on with what it was begun with, or give this run a checkpoint directory of its own."
        )
        assert list((tmp_path / "other").iterdir()) == []

    def test_a_place_that_cannot_be_written_is_told_before_data_is_read(self, tmp_path: Path) -> None:
        """A file stands where a folder should be."""
        (tmp_path / "file").touch()
        message = refusal_of(run(tmp_path, "--checkpoint-dir", "file/ck"))
        assert message == "Checkpoints cannot be written to file/ck: Not a directory."

    def test_a_full_disk_is_told_and_leaves_the_checkpoints_before(self, tmp_path: Path) -> None:
        """On a full disk the error is reported, and the earlier checkpoints stay valid.

        The file system of 256 kB has space for two checkpoints. No part of a third one remains.
        """
        with mounted(tmp_path / "ck", "size=256k"):
            every = ("--checkpoint-every", "3", "--keep-checkpoints", "9")
            message = refusal_of(run(tmp_path, "--checkpoint-dir", "ck", *every))
            assert message == "Checkpoints cannot be written to ck: No space left on device."
            names = sorted(path.name for path in (tmp_path / "ck").glob("*checkpoint-*"))
            assert names == [f"checkpoint-{3 * number + 3:012d}" for number in range(len(names))]
            assert len(names) > 0

    def test_a_disk_too_full_for_the_model_leaves_none(self, tmp_path: Path) -> None:
        """The checkpoint is whole: the same command makes the model when there is space."""
        with mounted(tmp_path / "model", "size=40k"):
            message = refusal_of(run(tmp_path, "--checkpoint-dir", "ck"))
            assert message == "The model cannot be written to model: No space left on device."
            assert list((tmp_path / "model").iterdir()) == []
        again = run(tmp_path, "--checkpoint-dir", "ck")
        assert again.returncode == 0
        assert "Epoch[" not in again.stdout
        assert artifact.load(tmp_path / "model").meta["training"]["num_epochs"] == 3

    def test_a_disk_without_room_for_the_parameters_is_told_before_data_is_read(self, tmp_path: Path) -> None:
        """With both sizes and the cure; no training is in vain."""
        with mounted(tmp_path / "model", "size=16k"):
            done = run(tmp_path, "--checkpoint-dir", "ck")
            assert refusal_of(done) == (
                "The model takes 0.04 MB, and 0.02 MB are free in model. Lower num_entity_vectors or vector_dim, or "
                "free some space."
            )
            assert "Number of GPUs" not in done.stdout

    @pytest.mark.parametrize(("folder", "what"), [("ck", "Checkpoints"), ("model", "The model")])
    def test_a_read_only_folder_is_told_before_data_is_read(self, tmp_path: Path, folder: str, what: str) -> None:
        """Not even root can write to it; no training is in vain."""
        with mounted(tmp_path / folder, "ro"):
            done = run(tmp_path, "--checkpoint-dir", "ck")
            assert refusal_of(done) == f"{what} cannot be written to {folder}: Read-only file system."
            assert "Number of GPUs" not in done.stdout

    def test_a_file_that_may_not_grow_leaves_nothing_half_written(
        self, tmp_path: Path, unmeasured: dict[str, str]
    ) -> None:
        """A limit on the size of files stands for a full disk where nobody may mount one."""
        (tmp_path / "rows.csv").write_text(ROWS)
        options = ["--train", "rows.csv", "--model-dir", "model", "--checkpoint-dir", "ck"]
        # -B: the limit would also cut off the bytecode of modules, and every later import of them would fail.
        command = [sys.executable, "-B", "-m", "ipinsights", "train", *options, *given(SMALL)]

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=tmp_path, preexec_fn=limit, env=unmeasured
        )
        assert refusal_of(done) == "Checkpoints cannot be written to ck: File too large."
        assert list((tmp_path / "ck").glob("*checkpoint-*")) == []
        assert list((tmp_path / "model").iterdir()) == []

    @pytest.mark.parametrize("text", ["0", "10h", "m", "-5", "1.5"])
    def test_how_often_must_be_batches_or_a_time(self, tmp_path: Path, text: str) -> None:
        """Anything else is refused with an example of each."""
        done = run(tmp_path, "--checkpoint-every", text)
        assert done.returncode == 2
        assert f"'{text}' is neither a number of batches (500) nor a time (90s, 10m)." in done.stderr


class TestInitialModel:
    """Training that begins with a model."""

    def test_it_begins_where_the_model_ended(self, tmp_path: Path, whole: tuple[Path, str]) -> None:
        """A warm start begins with a tenth of the loss ln 2, and keeps entities of the first model."""
        few = "".join(f"new_{row % 9},{row}.2.3.4\n" for row in range(100))
        (tmp_path / "few.csv").write_text(few)
        first = whole[0] / "model"
        base = run(tmp_path, "--initial-model", first)
        loss = re.search(r"epoch=0, batch=0 train binary_classification_cross_entropy <loss>=(\S+)", base.stdout)
        assert loss is not None
        assert float(loss[1]) < 0.35
        command = ("train", "--train", "few.csv", "--model-dir", "next", "--initial-model", first)
        assert run_command(*command, *given(SMALL), folder=tmp_path).returncode == 0
        old, new = artifact.load(first), artifact.load(tmp_path / "next")
        both = old.known_entities | BloomFilter.of(hash_entities([f"new_{row}" for row in range(9)]), 300)
        assert new.known_entities.bits.tolist() == both.bits.tolist()
        unchanged = (old.params["entity_weight"] == new.params["entity_weight"]).all(axis=1)
        assert 300 - 9 <= unchanged.sum() < 300

    def test_another_shape_is_refused_naming_each_difference(self, tmp_path: Path, whole: tuple[Path, str]) -> None:
        """The error names each difference before data is read."""
        first = whole[0] / "model"
        done = run(tmp_path, "--initial-model", first, vector_dim="8", num_ip_encoder_layers="2")
        assert refusal_of(done) == (
            f"The initial model {first} has another shape than the one to be trained: vector_dim is 16 there and 8 "
            "here; num_ip_encoder_layers is 1 there and 2 here. Set the hyperparameters to the model's."
        )

    def test_in_a_container_it_is_the_channel_model(self, tmp_path: Path, whole: tuple[Path, str]) -> None:
        """SageMaker's model channel with model.tar.gz is a warm start, which can be resumed."""
        base = make_container_tree(tmp_path / "ml", hyperparameters=SMALL, channels={"train": ROWS, "model": ""})
        config = base / "input" / "config" / "inputdataconfig.json"
        channels = json.loads(config.read_text())
        channels["model"]["ContentType"] = "application/x-sagemaker-model"
        config.write_text(json.dumps(channels))
        folder = base / "input" / "data" / "model"
        (folder / "part-00000.csv").unlink()
        subprocess.run(["tar", "-czf", folder / "model.tar.gz", "model_algo-1"], check=True, cwd=whole[0] / "model")
        command = ("train", "--base-dir", base)
        run_command(*command)
        first = model(base)
        assert run(tmp_path, "--initial-model", whole[0] / "model").returncode == 0
        assert is_same(first, model(tmp_path))
        (base / "checkpoints").mkdir()
        run_command(*command, "--max-seconds", "0.0001")
        run_command(*command)
        assert is_same(first, model(base))


class TestEarlyStopping:
    """The end of a run that no longer gets better."""

    # At this rate the network soon knows the few training rows by heart, and validates worse.
    HASTY: ClassVar[dict[str, str]] = {"learning_rate": "0.3", "epochs": "40"}

    def test_it_ends_with_the_best_model(self, tmp_path: Path) -> None:
        """Early stopping ends with the best epoch's model, patience epochs after this epoch.

        The model is equal to one trained up to the best epoch.
        """
        done = validated(tmp_path, "--early-stopping-patience", "2", **self.HASTY)
        assert done.returncode == 0, done.stderr
        aucs = [float(auc) for auc in re.findall(r"discriminator_auc <score>=(\S+)", done.stdout)]
        best = aucs.index(max(aucs))
        assert len(aucs) == best + 1 + 2
        assert "No better validation discriminator_auc in 2 epochs: stopping." in done.stdout
        assert (
            f"Keeping the model of epoch {best}, the best: validation discriminator_auc {max(aucs)!r}." in done.stdout
        )
        kept = model(tmp_path)
        assert artifact.load(tmp_path / "model").meta["training"]["validation_auc"] == max(aucs)
        again = validated(tmp_path, **{**self.HASTY, "epochs": str(best + 1)})
        logs = [re.findall("#quality_metric.*", log) for log in (again.stdout, done.stdout)]
        assert logs[0] == logs[1][: len(logs[0])]
        assert is_same(model(tmp_path), kept)

    def test_the_best_model_outlives_an_interruption(self, tmp_path: Path) -> None:
        """Patience and best model are part of a checkpoint; a run that ended early has ended."""
        options = ("--early-stopping-patience", "2", "--checkpoint-dir", "ck", "--keep-checkpoints", "99")
        done = validated(tmp_path, *options, **self.HASTY)
        kept = model(tmp_path)
        again = validated(tmp_path, *options, **self.HASTY)
        assert "Epoch[" not in again.stdout
        assert is_same(model(tmp_path), kept)
        max((tmp_path / "ck").glob("*checkpoint-*")).unlink()
        resumed = validated(tmp_path, *options, **self.HASTY)
        assert resumed.stdout.count("discriminator_auc <score>") == 1
        assert is_same(model(tmp_path), kept)
        assert done.stdout.count("Keeping the model") == 1

    def test_it_needs_validation_data(self, tmp_path: Path) -> None:
        """Early stopping without validation data is refused."""
        assert refusal_of(run(tmp_path, "--early-stopping-patience", "2")) == (
            "--early-stopping-patience waits for a better validation AUC, and there is no validation data. Give "
            "the job some (--validation, or the channel 'validation'), or leave the option out."
        )

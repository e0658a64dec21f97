"""Checkpoints on disk: content, retention, and damaged or blocked directories."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import resource
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipinsights.errors import ClientError
from ipinsights.model import ndarray_archive
from ipinsights.training.checkpoint import Checkpoint, CheckpointDirectory
from ipinsights.training.learners.learner import RowView

if TYPE_CHECKING:
    from pathlib import Path

IDENTITY = {"learning_rate": "'0.001'", "the seed": "0"}


def checkpoint(num_batches: int, **changes: Any) -> Checkpoint:
    """Return a small checkpoint with unique numbers after ``num_batches`` batches."""
    arrays = {"entity_weight": np.full((3, 2), num_batches, dtype=np.float32)}
    sums = (num_batches, 10 * num_batches, 7 * num_batches, num_batches / 3)
    values = {"identity": IDENTITY, "counters": {"num_batches": num_batches}, "metric_sums": sums, "arrays": arrays}
    return Checkpoint(**{**values, **changes})


def saved(folder: Path, *numbers: int, keep: int = 2) -> CheckpointDirectory:
    """Return a directory in which checkpoints after these numbers of batches were saved."""
    directory = CheckpointDirectory(folder, keep=keep)
    directory.prepare()
    for number in numbers:
        directory.prune(directory.save(checkpoint(number)))
    directory.close()
    return directory


def names_in(folder: Path) -> list[str]:
    """Return the names of the files in a folder that are not hidden, sorted."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def batches_of_newest(directory: CheckpointDirectory) -> int | None:
    """Return the batches of the newest valid checkpoint, and check that its parts agree."""
    found = directory.load_newest()
    if found is None:
        return None
    number = int(found[1].counters["num_batches"])
    assert found[0].name == f"checkpoint-{number:012d}"
    assert found[1].metric_sums == checkpoint(number).metric_sums
    assert (found[1].arrays["entity_weight"] == number).all()
    return number


class TestSaving:
    """Into a directory and back."""

    @given(loss=st.floats(allow_nan=False, allow_infinity=False), auc=st.floats(0, 1))
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
    def test_every_number_comes_back_to_the_bit(self, tmp_path: Path, loss: float, auc: float) -> None:
        """Sums of metrics and AUCs go through JSON, arrays through MXNet's file: neither rounds."""
        directory = saved(tmp_path)
        arrays = {"entity_weight": np.array([[auc, -auc]], dtype=np.float32), "mean:b": np.array([auc], "float32")}
        counters = {"num_batches": 7, "validation_auc": auc}
        whole = checkpoint(7, counters=counters, metric_sums=(1, 2, 3, loss), best=(4, auc), arrays=arrays)
        directory.save(whole)
        found = directory.load_newest()
        assert found is not None
        assert found[1].counters == counters
        assert found[1].metric_sums == (1, 2, 3, loss)
        assert found[1].best == (4, auc)
        assert found[1].identity == IDENTITY
        assert {name: array.tobytes() for name, array in found[1].arrays.items()} == {
            name: array.tobytes() for name, array in arrays.items()
        }

    def test_rows_of_a_table_are_saved_without_the_others(self, tmp_path: Path) -> None:
        """A checkpoint holds only the table rows of the data, and no more bytes than they need."""
        table = np.arange(2 * 10**5, dtype=np.float32).reshape(-1, 2)
        directory = saved(tmp_path)
        path = directory.save(checkpoint(1, arrays={"entity_weight": RowView(table, np.array([3, 5], np.int32))}))
        found = directory.load_newest()
        assert found is not None
        assert found[1].arrays["entity_weight"].tolist() == [[6, 7], [10, 11]]
        assert path.stat().st_size < 2000

    def test_the_best_models_parameters_are_told_from_the_last_ones(self, tmp_path: Path) -> None:
        """Arrays of the best model have a prefix of their own, and are returned without it."""
        directory = saved(tmp_path)
        arrays = {name: np.full(1, number, np.float32) for number, name in enumerate(["a", "best:a", "mean:a"])}
        directory.save(checkpoint(1, arrays=arrays))
        found = directory.load_newest()
        assert found is not None
        assert {name: array.tolist() for name, array in found[1].best_parameters.items()} == {"a": [1]}

    @pytest.mark.parametrize("keep", [1, 2, 5])
    def test_the_last_few_are_kept(self, tmp_path: Path, keep: int) -> None:
        """The kept files have the highest batches, also where these have more digits than others."""
        saved(tmp_path, 9, 10, 100, keep=keep)
        names = [f"checkpoint-{number:012d}" for number in (9, 10, 100)]
        assert names_in(tmp_path) == names[-keep:]

    def test_later_ones_that_were_not_gone_on_with_go(self, tmp_path: Path) -> None:
        """Checkpoints newer than the resumed one are removed, because they are damaged."""
        directory = saved(tmp_path, 10, 20, keep=1)
        directory.prune(directory.save(checkpoint(15)))
        assert names_in(tmp_path) == ["checkpoint-000000000015"]


class TestDamage:
    """A directory in which something went wrong."""

    def test_none_is_none(self, tmp_path: Path) -> None:
        """An empty directory begins a new run."""
        assert saved(tmp_path).load_newest() is None

    @pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "text"])
    def test_a_damaged_newest_falls_back_to_the_one_before(
        self, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The older checkpoint is read, and a warning names the damaged one."""
        directory = saved(tmp_path, 10, 20)
        newest = tmp_path / "checkpoint-000000000020"
        content = newest.read_bytes()
        middle = len(content) // 4
        newest.write_bytes(
            {
                "cut": content[:-30],
                "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
                "empty": b"",
                "text": b"not a checkpoint",
            }[damage]
        )
        with caplog.at_level(logging.WARNING):
            assert batches_of_newest(directory) == 10
        (warning,) = caplog.messages
        assert warning.startswith(f"Checkpoint {newest} is damaged and passed over for the one before: ")

    def test_whatever_byte_is_changed_a_whole_one_is_found(self, tmp_path: Path, rng: np.random.Generator) -> None:
        """Either it is seen and the one before is taken, or the byte says nothing."""
        directory = saved(tmp_path, 10, 20)
        newest = tmp_path / "checkpoint-000000000020"
        content = newest.read_bytes()
        for place in rng.integers(len(content), size=150):
            newest.write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
            assert batches_of_newest(directory) in (10, 20)

    def test_a_later_format_is_passed_over(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """A checkpoint of a later format is skipped, and the warning has both versions."""
        directory = saved(tmp_path, 10)
        path = tmp_path / "checkpoint-000000000020"
        with zipfile.ZipFile(tmp_path / "checkpoint-000000000010") as old, zipfile.ZipFile(path, "w") as new:
            new.writestr("params", old.read("params"))
            new.writestr("meta.json", json.dumps({**json.loads(old.read("meta.json")), "format_version": 3}))
        with caplog.at_level(logging.WARNING):
            assert batches_of_newest(directory) == 10
        assert caplog.messages[0].endswith(": its format is version 3, this ipinsights reads version 2.")

    def test_what_a_killed_process_left_is_removed(self, tmp_path: Path) -> None:
        """Half-written files go when a run begins; other people's files stay."""
        directory = saved(tmp_path, 10)
        (tmp_path / ".checkpoint-000000000020.4711").write_bytes(b"half")
        (tmp_path / "notes.txt").write_text("mine")
        assert batches_of_newest(directory) == 10
        directory.prepare()
        directory.close()
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            ".checkpoints.lock", "checkpoint-000000000010", "notes.txt",
        ]  # fmt: skip


class TestUnreadable:
    """A checkpoint that is temporarily unreadable ends the job, and none is removed."""

    REASON = "No checkpoint is removed: run the same command again when it can be."

    @pytest.mark.parametrize("damage", ["a folder", "a link to itself"])
    def test_the_system_refuses_to_read_it(self, tmp_path: Path, damage: str) -> None:
        """A checkpoint that the system refuses to read is an error, and no older one is read."""
        directory = saved(tmp_path, 10, 20)
        newest = tmp_path / "checkpoint-000000000020"
        newest.unlink()
        newest.mkdir() if damage == "a folder" else newest.symlink_to(newest)
        reason = "Is a directory" if damage == "a folder" else "Too many levels of symbolic links"
        with pytest.raises(ClientError) as caught:
            directory.load_newest()
        assert str(caught.value) == f"{newest} cannot be read: {reason}. {self.REASON}"
        assert names_in(tmp_path) == ["checkpoint-000000000010", "checkpoint-000000000020"]

    def test_too_many_files_are_open(self, tmp_path: Path) -> None:
        """A limit that passes is no damage, whether it is met at the folder or at a file."""
        directory = saved(tmp_path, 10)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            with pytest.raises(ClientError) as caught:
                directory.load_newest()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert str(caught.value) == f"{tmp_path} cannot be read: Too many open files. {self.REASON}"
        assert batches_of_newest(directory) == 10

    @pytest.mark.parametrize("number", [errno.EIO, errno.ENOMEM, errno.EMFILE, errno.EACCES, errno.ESTALE])
    def test_what_is_no_damage(self, number: int) -> None:
        """Errors of the system; what a damaged offset ends in is one of the file."""
        assert ndarray_archive.is_unreadable(OSError(number, ""))
        assert not ndarray_archive.is_unreadable(OSError(errno.EINVAL, ""))
        assert not ndarray_archive.is_unreadable(zipfile.BadZipFile())


class TestLock:
    """One job at a time."""

    def test_a_second_job_is_refused(self, tmp_path: Path) -> None:
        """A second job is refused in one sentence before it removes anything.

        The first job continues, and its end makes the directory available.
        """
        first, second = CheckpointDirectory(tmp_path, keep=1), CheckpointDirectory(tmp_path, keep=1)
        first.prepare()
        half_written = tmp_path / ".checkpoint-000000000020.4711.partial"
        half_written.touch()
        for _ in range(2):
            with pytest.raises(ClientError) as caught:
                second.prepare()
            assert str(caught.value) == (
                f"The checkpoint directory {tmp_path} is in use by another job. Wait for its end, or give this job a "
                "directory of its own."
            )
        assert half_written.exists()
        first.save(checkpoint(1))
        first.close()
        second.prepare()
        second.close()
        assert not half_written.exists()

    @pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
    def test_a_file_system_without_locks(
        self, tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The job goes on, with a warning."""

        def refuse(*_: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(fcntl, "flock", refuse)
        with caplog.at_level(logging.WARNING):
            saved(tmp_path, 10)
        assert caplog.messages == [
            f"The checkpoint directory {tmp_path} cannot be locked: {os.strerror(number)}. Do not let a second job use "
            "it."
        ]
        assert names_in(tmp_path) == ["checkpoint-000000000010"]


class TestRefusals:
    """Checkpoints that cannot be written, or must not be resumed from."""

    def test_a_file_in_the_place_of_the_directory(self, tmp_path: Path) -> None:
        """A file in place of the directory is an error with the path and the reason."""
        (tmp_path / "file").touch()
        with pytest.raises(ClientError) as caught:
            CheckpointDirectory(tmp_path / "file", keep=1).prepare()
        assert str(caught.value) == f"Checkpoints cannot be written to {tmp_path / 'file'}: File exists."

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_directory_that_is_read_only(self, tmp_path: Path) -> None:
        """A read-only directory is refused before any training."""
        tmp_path.chmod(0o500)
        with pytest.raises(ClientError) as caught:
            CheckpointDirectory(tmp_path, keep=1).prepare()
        tmp_path.chmod(0o700)
        assert str(caught.value) == f"Checkpoints cannot be written to {tmp_path}: Permission denied."

    def test_another_run_is_refused_naming_each_difference(self, tmp_path: Path) -> None:
        """What was, what is, what was not given and is; and the cure."""
        theirs = {"vector_dim": "'8'", "epochs": "'1'", "the validation data": "9 rows", "the seed": "0"}
        ours = {"vector_dim": "'16'", "epochs": "'1'", "the initial model": "ab", "the seed": "1"}
        with pytest.raises(ClientError) as caught:
            checkpoint(1, identity=theirs).check_identity(ours, tmp_path)
        assert str(caught.value) == (
            f"The checkpoint in {tmp_path} is of another run: vector_dim was '8' and is '16'; the validation data was "
            "9 rows and is not given; the seed was 0 and is 1; the initial model was not given and is ab. Go on with "
            "what it was begun with, or give this run a checkpoint directory of its own."
        )
        checkpoint(1, identity=theirs).check_identity(dict(reversed(theirs.items())), tmp_path)

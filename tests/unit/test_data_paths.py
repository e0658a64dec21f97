"""URLs on the command line: which options take them, and what a command does with them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import click
import fsspec
import numpy as np
import pytest

from ipinsights.cli import cli
from ipinsights.cli.data_paths import DataPath
from ipinsights.testing import run_command, save_random_model

from .training_logs import TEXT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCAL_OPTIONS = {
    "serve": {"base_dir", "access_log"},
    "train": {"base_dir", "checkpoint_dir", "log_file", "metrics_file"},
    "tune": {"study"},
}
ROWS = b"alice,192.0.2.1\nbob,203.0.113.9\n"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Any]:
    """Return a file system in memory with a model and rows."""
    files = fsspec.filesystem("memory")
    folder = save_random_model(tmp_path / "model", num_entities=100, vector_dim=8, rng=np.random.default_rng(0))
    files.pipe({f"/b/model/{file.name}": file.read_bytes() for file in folder.iterdir()})
    files.pipe({"/b/rows/part-0.csv": ROWS, "/b/rows/_SUCCESS": b"", "/b/rows/part-1.csv": ROWS})
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


def test_every_path_says_what_it_is_for() -> None:
    """Data, models and outputs may be URLs in every command.

    What is written while a job runs is local.
    """
    found: dict[str, set[str]] = {}
    for name, command in cli.commands.items():
        paths = [parameter for parameter in command.params if isinstance(parameter.type, click.Path)]
        assert all(isinstance(path.type, DataPath) for path in paths), name
        local = {str(path.name) for path in paths if isinstance(path.type, DataPath) and path.type.role is None}
        found |= {name: local} if local else {}
    assert found == LOCAL_OPTIONS


def test_a_local_option_refuses_a_url() -> None:
    """A local option refuses a URL without showing its password."""
    done = run_command("train", "--train", "x", "--model-dir", "m", "--checkpoint-dir", "s3://me:secret@bucket/c")
    assert done.returncode == 2
    assert done.stderr.endswith(
        "Invalid value for '--checkpoint-dir': 's3://bucket/c' is a URL, and this must be a local path.\n"
    )


@pytest.mark.parametrize("command", [("extract", "--format", "csv", "x.csv"), ("score", "x.csv", "--model-dir", "m")])
@pytest.mark.parametrize(("name", "ending"), [("rows.csv.GZ", ".gz"), ("s3://me:secret@b/rows.parquet", ".parquet")])
def test_text_is_not_written_under_the_name_of_another_kind(command: tuple[str, ...], name: str, ending: str) -> None:
    """A command that writes plain text refuses the name of a packed or of a binary file."""
    shown = name.replace("me:secret@", "")
    done = run_command(*command, "-o", name)
    assert done.returncode == 2
    assert done.stderr.endswith(
        f"Invalid value for '-o' / '--output': '{shown}' would be plain text: give a name that does not end in "
        f"{ending}.\n"
    )


def test_rows_are_scored_from_a_folder_to_a_file(store: Any, tmp_path: Path) -> None:
    """The scores are those of local files.

    Markers are skipped with a message that names the URL.
    """
    local = tmp_path / "rows.csv"
    local.write_bytes(ROWS + ROWS)
    expected = run_command("score", local, "--model-dir", tmp_path / "model").stdout
    done = run_command("score", "memory://b/rows", "--model-dir", "memory://b/model", "-o", "memory://b/scores.csv")
    assert (done.returncode, done.stdout) == (0, "")
    assert store.cat_file("/b/scores.csv").decode() == expected


def test_several_logs_are_extracted(store: Any, tmp_path: Path) -> None:
    """URLs and local files may be mixed."""
    local = tmp_path / "more.csv"
    local.write_text("carol,192.0.2.3\n")
    arguments = ("--format", "csv", "--no-header", "--no-timestamps")
    done = run_command("extract", "memory://b/rows/part-0.csv", local, *arguments)
    assert done.stdout == ROWS.decode() + "carol,192.0.2.3\n"
    assert store.exists("/b/rows/part-0.csv")


def test_a_threshold_is_stored_next_to_the_model(store: Any) -> None:
    """The command names the URL, and the model stays as it is."""
    store.pipe("/b/many.csv", b"".join(b"u%d,192.0.2.%d\n" % (n % 50, n % 250) for n in range(500)))
    model = store.cat_file("/b/model/model_algo-1")
    done = run_command("threshold", "--model-dir", "memory://b/model", "--calibration", "memory://b/many.csv",
                       "--fpr", "0.1")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("\nStored in memory://b/model/threshold.json.\n")
    assert 0 < json.loads(store.cat_file("/b/model/threshold.json"))["fpr"] <= 0.1
    assert store.cat_file("/b/model/model_algo-1") == model


def test_a_failed_command_uploads_nothing(store: Any) -> None:
    """The error names the object, in one sentence, and there is no output."""
    store.pipe("/b/bad.csv", b"alice,nowhere\n")
    done = run_command("score", "memory://b/bad.csv", "--model-dir", "memory://b/model", "-o", "memory://b/scores.csv")
    assert done.returncode == 2
    assert done.stderr.startswith("ClientError: memory://b/bad.csv:1: 'nowhere' is no IPv4 address: ")
    assert not store.exists("/b/scores.csv")


def test_what_is_missing_is_named(store: Any) -> None:
    """A missing remote file is named, and nothing is written."""
    done = run_command("score", "memory://b/none.csv", "--model-dir", "memory://b/model")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "ClientError: There is no file or folder memory://b/none.csv.\n"
    assert not store.exists("/b/none.csv")


def test_a_verdict_of_worse_still_writes_the_report(store: Any) -> None:
    """Exit code 1 of `compare` is a result and no failure."""
    worse = re.sub("loss>=[0-9.]+", "loss>=9.9", TEXT)
    store.pipe({"/b/good.log": TEXT.encode(), "/b/bad.log": worse.encode()})
    done = run_command("compare", "memory://b/good.log", "memory://b/bad.log", "--json-file", "memory://b/runs.json")
    assert done.returncode == 1, done.stderr
    assert json.loads(store.cat_file("/b/runs.json"))


def test_local_files_import_nothing_for_remote_ones(store: Any, tmp_path: Path) -> None:
    """Commands on local files start as fast as ever."""
    assert store.exists("/b/model")
    (tmp_path / "rows.csv").write_bytes(ROWS)
    code = (
        "import sys; from ipinsights.testing import run_command; "
        "done = run_command('score', 'rows.csv', '--model-dir', 'model'); "
        "print(done.returncode, {'fsspec', 'aiohttp', 's3fs'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "0 set()\n", done.stderr

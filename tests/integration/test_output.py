"""Outputs that cannot be written end commands in one sentence or quietly, but not training."""

from __future__ import annotations

import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ipinsights.model.artifact import MODEL_FILE

if TYPE_CHECKING:
    from pathlib import Path

IPINSIGHTS = f"{shlex.quote(sys.executable)} -m ipinsights"
ROWS = "".join(f"user_{number % 50},10.{number % 50}.0.1\n" for number in range(60_000))
TRAIN = "train --train rows.csv --model-dir {0} -H num_entity_vectors=100 -H vector_dim=8"
COMMANDS = [
    "score rows.csv --model-dir model",
    "extract --format csv --no-timestamps rows.csv",
    "inspect model",
    "inspect --json model",
    "hyperparameters",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with rows and a model."""
    path = tmp_path_factory.mktemp("outputs")
    (path / "rows.csv").write_text(ROWS)
    assert shell(path, f"{IPINSIGHTS} {TRAIN.format('model')} --quiet").returncode == 0
    return path


def shell(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    """Run a line in a folder, with the exit code of the command, not of what reads it."""
    line = f"set -o pipefail; {line}"
    return subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk(folder: Path, command: str) -> None:
    """One sentence, with exit code 2."""
    done = shell(folder, f"{IPINSIGHTS} {command} > /dev/full")
    assert done.stderr.splitlines()[-1] == "ClientError: Standard output cannot be written: No space left on device."
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["--help", "score --help", "--version"])
def test_help_on_a_full_disk(folder: Path, command: str) -> None:
    """Click writes these texts, and the sentence is as good."""
    done = shell(folder, f"{IPINSIGHTS} {command} > /dev/full")
    assert done.stderr == (
        "ClientError: Standard output, or a temporary file, cannot be written: No space left on device.\n"
    )
    assert done.returncode == 2


@pytest.mark.parametrize("command", COMMANDS[:3])
def test_a_reader_that_has_gone(folder: Path, command: str) -> None:
    """The command ends without a message, and with the exit code of other tools."""
    done = shell(folder, f"{IPINSIGHTS} {command} | true")
    assert (done.stderr, done.returncode) == ("", 141)


def test_a_closed_output(folder: Path) -> None:
    """A closed standard output is reported in one sentence."""
    done = shell(folder, f"{IPINSIGHTS} score rows.csv --model-dir model >&-")
    assert (done.stderr, done.returncode) == ("ClientError: Standard output is closed.\n", 2)


@pytest.mark.parametrize("command", ["score - --model-dir model", "extract --format csv --no-timestamps -"])
def test_a_closed_input(folder: Path, command: str) -> None:
    """A closed standard input is reported in one sentence."""
    done = shell(folder, f"{IPINSIGHTS} {command} <&-")
    assert (done.stdout, done.stderr, done.returncode) == ("", "ClientError: Standard input is closed.\n", 2)


def test_closed_streams_do_not_matter_to_outputs_in_files(folder: Path) -> None:
    """With all standard streams closed, the model and the scores are the same bytes."""
    for closed, name in (("", "open"), ("<&- >&- 2>&-", "closed")):
        assert shell(folder, f"{IPINSIGHTS} {TRAIN.format(name)} -H epochs=1 {closed}").returncode == 0
        assert shell(folder, f"{IPINSIGHTS} score rows.csv --model-dir {name} -o {name}.csv {closed}").returncode == 0
    assert (folder / "closed" / MODEL_FILE).read_bytes() == (folder / "open" / MODEL_FILE).read_bytes()
    assert (folder / "closed.csv").read_bytes() == (folder / "open.csv").read_bytes()


@pytest.mark.parametrize(("output", "reason"), [("> /dev/full", "No space left on device"), ("| true", "Broken pipe")])
def test_training_continues_without_its_log(folder: Path, output: str, reason: str) -> None:
    """One line on standard error, and the model is that of a job whose log was written."""
    name = f"model-{len(output)}"
    done = shell(folder, f"{IPINSIGHTS} {TRAIN.format(name)} {output}")
    assert done.stderr == (
        f"The log cannot be written: {reason}. The job continues without it.\n"
        "warning: An epoch has 18 optimizer steps of mini_batch_size 10,000, and the job 180 in all: a model needs "
        "some 3,000 to learn. Lower mini_batch_size or raise epochs, or set both to auto.\n"
    )
    assert done.returncode == 0
    assert (folder / name / MODEL_FILE).read_bytes() == (folder / "model" / MODEL_FILE).read_bytes()

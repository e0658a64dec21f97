"""Two builds of the command line: the one under test, and the one of the base commit."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import pickle
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .inputs import lay_out
from .warm import NotStartedError, WarmCommands

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# The commit whose bytes are the standard for what depends on the processor's floating point. Move it only in a commit
# that changes such bytes on purpose, and say so there: which bytes, and why. It must be an ancestor of that commit.
BASE = "7e40df52cb3a094bc401d477d305af33ad99ca86"

ROOT = Path(__file__).parents[2]
# Variables that change what a command does, or measure it.
_SET_ASIDE = ("SAGEMAKER_", "SM_", "DMLC_", "PS_", "TRAINING_JOB_", "COLUMNS", "PYTHONPATH")
_STARTUP_SECONDS = 60


class BaseUnavailableError(Exception):
    """The base commit cannot be run here."""


@dataclass(frozen=True)
class Case:
    """Commands that run one after the other in a folder of inputs.

    Attributes
    ----------
    name
        Name of the golden file, unique in its test file.
    commands
        Command lines without the program's name.
    outputs
        Files to look at afterwards.
    stdin
        Standard input of each command.
    """

    name: str
    commands: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    stdin: bytes = b""

    def __str__(self) -> str:
        return self.name


def case(name: str, *commands: str, outputs: str = "", stdin: bytes = b"") -> Case:
    """Return a case. `outputs` holds file names with blanks between them."""
    return Case(name, commands, tuple(outputs.split()), stdin)


@dataclass(frozen=True)
class Done:
    """Result of one command."""

    command: str
    code: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True)
class Outcome:
    """Results of the commands of a case, and the folder they ran in."""

    case: Case
    done: tuple[Done, ...]
    folder: Path

    def output(self, name: str) -> bytes | None:
        """Return the content of a file, or None if there is no such file."""
        path = self.folder / name
        return path.read_bytes() if path.is_file() else None


class Build:
    """A build of `ipinsights` that runs cases, each once, in a folder of its own below `folder`.

    Parameters
    ----------
    folder
        Folder of the cases. Several processes of tests may share it, and then each case is run by one of them.
    environment
        Environment of the commands.

    Raises
    ------
    NotStartedError
        The package cannot be imported.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self._warm = WarmCommands(environment, folder)

    def close(self) -> None:
        """End the process that runs the commands."""
        self._warm.close()

    def run(self, case: Case) -> Outcome:
        """Run the commands of a case, unless that was done before, and return their results."""
        stored = self.folder / hashlib.sha256(repr(case).encode()).hexdigest()[:16]
        with locked(stored.with_suffix(".lock")):
            if not stored.exists():
                folder = self.new_folder()
                outcome = Outcome(case, self.run_in(folder, *case.commands, stdin=case.stdin), folder)
                stored.write_bytes(pickle.dumps(outcome))
        outcome = pickle.loads(stored.read_bytes())  # noqa: S301 - written above
        assert isinstance(outcome, Outcome)
        return outcome

    def new_folder(self) -> Path:
        """Return a new folder that holds the inputs."""
        return lay_out(Path(tempfile.mkdtemp(dir=self.folder)) / "inputs")

    def run_in(self, folder: Path, *commands: str, stdin: bytes = b"") -> tuple[Done, ...]:
        """Run commands in a folder that is there, one after the other."""
        return tuple(self._run(folder, command, stdin) for command in commands)

    def _run(self, folder: Path, command: str, stdin: bytes) -> Done:
        done = self._warm.run(shlex.split(command), folder, self.environment, stdin)
        return Done(command, done.returncode, done.stdout, done.stderr)

    def command(self, *arguments: str) -> list[str]:
        """Return the words that start a command of this build."""
        return [sys.executable, "-m", "ipinsights", *arguments]

    @contextlib.contextmanager
    def serving(self, *options: str, **environment: str) -> Iterator[Server]:
        """Yield a server of this build that answers, and stop it afterwards."""
        folder = self.new_folder()
        log = folder / "stdout"
        with log.open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                self.command("serve", "--port", "0", *options),
                cwd=folder,
                env={**self.environment, **environment},
                stdout=stdout,
                stderr=stderr,
            )
        try:
            yield Server(_port(process, log), process, log)
        finally:
            process.terminate()
            process.wait(timeout=20)


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """Wait until a server listens, and return its port."""
    deadline = time.monotonic() + _STARTUP_SECONDS
    errors = log.with_name("stderr")
    while time.monotonic() < deadline and process.poll() is None:
        written = log.read_text(encoding="utf-8") + errors.read_text(encoding="utf-8")
        if found := re.search(r"Listening at: http://[\d.]+:(\d+)", written):
            return int(found[1])
        time.sleep(0.05)
    raise AssertionError(errors.read_text(encoding="utf-8"))


def build_of_head(folder: Path) -> Build:
    """Return the build that the other tests import."""
    path = {name: value for name, value in os.environ.items() if name == "PYTHONPATH"}
    return Build(folder, {**_environment(), **path})


def build_of_base(folder: Path) -> Build:
    """Return the build of the base commit, unpacked from the history of the repository.

    Raises
    ------
    BaseUnavailableError
        The history does not hold the commit, or the commit does not run with this interpreter.
    """
    source = folder / "source"
    environment = {name: value for name, value in _environment().items() if not name.startswith("COVERAGE_")}
    with locked(folder / "source.lock"):
        if not source.exists():
            _unpack_base(source)
        # The kernels are compiled once, so that no log has the line about it.
        try:
            build = Build(folder, {**environment, "PYTHONPATH": str(source)})
        except NotStartedError as error:
            raise BaseUnavailableError(f"{BASE} does not run here: {error}") from None
    assert build.run(case("version", "--version")).done[0].code == 0
    return build


def _unpack_base(source: Path) -> None:
    if shutil.which("git") is None:
        raise BaseUnavailableError("There is no git.")
    packed = subprocess.run(
        ["git", "archive", "--format=zip", BASE, "ipinsights"], cwd=ROOT, capture_output=True, check=False
    )
    if packed.returncode != 0:
        raise BaseUnavailableError(f"The history of {ROOT} does not hold {BASE}.")
    with zipfile.ZipFile(io.BytesIO(packed.stdout)) as archive:
        archive.extractall(source)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock among the processes of the tests until the end of the block."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SET_ASIDE)}
    # An order that depends on hashes of text would be another in each run.
    return {**kept, "LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "0"}

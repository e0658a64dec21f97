"""Files: output is complete or absent, also for devices, pipes, links and full disks."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from ipinsights.data.files import exists, is_file, is_folder, locked, open_output, replacing, write_file
from ipinsights.errors import ClientError, OutputClosedError

LONGEST_NAME = 255
# A process that removes abandoned files locks the new one just before its writer does, and removes it later.
LOCKS_FIRST = """
import fcntl, sys
from pathlib import Path
from ipinsights.data import files
folder, taken = Path(sys.argv[1]), []
def hook(event, args):
    if event == "fcntl.flock" and not taken:
        taken.extend(path.open("rb") for path in folder.glob(".*.partial"))
        for stream in taken:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if event == "os.rename":
        for stream in taken:
            Path(stream.name).unlink()
"""
# Such a process comes just before the new file is renamed.
COMES_LAST = """
import sys
from pathlib import Path
from ipinsights.data import files
folder = Path(sys.argv[1])
def hook(event, args):
    if event == "os.rename":
        for path in folder.glob(".*.partial"):
            files._remove_if_unlocked(str(path))
"""


def contents(folder: Path) -> dict[str, str]:
    """Return the text of each file in a folder."""
    return {path.name: path.read_text() for path in folder.iterdir()}


def run(
    script: str, *arguments: object, stdout: int | None = subprocess.PIPE, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, env=env)


class TestReplacing:
    """All or nothing."""

    def test_a_failure_leaves_the_old_file(self, tmp_path: Path) -> None:
        """The old file stays, and nothing is left next to it."""
        output = tmp_path / "rows.csv"
        output.write_text("old")

        def fail_while_writing() -> None:
            with replacing(output) as stream:
                stream.write(b"half")
                raise KeyError

        with pytest.raises(KeyError):
            fail_while_writing()
        assert contents(tmp_path) == {"rows.csv": "old"}

    @pytest.mark.parametrize("is_durable", [False, True])
    def test_the_target_is_old_until_the_end(self, tmp_path: Path, is_durable: bool) -> None:  # noqa: FBT001
        """A reader sees the old file or the new one, and the hidden one only while it is written."""
        output = tmp_path / "rows.csv"
        output.write_text("old")
        with replacing(output, is_durable=is_durable) as stream:
            stream.write(b"new")
            stream.flush()
            assert output.read_text() == "old"
            assert all(path.name.startswith(".") for path in tmp_path.iterdir() if path != output)
        assert contents(tmp_path) == {"rows.csv": "new"}

    def test_two_writers_share_nothing(self, tmp_path: Path) -> None:
        """Each writes a file of its own, and the last one to finish wins as a whole."""
        output = tmp_path / "rows.csv"
        with ExitStack() as first, ExitStack() as second:
            streams = [stack.enter_context(replacing(output)) for stack in (first, second)]
            for piece in (b"1", b"2"):
                streams[0].write(b"a" + piece)
                streams[1].write(b"b" + piece)
            second.close()
            assert output.read_text() == "b1b2"
        assert contents(tmp_path) == {"rows.csv": "a1a2"}

    def test_what_a_killed_writer_left_is_removed(self, tmp_path: Path) -> None:
        """The next writer to a folder removes what a killed one left, and no file in use."""
        script = (
            "import os, signal, sys; from pathlib import Path; from ipinsights.data.files import replacing\n"
            "with replacing(Path(sys.argv[1])) as stream:\n"
            "    stream.write(b'half'); stream.flush(); os.kill(os.getpid(), int(sys.argv[2]))"
        )
        run(script, tmp_path / "killed", int(signal.SIGKILL))
        assert [path.name.startswith(".killed.") for path in tmp_path.iterdir()] == [True]
        with replacing(tmp_path / "living") as stream:
            stream.write(b"whole")
            stream.flush()
            run("import sys; from pathlib import Path; from ipinsights.data.files import write_file\n"
                "write_file(Path(sys.argv[1]), 'other')", tmp_path / "other")  # fmt: skip
            assert sorted(path.name.split(".")[1] or path.name for path in tmp_path.glob(".*")) == ["living"]
        assert contents(tmp_path) == {"living": "whole", "other": "other"}

    @pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
    def test_the_mode_is_what_the_umask_says(self, tmp_path: Path, mask: int) -> None:
        """A new file has the mode that the umask allows."""
        before = os.umask(mask)
        try:
            write_file(tmp_path / "a", "")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o666 & ~mask

    @pytest.mark.parametrize("rival", [LOCKS_FIRST, COMES_LAST])
    def test_a_new_file_is_not_taken_for_abandoned(
        self, tmp_path: Path, rival: str, unmeasured: dict[str, str]
    ) -> None:
        """Another process that begins to write to the folder does not remove it.

        Neither before it is locked, nor after it is closed and before it has its name.
        """
        write = "files.write_file(folder / 'rows.csv', 'x')"
        # The hook would also act on the file of coverage.
        assert run(f"{rival}\nsys.addaudithook(hook)\n{write}", tmp_path, env=unmeasured).stderr == ""
        assert contents(tmp_path) == {"rows.csv": "x"}

    @pytest.mark.parametrize("name", ["a" * LONGEST_NAME, "ü" * (LONGEST_NAME // 2), "𝄞" * (LONGEST_NAME // 4)])
    def test_the_longest_names(self, tmp_path: Path, name: str) -> None:
        """The hidden name is no longer than a file system allows, whatever the bytes of a character."""
        write_file(tmp_path / name, "x")
        assert contents(tmp_path) == {name: "x"}

    def test_a_link_is_followed(self, tmp_path: Path) -> None:
        """The link stays a link, also to a file that is not there yet."""
        for name, target in {"link": "old", "dangling": "new"}.items():
            (tmp_path / name).symlink_to(target)
        (tmp_path / "old").write_text("old")
        for name in ("link", "dangling"):
            write_file(tmp_path / name, name)
        assert (tmp_path / "link").is_symlink()
        assert {name: (tmp_path / name).read_text() for name in ("old", "new")} == {"old": "link", "new": "dangling"}

    def test_a_disk_that_is_full(self, tmp_path: Path, unmeasured: dict[str, str]) -> None:
        """On a full disk the old file stays, and no part of the new file remains.

        A size limit of the operating system stands for the full disk.
        """
        output = tmp_path / "rows.csv"
        output.write_text("old")
        script = (
            "import sys; from pathlib import Path; from ipinsights.errors import ClientError\n"
            "from ipinsights.data.files import write_file\n"
            "try: write_file(Path(sys.argv[1]), b'x' * 100_000)\n"
            "except ClientError as error: print(error)"
        )
        # -B: the limit would also cut off the bytecode of modules, and every later import of them would fail.
        command: list[str | Path] = [sys.executable, "-B", "-c", script, output]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, check=True, text=True, env=unmeasured,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000)),
        )  # fmt: skip
        assert done.stdout == f"{output} cannot be written: File too large.\n"
        assert contents(tmp_path) == {"rows.csv": "old"}


class TestRefusals:
    """What cannot be written, in one sentence."""

    @pytest.mark.parametrize(
        ("name", "reason"),
        [("no/rows.csv", "No such file or directory"), ("file/rows.csv", "Not a directory"), ("", "Is a directory")],
    )
    def test_the_message_has_the_reason(self, tmp_path: Path, name: str, reason: str) -> None:
        """The system's reason, and the place."""
        (tmp_path / "file").touch()
        with pytest.raises(ClientError) as caught:
            write_file(tmp_path / name, "x")
        assert str(caught.value) == f"{tmp_path / name} cannot be written: {reason}."


class TestStreams:
    """Names that stand for devices and pipes: nothing is made next to them."""

    def test_a_full_device(self) -> None:
        """The error names the full device."""
        with pytest.raises(ClientError) as caught:
            write_file(Path("/dev/full"), "x" * 10**6)
        assert str(caught.value) == "/dev/full cannot be written: No space left on device."

    def test_the_null_device_stays_a_device(self) -> None:
        """The null device is written to and not replaced by a file."""
        write_file(Path("/dev/null"), "x")
        assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)

    def test_a_named_pipe(self, tmp_path: Path) -> None:
        """The reader of a named pipe gets everything, and the pipe stays a pipe."""
        pipe, got = tmp_path / "pipe", []
        os.mkfifo(pipe)
        reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
        reader.start()
        write_file(pipe, b"x" * 300_000)
        reader.join()
        assert got == [b"x" * 300_000]
        assert [path.name for path in tmp_path.iterdir()] == ["pipe"]

    @pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
    def test_the_name_of_standard_output(self, tmp_path: Path, name: str) -> None:
        """What a shell has begun there with ``>>`` goes on, and stays one file."""
        log = tmp_path / "log"
        log.write_text("before\n")
        with log.open("ab") as stream:
            script = (
                "import sys, pathlib, ipinsights.data.files as files; files.write_file(pathlib.Path(sys.argv[1]), 'x')"
            )
            assert run(script, name, stdout=stream.fileno()).stderr == ""
        assert contents(tmp_path) == {"log": "before\nx"}

    def test_a_reader_that_has_gone(self) -> None:
        """The end is a quiet one, with the exit code that a shell shows for SIGPIPE."""
        reading, writing = os.pipe()
        os.close(reading)
        try:
            with pytest.raises(OutputClosedError) as caught, open_output(Path(f"/dev/fd/{writing}")) as stream:
                stream.write(b"x" * 300_000)
        finally:
            os.close(writing)
        assert caught.value.exit_code == 141

    @pytest.mark.parametrize(
        ("device", "report"),
        [
            ("/dev/full", "ClientError: Standard output cannot be written: No space left on device.\n"),
            (None, "ClientError: Standard output is closed.\n"),
        ],
    )
    def test_standard_output_that_cannot_be_written(self, device: str | None, report: str) -> None:
        """A full or closed standard output is reported in one sentence."""
        script = (
            "import os, sys; from ipinsights.errors import ClientError; from ipinsights.data.files import *\n"
            "try:\n with open_output(None) as stream: stream.write(b'x')\n"
            "except ClientError as error: print(error.report, file=sys.stderr)\n"
            "drop_unwritten(sys.stdout, sys.stderr)"
        )
        command = [sys.executable, "-c", script]
        line = 'exec "$@" ' + (f"> {device}" if device else ">&-")
        done = subprocess.run(["bash", "-c", line, "bash", *command], stderr=subprocess.PIPE, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, report)


class TestLock:
    """The lock of a folder keeps processes apart."""

    def test_it_is_held_by_one(self, tmp_path: Path) -> None:
        """A process that does not wait is refused during the block, and not after it."""
        with locked(tmp_path), pytest.raises(BlockingIOError), locked(tmp_path, wait=False):
            pass
        with locked(tmp_path, wait=False):
            pass

    def test_a_killed_holder_lets_go(self, tmp_path: Path) -> None:
        """The kernel gives up the lock of a process that ends in any way."""
        code = (
            "import sys, time; from pathlib import Path; from ipinsights.data.files import locked\n"
            "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(600)"
        )
        with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE) as holder:
            assert holder.stdout
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(BlockingIOError), locked(tmp_path, wait=False):
                pass
            holder.kill()
        with locked(tmp_path, wait=False):
            pass


class TestExists:
    """Whether something is there."""

    def test_kinds(self, tmp_path: Path) -> None:
        """A file, a folder, nothing, a path below a file, a link to nothing, and no path at all."""
        file = tmp_path / "file"
        file.touch()
        (tmp_path / "link").symlink_to("nothing")
        paths = [file, tmp_path, tmp_path / "none", file / "below", tmp_path / "link", Path("a\0b")]
        assert [(exists(path), is_file(path), is_folder(path)) for path in paths] == [
            (True, True, False), (True, False, True), *[(False, False, False)] * 4
        ]  # fmt: skip

    def test_paths_that_cannot_be_followed(self, tmp_path: Path) -> None:
        """The error has the system's reason, and does not call the path missing."""
        loop, long = tmp_path / "loop", tmp_path / ("x" * (LONGEST_NAME + 1))
        loop.symlink_to(loop)
        for path, reason in ((loop, "Too many levels of symbolic links"), (long, "File name too long")):
            with pytest.raises(ClientError) as caught:
                exists(path)
            assert str(caught.value) == f"{path} cannot be read: {reason}."

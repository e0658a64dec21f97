"""Files: atomic writing of output, and opening and unpacking of input.

A file is written under a random hidden name in the folder of its target, and renamed when it is complete. So a reader
never sees half a file, and two writers never share one: the last one to finish wins. A hidden file is locked while it
is written, so that the next process that writes to the folder can remove what a killed one left behind. Devices and
named pipes cannot be replaced, and are written directly.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import gzip
import io
import os
import re
import stat
import sys
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from ipinsights.data.file_kinds import GZIP_MAGIC
from ipinsights.errors import ClientError, OutputClosedError, UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = [
    "drop_unwritten", "exists", "file_identity", "flush_output", "is_file", "is_folder", "locked", "make_folder",
    "open_output", "peekable", "read_errors", "replacing", "unpacked", "write_file", "write_files",
]  # fmt: skip

# File systems allow 255 bytes in a name, and a character may take four.
_KEPT_OF_NAME = 50
_HIDDEN_NAME = re.compile(r"\..{1,50}\.[0-9a-f]{16}\.partial", re.DOTALL)
# Names in these folders stand for streams that are open already, whatever they lead to.
_STREAM_FOLDERS = (Path("/dev"), Path("/dev/fd"), Path("/proc"))


@contextlib.contextmanager
def replacing(target: Path, *, is_durable: bool = False) -> Iterator[IO[bytes]]:
    """Open a new file that replaces the target at the end of the block.

    A device or a named pipe is written directly, a link is followed. ``is_durable`` waits until the file would
    outlive a loss of power. After an OSError (full disk, folder without write access) the old file is as it was, and
    no other is left.
    """
    if _is_stream(target):
        with target.open("ab") as stream:
            yield stream
        return
    target = Path(os.path.realpath(target))
    _remove_abandoned(target.parent)
    partial, hidden = _open_hidden(target)
    # A closed file has no lock, and another process would take it for abandoned before it has its name.
    lock = os.dup(hidden.fileno())
    try:
        with hidden as stream:
            yield stream
            if is_durable:
                stream.flush()
                os.fsync(stream.fileno())
        partial.replace(target)
        if is_durable:
            _sync_folder(target.parent)
    finally:
        os.close(lock)
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def open_output(path: Path | None) -> Iterator[IO[bytes]]:
    """Open the output of a command, see :func:`replacing`. None is standard output.

    An output that cannot be written is a ClientError, a pipe whose reader has gone an OutputClosedError.
    """
    try:
        with _standard_output() if path is None else replacing(path) as stream:
            yield stream
    except BrokenPipeError:
        raise OutputClosedError from None
    except OSError as error:
        raise ClientError(f"{path or 'Standard output'} cannot be written: {error.strerror or error}.") from None


def write_file(path: Path, content: str | bytes) -> None:
    """Write a whole file, see :func:`open_output`."""
    with open_output(path) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


def make_folder(folder: Path) -> None:
    """Make a folder and those around it, unless it exists."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ClientError(f"{folder} cannot be made: {error.strerror}.") from None


def write_files(folder: Path, contents: Mapping[str, Iterable[bytes | memoryview]]) -> None:
    """Write files into a folder, which is made. None is replaced before all are complete."""
    make_folder(folder)
    with contextlib.ExitStack() as stack:
        for name, pieces in contents.items():
            stream = stack.enter_context(open_output(folder / name))
            stream.writelines(pieces)
            stream.flush()


def file_identity(status: os.stat_result) -> tuple[int, int, int, int]:
    """Return what tells whether a file was replaced or written to, from its status."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@contextlib.contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a folder.

    Without ``wait``, BlockingIOError is raised if another process holds the lock.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def flush_output() -> None:
    """Write what standard output has buffered, with the errors of :func:`open_output`."""
    if sys.stdout is not None:
        with open_output(None):
            pass


def drop_unwritten(*streams: IO[str] | None) -> None:
    """Flush streams, and drop what cannot be written: Python would raise once more when it ends."""
    for stream in streams:
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            assert stream is not None
            _flush_to_nowhere(stream)


def unpacked(stream: IO[bytes], begins: bytes) -> IO[bytes]:
    """Return a stream, through gzip if its first bytes are those of gzip."""
    return cast("IO[bytes]", gzip.GzipFile(fileobj=stream)) if begins.startswith(GZIP_MAGIC) else stream


def peekable(stream: IO[bytes]) -> io.BufferedReader:
    """Return a stream that has `peek`. A pipe is buffered for it."""
    return cast("io.BufferedReader", stream if hasattr(stream, "peek") else io.BufferedReader(cast("Any", stream)))


@contextlib.contextmanager
def read_errors(name: str) -> Iterator[None]:
    """Raise what reading a file ends in as an UnreadableFileError of one sentence."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UnreadableFileError(f"{name} is a damaged gzip file: {str(error).rstrip('.')}.") from None
    except OSError as error:
        raise UnreadableFileError(f"{name} cannot be read: {error.strerror or error}.") from None


def exists(path: Path) -> bool:
    """Return whether a file or folder is there.

    A path that cannot be followed is a ClientError: its folder must not be searched, or its name is too long.
    """
    return _mode(path) is not None


def is_folder(path: Path) -> bool:
    """Return whether a folder is there, see :func:`exists`."""
    return stat.S_ISDIR(_mode(path) or 0)


def is_file(path: Path) -> bool:
    """Return whether a regular file is there, see :func:`exists`."""
    return stat.S_ISREG(_mode(path) or 0)


def _mode(path: Path) -> int | None:
    with read_errors(str(path)):
        try:
            return path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None


def _is_stream(path: Path) -> bool:
    try:
        is_regular = stat.S_ISREG(path.stat().st_mode)
    except OSError:  # it does not exist, or opening it will say why not
        return False
    folder = path.absolute().parent
    return not is_regular or folder in _STREAM_FOLDERS or _STREAM_FOLDERS[-1] in folder.parents


def _open_hidden(target: Path) -> tuple[Path, IO[bytes]]:
    """Return path and stream of a new locked file next to the target."""
    while True:
        partial = target.with_name(f".{target.name[:_KEPT_OF_NAME]}.{os.urandom(8).hex()}.partial")
        stream = partial.open("xb")
        # Another process may take it for abandoned before it is locked, and has removed it or is about to.
        if _can_lock(stream) and os.fstat(stream.fileno()).st_nlink > 0:
            return partial, stream
        stream.close()


def _can_lock(stream: IO[bytes]) -> bool:
    """Lock a file, and return False if another process has locked it."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems have no locks
        pass
    return True


@functools.cache
def _remove_abandoned(folder: Path) -> None:
    """Remove the hidden files of processes that were killed, once for each folder."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _HIDDEN_NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                _remove_if_unlocked(entry.path)


def _remove_if_unlocked(path: str) -> None:
    with contextlib.suppress(OSError), open(path, "rb") as stream:  # noqa: PTH123 - a path of os.scandir
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(path)  # noqa: PTH108 - the same


@contextlib.contextmanager
def _standard_output() -> Iterator[IO[bytes]]:
    if sys.stdout is None:
        raise ClientError("Standard output is closed.")
    yield sys.stdout.buffer
    sys.stdout.flush()


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _flush_to_nowhere(stream: IO[str]) -> None:
    """Empty the buffer of a stream into the null device, and leave the stream as it was."""
    with contextlib.suppress(OSError), Path(os.devnull).open("wb") as nowhere:
        kept = os.dup(stream.fileno())
        try:
            os.dup2(nowhere.fileno(), stream.fileno())
            stream.flush()
        finally:
            os.dup2(kept, stream.fileno())
            os.close(kept)

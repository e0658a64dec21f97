"""Remote files and folders, through fsspec.

Inputs are downloaded whole, and outputs uploaded whole at the end.

Commands and functions work on local copies in a private temporary folder. So memory maps, seeks and several processes
work as on any file, and an upload begins only when everything has been written. It is committed as one transaction of
fsspec: where it is interrupted, the object that was there before stays.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ipinsights.data.remote_errors import remote_errors
from ipinsights.data.remote_names import as_given, call_copy, is_remote, is_web, local_names, protocol, shown_url
from ipinsights.errors import ClientError, IPInsightsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["Role", "Staging", "staged"]

Role: TypeAlias = Literal["data", "model", "output"]
"""What a path is for: data are read with all folders below, of a model's folder the files, an output is written."""

_BUCKETS = ("s3", "s3a", "gs", "gcs")
_SECONDS_TO_CONNECT, _SECONDS_TO_READ = 30, 60
_VERSION = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "mtime", "created", "size")
_PIECE_BYTES = 2**22


@dataclass(frozen=True)
class _Copy:
    """A local copy of a URL, with the state of its files after the download."""

    url: str
    path: Path
    role: Role
    files: Mapping[Path, tuple[int, ...]] = field(default_factory=dict)
    versions: Mapping[Path, tuple[Any, ...]] = field(default_factory=dict)

    def changed(self) -> list[Path]:
        """Return the local files that are new or were written to."""
        return [file for file in _files_at(self.path) if self.files.get(file) != _state(file)]


class Staging:
    """Context manager with local copies of URLs, which are uploaded at its end.

    Nothing is uploaded after an error. If an upload fails, the files are kept, and the error says where.
    """

    def __init__(self) -> None:
        self._folder = Path()
        self._copies: list[_Copy] = []
        self._process = 0

    def __enter__(self) -> Self:
        self._folder = Path(os.path.realpath(tempfile.mkdtemp(prefix="ipinsights-")))
        self._process = os.getpid()
        return self

    def __exit__(self, _: object, error: BaseException | None, __: TracebackType | None) -> None:
        if os.getpid() != self._process:  # a forked worker ends
            return
        try:
            if error is None or isinstance(error, SystemExit):
                self._upload()
            elif isinstance(error, IPInsightsError):
                error.args = tuple(as_given(str(part)) for part in error.args)
        finally:
            if self._folder.name:
                shutil.rmtree(self._folder, ignore_errors=True)

    def path(self, url: str, role: Role = "data") -> Path:
        """Return the path of a local copy.

        The URL is a file, a folder, or for data a pattern such as ``s3://BUCKET/logs/*.gz``, which makes a folder. A
        missing object or package and a denied access are ClientErrors.
        """
        name = local_names([posixpath.basename(shown_url(url).rstrip("/"))])[0]
        path = self._folder / str(len(self._copies)) / name
        path.parent.mkdir()
        call_copy(path, url)
        with remote_errors(url, "written" if role == "output" else "read"):
            copy = _prepared(url, path) if role == "output" else _downloaded(url, path, role)
        self._copies.append(copy)
        return path

    def _upload(self) -> None:
        for copy in self._copies:
            files = copy.changed()
            try:
                if files:
                    with remote_errors(copy.url, "written"):
                        _upload(copy, files)
            except ClientError as error:
                kept, self._folder = self._folder, Path()
                call_copy(copy.path, None)
                raise ClientError(f"{error} What was to be written is kept in {kept}.") from None


@contextlib.contextmanager
def staged(path: str | os.PathLike[str], role: Role = "data") -> Iterator[Path]:
    """Yield a path itself, or the local copy of a URL, see :class:`Staging`.

    >>> with staged("train.csv") as path:
    ...     path.name
    'train.csv'
    """
    if not is_remote(path):
        yield Path(path)
        return
    with Staging() as staging:
        yield staging.path(os.fspath(path), role)


def _file_system(url: str) -> Any:
    import fsspec

    options = {}
    if is_web(url):
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_SECONDS_TO_CONNECT, sock_read=_SECONDS_TO_READ)
        options = {"client_kwargs": {"timeout": timeout}}
    files, _ = fsspec.core.url_to_fs(url, **options)
    files.invalidate_cache()
    return files


def _prepared(url: str, path: Path) -> _Copy:
    """Return the empty copy of an output, after a check that the file system can be written to."""
    if is_web(url):
        raise ClientError(f"{shown_url(url)} cannot be written: a web server is only read from.")
    files = _file_system(url)
    if protocol(url) in _BUCKETS:
        with contextlib.suppress(PermissionError):  # the right to write does not imply the right to look
            files.info(files._strip_protocol(url).partition("/")[0])  # noqa: SLF001 - as below
    return _Copy(url, path, "output")


def _downloaded(url: str, path: Path, role: Role) -> _Copy:
    files = _file_system(url)
    root, found = _objects(files, url, recursive=role == "data")
    if root is None:
        local = [path]
    else:
        path.mkdir()
        local = [path / name for name in local_names([name.removeprefix(root).lstrip("/") for name in found])]
    for file in local:
        file.parent.mkdir(parents=True, exist_ok=True)
    files.get(list(found), list(map(str, local)), callback=_progress(url))
    for info, file in zip(found.values(), local, strict=True):
        # A web server may have packed it for the way.
        if not is_web(url) and info.get("size") not in (None, file.stat().st_size):
            raise ClientError(f"{as_given(str(file))} was changed while it was read. Try again.")
    versions = {file: _version(info) for file, info in zip(local, found.values(), strict=True)}
    return _Copy(url, path, role, {file: _state(file) for file in local}, versions)


def _objects(files: Any, url: str, *, recursive: bool) -> tuple[str | None, dict[str, Any]]:
    """Return the root of a folder (None for a file) and the facts of its objects by name."""
    name = files._strip_protocol(url)  # noqa: SLF001 - the way from a URL to what the methods take
    if any(character in name for character in _pattern_characters(url)) and not files.exists(name):
        return _matches(files, name, url)
    info = files.info(name)
    if info["type"] == "file" and not url.endswith("/"):
        return None, {name: info}
    found = files.find(name, detail=True) if recursive else files.find(name, maxdepth=1, detail=True)
    objects = {key: info for key, info in found.items() if info["type"] == "file" and not key.endswith("/")}
    if not objects:
        raise FileNotFoundError(url)
    return name.rstrip("/"), dict(sorted(objects.items()))


def _matches(files: Any, pattern: str, url: str) -> tuple[str, dict[str, Any]]:
    """Return the folder in front of a pattern, and the objects that match the pattern."""
    objects: dict[str, Any] = {}
    for name, info in files.glob(pattern, detail=True).items():
        objects.update({name: info} if info["type"] == "file" else files.find(name, detail=True))
    objects = {name: info for name, info in objects.items() if info["type"] == "file" and not name.endswith("/")}
    if not objects:
        raise ClientError(f"There is no file that matches {shown_url(url)}.")
    plain = min(pattern.find(character) for character in _pattern_characters(url) if character in pattern)
    return pattern[:plain].rpartition("/")[0], dict(sorted(objects.items()))


def _pattern_characters(url: str) -> str:
    return "*[" if is_web(url) else "*[?"  # a question mark begins the query of a web address


def _upload(copy: _Copy, changed: list[Path]) -> None:
    files = _file_system(copy.url)
    root = files._strip_protocol(copy.url).rstrip("/")  # noqa: SLF001 - as above
    names = {
        file: root if file == copy.path else f"{root}/{file.relative_to(copy.path).as_posix()}" for file in changed
    }
    for file, name in names.items():
        if file in copy.versions and _version(files.info(name)) != copy.versions[file]:
            raise ClientError(f"{as_given(str(file))} was changed by somebody else meanwhile. Run the command again.")
    with files.transaction:
        for file, name in names.items():
            with file.open("rb") as source, files.open(name, "wb") as target:
                shutil.copyfileobj(source, target, _PIECE_BYTES)


def _files_at(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path] * path.is_file()


def _state(file: Path) -> tuple[int, ...]:
    found = file.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _version(info: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(info.get(key) for key in _VERSION)


def _progress(url: str) -> Any:
    from fsspec.callbacks import TqdmCallback

    return TqdmCallback(
        tqdm_kwargs={"desc": f"downloading {shown_url(url)}", "unit": " files", "leave": False, "disable": None}
    )

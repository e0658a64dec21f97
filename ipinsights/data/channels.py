"""Which files of a folder hold data, and which other programs left there for themselves.

One rule for every command. Spark and Hadoop leave ``_SUCCESS``, ``.part-0.crc``, ``_temporary`` and empty parts, EMR
``year=2019_$folder$``, Athena ``query.csv.metadata`` and manifests, SageMaker manifests, and desktops ``.DS_Store`` and
``Thumbs.db``. Whatever is skipped is logged.
"""

from __future__ import annotations

import codecs
import logging
import os
import re
import zlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ipinsights.data.file_kinds import GZIP_MAGIC, HEAD_BYTES
from ipinsights.data.files import exists, is_file, is_folder, read_errors
from ipinsights.data.remote_names import as_given
from ipinsights.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = [
    "ChannelFiles", "channel_files", "check_filled", "check_outputs", "is_marker", "log_skipped", "read_channel",
]  # fmt: skip

_logger = logging.getLogger(__name__)

_MARKER = re.compile(
    r"[._].*|.*_\$folder\$|.*\.(?:crc|metadata|md5|sha\d+|checksum)|.*\._COPYING_|.*~|Thumbs\.db|desktop\.ini",
    re.IGNORECASE | re.DOTALL,
)
_MANIFEST_NAME = re.compile(r"(?P<surely>(?:^|[._-])manifest(?:\.json)?$)|manifest|\.json$", re.IGNORECASE)
_MANIFEST = re.compile(
    rb'\s*(?:\[\s*\{\s*"prefix"|\{\s*"entries"\s*:\s*\[\s*\{\s*"url"\s*:\s*"s3|\{\s*"source-ref"|"?s3[an]?://)'
)
# Nothing longer consists of blank lines, and gzip needs some 20 bytes for nothing.
_LARGEST_EMPTY = 4096
_NAMES_SHOWN = 3


@dataclass(frozen=True)
class ChannelFiles:
    """The files of a channel."""

    # Files that hold data, sorted.
    files: tuple[Path, ...]
    # Files without content, sorted: nothing, or blank lines, or gzip of that.
    empty: tuple[Path, ...]
    # Files that are not data, by the reason in words.
    skipped: Mapping[str, Sequence[Path]]


def channel_files(path: Path) -> list[Path]:
    """Return the files that hold data: the file itself, or those below a folder, sorted.

    It is a ClientError if there are none, or the folder cannot be read to its end.
    """
    channel = read_channel(path)
    if not is_folder(path):
        return [path]
    groups = {**channel.skipped, "empty files": channel.empty}
    check_filled(channel.files, groups, path)
    log_skipped(groups, path)
    return [*channel.files]


def check_filled(files: Sequence[Path], skipped: Mapping[str, Sequence[Path]], root: Path) -> None:
    """Raise an error if a folder has no files with data, with the skipped files by reason."""
    if not files:
        listed = _listed(skipped, root)
        others = f": skipped are {listed}" if listed else ""
        raise ClientError(f"The folder {root} holds no file with data{others}. It must hold at least one such file.")


def check_outputs(outputs: Iterable[Path | None], inputs: Iterable[Path | None]) -> None:
    """Raise an error if an output would replace one of the files that are read.

    The inputs are files and folders. ``-`` and None are not looked at.
    """
    existing = [output for output in outputs if output is not None and is_file(output)]
    for source in inputs if existing else ():
        files = () if source is None or source == Path("-") else read_channel(source).files
        for output in existing:
            if any(output.samefile(file) for file in files):
                raise ClientError(f"{output} is an input, and would be replaced by the output. Name another output.")


def log_skipped(groups: Mapping[str, Sequence[Path]], root: Path) -> None:
    """Log the files that are skipped in a folder, by the reasons in words, if there are any."""
    if listed := _listed(groups, root):
        _logger.warning("Skipped in the folder %s: %s.", as_given(str(root)), listed)


def read_channel(path: Path) -> ChannelFiles:
    """Return the files of a channel and the skipped files.

    Linked folders are read too, and each file is read once. It is a ClientError if a link leads nowhere.
    """
    if not exists(path):
        raise ClientError(f"There is no file or folder {path}.")
    if not is_folder(path):
        return ChannelFiles((), (path,), {}) if _is_empty(path) else ChannelFiles((path,), (), {})
    skipped: dict[str, list[Path]] = defaultdict(list)
    files, empty = [], []
    for file in sorted(_files_below(path, skipped)):
        if _is_manifest(file):
            skipped["manifests"].append(file)
        elif _is_empty(file):
            empty.append(file)
        else:
            files.append(file)
    return ChannelFiles(tuple(files), tuple(empty), skipped)


def is_marker(name: str) -> bool:
    """Return whether programs write a file or a folder of this name for themselves.

    >>> is_marker("_SUCCESS"), is_marker("part-0.csv")
    (True, False)
    """
    return _MARKER.fullmatch(name) is not None


def _files_below(root: Path, skipped: dict[str, list[Path]]) -> Iterator[Path]:
    """Yield each file in a folder tree once, files and folders before links to them."""
    seen: set[str] = set()
    level = [root]
    while level:
        links: list[Path] = []
        for path in level:
            yield from _entered(path, seen, links, skipped)
        level = sorted(links)


def _entered(path: Path, seen: set[str], links: list[Path], skipped: dict[str, list[Path]]) -> Iterator[Path]:
    """Yield the files at or below a path, and collect the links on the way."""
    waiting = [(path, os.path.realpath(path))]
    while waiting:
        path, real = waiting.pop()
        if real in seen:
            skipped["links to what is read already"].append(path)
            continue
        seen.add(real)
        if not is_folder(path):
            yield path
            continue
        for entry in _entries(path):
            below = path / entry.name
            if is_marker(entry.name):
                skipped["markers or metadata"].append(below)
            elif entry.is_symlink():
                if not exists(below):
                    target = Path(os.readlink(below))  # noqa: PTH115 - a path of os.scandir
                    raise ClientError(f"{below} cannot be read: it is a link to {target}, which does not exist.")
                links.append(below)
            elif entry.is_dir() or entry.is_file():
                waiting.append((below, os.path.join(real, entry.name)))  # noqa: PTH118 - a text, to look up
            else:
                skipped["special files"].append(below)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with read_errors(f"The folder {folder}"), os.scandir(folder) as entries:
        return list(entries)


def _is_manifest(file: Path) -> bool:
    """Return whether a file is a list of files, as SageMaker, Redshift and Athena write it."""
    named = _MANIFEST_NAME.search(file.name)
    if named is None:
        return False
    head = _head(file, HEAD_BYTES)
    return bool(_MANIFEST.match(head)) or (bool(named["surely"]) and head.lstrip().startswith((b"{", b"[")))


def _is_empty(file: Path) -> bool:
    """Return whether a file has only blank lines. Only small files are read."""
    if not is_file(file) or file.stat().st_size > _LARGEST_EMPTY:
        return False
    content = _head(file, _LARGEST_EMPTY)
    if content.startswith(GZIP_MAGIC):
        try:
            content = zlib.decompressobj(wbits=31).decompress(content, _LARGEST_EMPTY)
        except zlib.error:  # The reader of the file reports the damage.
            return False
    return not content.removeprefix(codecs.BOM_UTF8).strip()


def _head(file: Path, size: int) -> bytes:
    with read_errors(str(file)), file.open("rb") as stream:
        return stream.read(size)


def _listed(groups: Mapping[str, Sequence[Path]], root: Path) -> str:
    """Return the number of files by reason as a part of a sentence, with some of their names."""
    return ", ".join(f"{reason} ({len(files):,}: {_names(files, root)})" for reason, files in groups.items() if files)


def _names(files: Sequence[Path], root: Path) -> str:
    names = [str(file.relative_to(root)) for file in sorted(files)[:_NAMES_SHOWN]]
    return ", ".join([*names, *(["..."] if len(files) > _NAMES_SHOWN else [])])

"""The ``/opt/ml`` tree of a training container, as one value derived from one base folder.

Nothing below this module knows a path of the container, so a test or a laptop gives another base and changes nothing
else. Source: SageMaker's documentation of how a container is given its input and where it leaves its output.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from ipinsights.data.files import read_errors
from ipinsights.errors import ClientError
from ipinsights.reporting.plain_text import shortened

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Channel", "Environment", "failure_file", "parse_json_object", "read_json_object"]

_DEFAULT_HOST = "algo-1"


@dataclass(frozen=True)
class Channel:
    """An input channel."""

    name: str  # ``train``, ``validation``, ...
    path: Path  # the folder the platform copied the channel's files into
    content_type: str  # as given with the job, empty when none was given, which means CSV
    is_sharded: bool = False  # whether each host was given files of its own (``ShardedByS3Key``) instead of all files

    def check(self) -> Channel:
        """Return the channel itself if this algorithm can read its content type."""
        media_type = self.content_type.split(";")[0].strip().lower()
        if media_type not in ("", "text/csv"):
            raise ClientError(
                f"Channel '{self.name}' has content type '{self.content_type}'; IP Insights reads text/csv only. "
                "Set the channel's ContentType to text/csv, or leave it out."
            )
        return self


@dataclass(frozen=True)
class Environment:
    """What the platform gave a training job, and where it expects the results."""

    base: Path  # the folder everything is derived from, ``/opt/ml`` in a container
    hyperparameters: Mapping[str, Any]  # the raw map of ``hyperparameters.json``, empty when there is no such file
    channels: Mapping[str, Channel]  # input channels by name
    current_host: str
    hosts: tuple[str, ...]
    network_interface: str | None  # interface of the hosts, None without one, as in SageMaker's local mode

    @classmethod
    def read(cls, base: Path) -> Environment:
        """Read the tree below a base folder."""
        config = base / "input" / "config"
        current_host, hosts, network_interface = _read_resources(config / "resourceconfig.json")
        return cls(
            base=base,
            hyperparameters=_read_optional(config / "hyperparameters.json"),
            channels=_read_channels(base),
            current_host=current_host,
            hosts=hosts,
            network_interface=network_interface,
        )

    @property
    def hyperparameters_file(self) -> Path:
        """Where the hyperparameters came from."""
        return self.base / "input" / "config" / "hyperparameters.json"

    @property
    def model_dir(self) -> Path:
        """Folder of the model, from which the platform makes ``model.tar.gz``."""
        return self.base / "model"

    @property
    def checkpoint_dir(self) -> Path | None:
        """Folder of checkpoints, which the platform makes for jobs with checkpoints, or None."""
        path = self.base / "checkpoints"
        return path if path.is_dir() else None

    def channel(self, name: str) -> Channel | None:
        """Return a checked channel by name, or None if the job has no such channel."""
        found = self.channels.get(name)
        return found.check() if found else None

    def required_channel(self, name: str) -> Channel:
        """Return a checked channel by name."""
        found = self.channel(name)
        if found is None:
            raise ClientError(f"The job has no channel '{name}'; {self._channels_in_words(name)}.")
        return found

    def _channels_in_words(self, wanted: str) -> str:
        if not self.channels:
            return f"it has none at all. Put the data into {self.base / 'input' / 'data' / wanted}"
        names = ", ".join(f"'{name}'" for name in self.channels)
        lower = {name.lower(): name for name in self.channels}
        close = get_close_matches(wanted, lower, n=1)
        advice = f". Did you mean '{lower[close[0]]}'? Rename it to '{wanted}'" if close else ""
        return f"its channels are {names}{advice}"


def failure_file(base: Path) -> Path:
    """Return the file of the reason of a failure, even if the folder tree cannot be read.

    Its first 1,024 characters become ``FailureReason``.
    """
    return base / "output" / "failure"


def read_json_object(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file."""
    try:
        with read_errors(str(path)):
            text = path.read_text(encoding="utf-8-sig")
    except ValueError as error:
        raise ClientError(f"{path} cannot be read as JSON: {error}.") from None
    return parse_json_object(text, name=str(path))


def parse_json_object(text: str, *, name: str) -> dict[str, Any]:
    """Parse a JSON object from a text. Messages use ``name`` for the text."""
    try:
        value = json.loads(text, object_pairs_hook=_without_repeats)
    except (ValueError, RecursionError) as error:
        raise ClientError(f"{name} cannot be read as JSON: {error}.") from None
    if not isinstance(value, dict):
        raise ClientError(f"{name} must hold a JSON object, it holds a {type(value).__name__}.")
    return value


def _without_repeats(items: list[tuple[str, Any]]) -> dict[str, Any]:
    repeated = [name for name, count in Counter(name for name, _ in items).items() if count > 1]
    if repeated:
        raise ValueError(f"'{repeated[0]}' is given twice")
    return dict(items)


def _read_optional(path: Path) -> dict[str, Any]:
    return read_json_object(path) if _is_there(path) else {}


def _is_there(path: Path) -> bool:
    """Return whether a file was given.

    A link to nothing, or a file in a folder that must not be read, was. Its reader reports the reason.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _read_resources(path: Path) -> tuple[str, tuple[str, ...], str | None]:
    """Return the current host, all hosts, and their network interface or None."""
    resources = _read_optional(path)
    host = resources.get("current_host", _DEFAULT_HOST)
    hosts = resources.get("hosts", [host])
    interface = resources.get("network_interface_name")
    if not isinstance(hosts, list) or not all(isinstance(name, str) for name in [host, *hosts, interface or ""]):
        raise ClientError(
            f"{path} must name hosts and network interface by strings: 'current_host' is {_shown(host)}, 'hosts' are "
            f"{_shown(hosts)} and 'network_interface_name' is {_shown(interface)}."
        )
    if host not in hosts:
        raise ClientError(
            f"resourceconfig.json contradicts itself: current_host '{host}' is not among the hosts {', '.join(hosts)}."
        )
    if len(set(hosts)) < len(hosts):
        raise ClientError(f"resourceconfig.json names a host twice: its hosts are {', '.join(hosts)}.")
    return host, tuple(hosts), interface


def _shown(value: Any) -> str:
    return shortened(json.dumps(value))


def _read_channels(base: Path) -> dict[str, Channel]:
    """Channels as configured or, without a configuration, one per folder of ``input/data``."""
    data = base / "input" / "data"
    config = base / "input" / "config" / "inputdataconfig.json"
    if not _is_there(config):
        folders = sorted(folder for folder in data.glob("*") if folder.is_dir())
        return {folder.name: Channel(folder.name, folder, "") for folder in folders}
    return {name: _read_channel(name, data / name, entry) for name, entry in read_json_object(config).items()}


def _read_channel(name: str, path: Path, entry: Any) -> Channel:
    if not isinstance(entry, Mapping):
        raise ClientError(f"Channel '{name}' must be described by a JSON object, not by {json.dumps(entry)}.")
    if entry.get("TrainingInputMode") == "Pipe":
        raise ClientError(
            f"Channel '{name}' is in Pipe mode; IP Insights reads files. Use File or FastFile as its input mode."
        )
    is_sharded = entry.get("S3DistributionType") == "ShardedByS3Key"
    return Channel(name, path, str(entry.get("ContentType") or ""), is_sharded)

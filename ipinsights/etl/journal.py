"""The systemd journal and container logs as syslog lines, from any output format.

Read are the outputs of ``journalctl`` that are not lines of syslog already: ``json``, ``json-pretty``, ``json-sse``,
``json-seq``, ``export`` and ``verbose``, and lines of JSON as Docker, Kubernetes and cloud agents write them.
Source: "Journal Export Formats" of systemd.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa

from ipinsights.data.input_streams import line_blocks, with_first_line
from ipinsights.etl.json_documents import BLANK, Malformed, batches_of_records

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["syslog_blocks"]

_MESSAGE = ("MESSAGE", "message", "@message", "log", "msg")
_TIME = ("@timestamp", "timestamp", "time", "ts")
_HOST = ("_HOSTNAME", "hostname", "host", "HOST", "host.name")
_PROGRAM = (
    "SYSLOG_IDENTIFIER", "_COMM", "ident", "program", "PROGRAM", "programname", "syslogtag", "appname", "app_name",
    "application_name", "process.name", "syslog.appname",
)  # fmt: skip
_VERBOSE = re.compile(rb"[A-Z][a-z]{2} \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{1,6} [A-Z0-9+:-]{1,10} \[s=")
_MICROS = 1_000_000


def syslog_blocks(stream: IO[bytes]) -> Iterator[pa.BinaryArray]:
    """Yield the lines of a log, (n,) a block, with records of other layouts as lines of syslog."""
    line, again = with_first_line(line_blocks(stream))
    head = line.lstrip(b"\x1e \t")
    if head.startswith((b"{", b"data:", b"[")):
        for records in batches_of_records(stream, blocks=again):
            yield pa.array(map(_line, records), pa.binary())
    elif head.startswith(b"__CURSOR=") or _VERBOSE.match(head):
        yield from _of_fields(again)
    else:
        yield from again


def _line(record: Any) -> bytes:
    if record is BLANK:
        return b""
    if isinstance(record, Malformed):
        return record.line.encode()
    if not isinstance(record, dict):
        return str(record).encode()
    message = _first(record, _MESSAGE)
    micros = record.get("__REALTIME_TIMESTAMP") or record.get("_SOURCE_REALTIME_TIMESTAMP")
    time = _clock(str(micros)) if micros else _first(record, _TIME)
    host, program = _first(record, _HOST), _first(record, _PROGRAM)
    front = f"{time} {host or '-'} {program.rstrip(':')}: " if program and time else f"{time} " if time else ""
    return f"{front}{message}".replace("\n", " ").replace("\r", " ").encode("utf-8", "backslashreplace").strip()


def _first(record: dict[str, Any], names: tuple[str, ...]) -> str:
    value = next((found for name in names if (found := record.get(name) or _at(record, name))), "")
    if isinstance(value, list) and all(isinstance(byte, int) and 0 <= byte < 256 for byte in value):  # noqa: PLR2004
        return bytes(value).decode("utf-8", "backslashreplace")  # text that is not UTF-8
    return value if isinstance(value, str) else ""


def _at(record: dict[str, Any], name: str) -> Any:
    """Return the value at a path of two names, or None."""
    outer, _, inner = name.partition(".")
    value = record.get(outer) if inner else None
    return value.get(inner) if isinstance(value, dict) else None


def _clock(micros: str) -> str:
    """Return microseconds since 1970 as ISO 8601, nothing if they are not a time."""
    try:
        seconds, rest = divmod(int(micros[:20]), _MICROS)
        time = datetime.fromtimestamp(seconds, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return ""
    return f"{time:%Y-%m-%dT%H:%M:%S}.{rest:06}Z"


def _of_fields(blocks: Iterable[pa.BinaryArray]) -> Iterator[pa.BinaryArray]:
    """Yield lines of records with one field per line, which a blank line or a time separates."""
    record: dict[str, Any] = {}
    for block in blocks:
        lines = []
        for raw in block.to_pylist():
            is_head = _VERBOSE.match(raw) is not None
            if (is_head or not raw.strip()) and record:
                lines.append(_line(record))
                record = {}
            if is_head:
                record["time"] = raw.partition(b" [")[0].decode()[4:]
            else:
                name, _, value = raw.strip().partition(b"=")
                record.setdefault(name.decode("utf-8", "replace"), value.decode("utf-8", "backslashreplace"))
            record.pop("", None)
        yield pa.array(lines, pa.binary())
    if record:
        yield pa.array([_line(record)], pa.binary())

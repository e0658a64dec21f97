"""JSON: the records of AWS CloudTrail, and JSON Lines of any kind.

Source: "CloudTrail record contents" and "CloudTrail userIdentity element" of the AWS CloudTrail user guide. A file that
CloudTrail delivers is one object with a list ``Records``; other tools write one record a line. Both are read.
"""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import orjson
import pyarrow as pa

from ipinsights.data.input_streams import line_blocks
from ipinsights.data.timestamps import TimeColumn
from ipinsights.etl.records import LogRecords, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ipinsights.etl.records import Columns

__all__ = ["read_cloudtrail", "read_jsonl"]

_logger = logging.getLogger(__name__)

_BATCH = 50_000
_LONGEST_DOCUMENT = 2**25
_MOST_FIELDS_SHOWN = 30
_LONGEST_SHOWN = 1000
_DEEPEST_SHOWN = 8
_BLANK = object()


@dataclass(frozen=True)
class _Malformed:
    """A line that is not JSON."""

    line: str


def read_cloudtrail(stream: IO[bytes], columns: Columns) -> Iterator[LogRecords]:
    """Give the records of a CloudTrail file; the entity is the ARN of whoever called if not told otherwise."""
    names = columns.entity or "userIdentity.arn", columns.ip or "sourceIPAddress", columns.timestamp or "eventTime"
    time = TimeColumn(columns.zone)
    for records in _batches(itertools.chain.from_iterable(map(_unwrapped, _documents(stream)))):
        yield _records(records, names, time)


def read_jsonl(stream: IO[bytes], columns: Columns) -> Iterator[LogRecords]:
    """Give the records of JSON Lines, an object a line, by the names of its fields: entity, ip and timestamp."""
    names = columns.entity or "entity", columns.ip or "ip", columns.timestamp or "timestamp"
    time = TimeColumn(columns.zone)
    for lines in line_blocks(stream):
        yield _records([_loaded(line) for line in lines.to_pylist()], names, time)


def _documents(stream: IO[bytes]) -> Iterator[Any]:
    """Yield the documents of a stream: one a line, or, if the first line is none, the whole of it.

    A document over several lines is one of at most :data:`_LONGEST_DOCUMENT` bytes: its objects take up to 30 times as
    much.
    """
    blocks = line_blocks(stream, longest=_LONGEST_DOCUMENT)
    first = next(blocks, None)
    if first is None:
        return
    begun = [first]
    if isinstance(_loaded(next(filter(bytes.strip, first.to_pylist()), b"")), _Malformed):
        while _size(begun) <= _LONGEST_DOCUMENT and (block := next(blocks, None)) is not None:
            begun.append(block)
        _warn_if_too_long(stream, begun)
        whole = _loaded(b"\n".join(_joined(block) for block in begun))
        if not isinstance(whole, _Malformed):
            yield whole
            begun = []
    for block in itertools.chain(begun, blocks):
        yield from map(_loaded, block.to_pylist())


def _size(blocks: Iterable[pa.BinaryArray]) -> int:
    return sum(block.nbytes for block in blocks)


def _joined(lines: pa.BinaryArray) -> bytes:
    return b"\n".join(lines.to_pylist())


def _warn_if_too_long(stream: IO[bytes], begun: Iterable[pa.BinaryArray]) -> None:
    if _size(begun) > _LONGEST_DOCUMENT:
        _logger.warning(
            "%s:1: the line is not JSON, and a JSON document over several lines may have at most %s bytes.",
            getattr(stream, "name", "standard input"), f"{_LONGEST_DOCUMENT:,}",
        )  # fmt: skip


def _loaded(line: bytes) -> Any:
    if not line.strip():
        return _BLANK
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return _Malformed(line[:_LONGEST_SHOWN].decode("utf-8", errors="backslashreplace"))


def _unwrapped(document: Any) -> Iterable[Any]:
    """Give the records of a document."""
    records = document.get("Records") if isinstance(document, dict) else document
    if isinstance(records, list):
        return records
    return [document]


def _batches(records: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(records)
    while batch := list(itertools.islice(iterator, _BATCH)):
        yield batch


def _records(records: list[Any], names: tuple[str, str, str], time: TimeColumn) -> LogRecords:
    def field(name: str) -> pa.StringArray:
        path = name.split(".")
        return pa.array([_text(record, path) for record in records], pa.string())

    entity, ip, timestamp = field(names[0]), _addresses(records, names[1].split(".")), field(names[2])
    reasons = np.array([_reason(record) for record in records], dtype=np.uint8)
    return LogRecords(entity, ip, *time.parse(timestamp), reasons, _known_fields(records), field, _shown(records))


def _reason(record: Any) -> Reason:
    if record is _BLANK:
        return Reason.BLANK
    return Reason.NONE if isinstance(record, dict) else Reason.MALFORMED


def _text(record: Any, path: list[str]) -> str | None:
    """Return the value at a path as text, None if there is none or it is not a scalar."""
    for name in path:
        if not isinstance(record, dict):
            return None
        record = record.get(name)
    if isinstance(record, str):
        return record
    return orjson.dumps(record).decode() if isinstance(record, (int, float)) else None


def _addresses(records: list[Any], path: list[str]) -> pa.StringArray:
    """Return the values at a path as text. A list is shown as such, so that it is counted as what it is."""
    texts = [_text(record, path) for record in records]
    for place in [place for place, text in enumerate(texts) if text is None]:
        texts[place] = _list_text(records[place], path)
    return pa.array(texts, pa.string())


def _list_text(record: Any, path: list[str]) -> str | None:
    for name in path:
        record = record.get(name) if isinstance(record, dict) else None
    return _as_json(record) if isinstance(record, list) else None


def _known_fields(records: list[Any]) -> str:
    """Return a sentence that names the fields of the first record."""
    first = next((record for record in records if isinstance(record, dict)), {})
    names = list(itertools.islice(_field_names(first), _MOST_FIELDS_SHOWN + 1))
    shown = [*names[:_MOST_FIELDS_SHOWN], *(["..."] if len(names) > _MOST_FIELDS_SHOWN else [])]
    return f"The fields are {', '.join(shown)}." if shown else ""


def _field_names(record: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in record.items():
        if isinstance(value, dict) and value and prefix.count(".") < _DEEPEST_SHOWN:
            yield from _field_names(value, f"{prefix}{name}.")
        else:
            yield ascii(f"{prefix}{name}")[1:-1]


def _shown(records: list[Any]) -> Callable[[int], str]:
    def shown(place: int) -> str:
        record = records[place]
        return record.line if isinstance(record, _Malformed) else _as_json(record)

    return shown


def _as_json(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # orjson reads values that are nested more deeply than it writes
        return "a value that is nested too deeply to be shown"

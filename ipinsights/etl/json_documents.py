"""JSON as people have it: a document a line, documents one after another in any layout, and lists inside of envelopes.

A line that is not JSON is tried as the beginning of a document over several lines. Memory is bounded by the largest
document, and time by the bytes that such attempts may waste.
"""

from __future__ import annotations

import itertools
import json
import logging
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import orjson

from ipinsights.data.input_streams import line_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

__all__ = ["BLANK", "Malformed", "batches_of_records", "inner_record"]

_logger = logging.getLogger(__name__)

BLANK = object()
"""What stands for a blank line."""
_BATCH = 50_000
_LONGEST_DOCUMENT = 2**25
_LONGEST_SHOWN = 1000
# Bytes that failing attempts may read again, for each byte of the stream.
_MOST_WASTE = 16
# Lists of records, as AWS, Microsoft, Elasticsearch, Google, CloudWatch and others name them.
_ENVELOPES = (
    "Records", "records", "value", "Events", "events", "logEvents", "hits.hits", "items", "Items", "data", "results",
    "result", "entries", "logs",
)  # fmt: skip
# A record as text inside of another one.
_INNER = ("CloudTrailEvent", "message", "@message", "AuditData", "log", "_raw", "_source", "detail", "properties")
_decoder = json.JSONDecoder()


@dataclass(frozen=True)
class Malformed:
    """A line that is not JSON."""

    line: str


def batches_of_records(stream: IO[bytes]) -> Iterator[list[Any]]:
    """Yield the records of a stream in batches: objects, and what stands for lines that hold none."""
    reader = _Reader(stream)
    for block in line_blocks(stream, longest=_LONGEST_DOCUMENT):
        records = iter(list(itertools.chain.from_iterable(map(_unwrapped, reader.documents(block)))))
        while batch := list(itertools.islice(records, _BATCH)):
            yield batch
    yield from ([*map(_malformed, reader.rest)] for _ in range(bool(reader.rest)))


def inner_record(record: dict[str, Any]) -> Any:
    """Return the record that stands inside of another one, as text or as an object, None if there is none."""
    for name in _INNER:
        value = record.get(name)
        if isinstance(value, str) and value.lstrip()[:1] == "{":
            try:
                value = orjson.loads(value)
            except orjson.JSONDecodeError:
                continue
        if isinstance(value, dict):
            return value
    return None


class _Reader:
    """Reads documents from blocks of lines, one of which may begin in one block and end in another."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._name = getattr(stream, "name", "standard input")
        self._num_bytes = self._num_wasted = 0
        self.rest: list[bytes] = []

    def documents(self, block: pa.BinaryArray) -> list[Any]:
        """Return the documents that end in the next lines."""
        lines: list[bytes] = block.to_pylist()
        self._num_bytes += block.nbytes
        lines, self.rest = self.rest + lines, []
        found: list[Any] = []
        place = 0
        while place < len(lines):
            try:
                found.extend(BLANK if not line.strip() else orjson.loads(line) for line in self._counted(lines, place))
                break
            except orjson.JSONDecodeError:
                place = self._place
                place = self._take_documents(lines, place, found)
        return found

    def _counted(self, lines: list[bytes], start: int) -> Iterator[bytes]:
        for self._place in range(start, len(lines)):
            yield lines[self._place]

    def _take_documents(self, lines: list[bytes], place: int, found: list[Any]) -> int:
        """Add the documents that begin in a line, and return the next line: the first line that none of them needs."""
        line = lines[place].lstrip(b"\x1e \t")
        line = line.removeprefix(b"data:").lstrip()
        if line[:1] not in (b"{", b"[") or self._num_wasted > _MOST_WASTE * self._num_bytes:
            found.append(_malformed(lines[place]))
            return place + 1
        text = b"\n".join([line, *lines[place + 1 :]]).decode("utf-8", "replace")
        end = 0
        try:
            while end < len(text) and text[end] in "{[":
                document, end = _decoder.raw_decode(text, end)
                found.append(document)
                behind = text.find("\n", end)
                rest = text[end:behind] if behind >= 0 else text[end:]
                blanks = len(rest) - len(rest.lstrip(" \t\r,"))
                if blanks == len(rest):
                    return place + text.count("\n", 0, end) + 1
                end += blanks
        except json.JSONDecodeError as error:
            if error.pos >= len(text.rstrip()) and len(text) <= _LONGEST_DOCUMENT:
                self.rest = [text[end:].encode()]
                return len(lines)
            self._warn_if_too_long(text)
            self._num_wasted += error.pos - end
        except RecursionError:
            self._num_wasted += len(text)
        place += text.count("\n", 0, end)
        found.append(_malformed(lines[place]))
        return place + 1

    def _warn_if_too_long(self, text: str) -> None:
        if len(text) > _LONGEST_DOCUMENT:
            _logger.warning(
                "%s: the line is not JSON, and a JSON document over several lines may have at most %s bytes.",
                self._name, f"{_LONGEST_DOCUMENT:,}",
            )  # fmt: skip


def _malformed(line: bytes) -> Malformed:
    return Malformed(line[:_LONGEST_SHOWN].decode("utf-8", errors="backslashreplace"))


def _unwrapped(document: Any) -> list[Any]:
    """Return the records of a document: of a list or an envelope its items, otherwise the document."""
    if isinstance(document, dict):
        for name in _ENVELOPES:
            if name in document or "." in name:
                records = _inside(document, name)
                if isinstance(records, list) and all(isinstance(record, dict) for record in records):
                    return records
        return [document]
    return document if isinstance(document, list) else [document]


def _inside(document: dict[str, Any], path: str) -> Any:
    value: Any = document
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value

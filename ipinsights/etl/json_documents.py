"""JSON documents, one per line or concatenated in any layout, and lists in envelopes.

A line that is not JSON is tried as the beginning of a document over several lines. Memory is bounded by the largest
document, and time by the bytes that such attempts may waste.
"""

from __future__ import annotations

import functools
import itertools
import json
import logging
import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import orjson

from ipinsights.data.input_streams import line_blocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa

__all__ = ["BLANK", "Malformed", "Path", "as_dots", "batches_of_records", "inner_record", "scalar_text"]

_logger = logging.getLogger(__name__)

BLANK = object()
"""What stands for a blank line."""
_BATCH = 50_000
_LONGEST_DOCUMENT = 2**25
_TOO_LONG = "%s: a JSON document over several lines is not read, it has more than %s bytes."
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
_LONGEST_INTEGER = len("18446744073709551615")
_FIRST_ROUNDED = 2**64


def _integer(text: str) -> int | float:
    """Return an integer as orjson does, which makes a float of more than 64 bits."""
    number = int(text) if len(text) <= _LONGEST_INTEGER else 2**64
    return number if -(2**63) <= number < 2**64 else float(text)


_decoder = json.JSONDecoder(parse_int=_integer)
_INDEX = re.compile(r"\[(\d{0,6})\]")
# What may stand between two documents of a line, and behind the last one.
_BETWEEN = re.compile(r"[ \t\r,]*")


@dataclass(frozen=True)
class Malformed:
    """A line that holds no record."""

    line: str

    @classmethod
    def of(cls, line: bytes) -> Malformed:
        """Return the beginning of a line as text."""
        return cls(line[:_LONGEST_SHOWN].decode("utf-8", errors="backslashreplace"))


def batches_of_records(
    stream: IO[bytes], names: Sequence[str] = (), *, blocks: Iterable[pa.BinaryArray] | None = None
) -> Iterator[list[Any]]:
    """Yield the records of a stream in batches: objects, and placeholders for invalid lines.

    An object that has any of the paths in ``names`` is a record, and not an envelope around a list. ``blocks`` are the
    lines of the stream if they were read before.
    """
    reader, paths = _Reader(getattr(stream, "name", "standard input")), list(map(Path, names))
    for lines in itertools.chain(blocks or line_blocks(stream, longest=_LONGEST_DOCUMENT), [None]):
        documents = reader.documents(lines)
        records = iter(list(itertools.chain.from_iterable(_unwrapped(document, paths) for document in documents)))
        while batch := list(itertools.islice(records, _BATCH)):
            yield batch


def inner_record(record: dict[str, Any]) -> Any:
    """Return the record within a record, as text or as an object, or None."""
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


def scalar_text(value: Any) -> str | None:
    """Return a scalar as text, None for anything else.

    Numbers of more than 64 bits lost digits when they were read, and different ones would have the same text.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, float) and abs(value) >= _FIRST_ROUNDED:
        return None
    return orjson.dumps(value).decode() if isinstance(value, (int, float)) else None


def as_dots(path: str) -> str:
    """Return a path with numbers between dots for indices in brackets.

    >>> as_dots("request.ipChain[0].ip")
    'request.ipChain.0.ip'
    """
    return _INDEX.sub(lambda found: f".{found[1] or 0}", path).removeprefix(".")


class Path:
    """A path to a value. A key that has the very name of the path, dots and all, goes first.

    >>> Path("request.ipChain[0].ip").value({"request": {"ipChain": [{"ip": "192.0.2.1"}]}})
    '192.0.2.1'
    >>> Path("id.orig_h").value({"id.orig_h": "192.0.2.1"})
    '192.0.2.1'
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._names = as_dots(text).split(".")

    def value(self, record: Any) -> Any:
        """Return the value at the path, or None."""
        if not isinstance(record, dict):
            return None
        if self._text in record:
            return record[self._text]
        value: Any = record.get(self._names[0])
        for name in self._names[1:]:
            if type(value) is not dict:
                return _value_at(record, self._names)
            value = value.get(name)
        return _value_at(record, self._names) if value is None else value


def _value_at(value: Any, names: list[str]) -> Any:
    """Return the value at a path of names, of which consecutive ones can form a key with dots."""
    if not names:
        return value
    if isinstance(value, list):
        index = int(names[0]) if names[0].isdecimal() and len(names[0]) <= 6 else None  # noqa: PLR2004
        if index is None:  # of a list of objects the first
            return _value_at(value[0], names) if value and isinstance(value[0], dict) else None
        return _value_at(value[index], names[1:]) if index < len(value) else None
    if isinstance(value, dict):
        for end in range(1, len(names) + 1):
            key = ".".join(names[:end])
            if key in value and (found := _value_at(value[key], names[end:])) is not None:
                return found
    return None


class _Reader:
    """Reader of documents from blocks of lines. A document may continue in the next block."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._num_bytes = self._num_wasted = 0
        self._rest: list[bytes] = []
        self._is_over = False

    def documents(self, block: pa.BinaryArray | None) -> list[Any]:
        """Return the documents that end in the next lines, None for no more lines."""
        self._is_over = block is None
        lines, self._rest = self._rest, []
        if block is not None:
            lines += block.to_pylist()
            self._num_bytes += block.nbytes
        try:
            return list(map(orjson.loads, lines))
        except orjson.JSONDecodeError:  # a blank line, or more than one document a line or line a document
            return self._slowly(lines)

    def _slowly(self, lines: list[bytes]) -> list[Any]:
        found: list[Any] = []
        index = 0
        while index < len(lines):
            try:
                found.append(orjson.loads(lines[index]) if lines[index].strip() else BLANK)
                index += 1
            except orjson.JSONDecodeError:
                index = self._take_documents(lines, index, found)
        return found

    def _take_documents(self, lines: list[bytes], index: int, found: list[Any]) -> int:
        """Add the documents that begin in a line, and return the index of the next line to read."""
        line = lines[index].lstrip(b"\x1e \t")
        line = line.removeprefix(b"data:").lstrip()
        if line[:1] not in (b"{", b"[") or self._num_wasted > _MOST_WASTE * self._num_bytes:
            found.append(Malformed.of(lines[index]))
            return index + 1
        num_lines = 1
        while True:
            # Twice as many lines each time, so that time is linear in the size of a document.
            text = b"\n".join([line, *lines[index + 1 : index + num_lines]]).decode("utf-8", "replace")
            documents, end, error_offset = _decode(text)
            is_cut_off = error_offset is not None and error_offset >= len(text.rstrip())
            if not is_cut_off or index + num_lines >= len(lines):
                break
            num_lines *= 2
        found.extend(documents)
        if is_cut_off and not self._is_over and len(text) - end <= _LONGEST_DOCUMENT:
            self._rest = text[end:].encode().split(b"\n")
            return len(lines)
        if error_offset is not None:
            if len(text) - end > _LONGEST_DOCUMENT:
                _logger.warning(_TOO_LONG, self._name, f"{_LONGEST_DOCUMENT:,}")
            self._num_wasted += error_offset - end
        elif _ends_line(text, end):
            return index + text.count("\n", 0, end) + 1
        index += text.count("\n", 0, end)
        found.append(Malformed.of(lines[index]))
        return index + 1


def _decode(text: str) -> tuple[list[Any], int, int | None]:
    """Return the documents up to an end of line, the end of the last, and an error's offset."""
    documents: list[Any] = []
    end = 0
    try:
        while text[end : end + 1] in ("{", "["):
            document, end = _decoder.raw_decode(text, end)
            documents.append(document)
            if _ends_line(text, end):
                break
            end = _next_offset(text, end)
    except json.JSONDecodeError as error:
        return documents, end, error.pos
    except RecursionError:
        return documents, end, len(text)
    return documents, end, None


def _next_offset(text: str, offset: int) -> int:
    """Return the first offset after blanks and commas."""
    return _BETWEEN.match(text, offset).end()  # type: ignore[union-attr]  # it matches nothing, too


def _ends_line(text: str, offset: int) -> bool:
    """Return whether only blanks and commas follow a position in its line."""
    behind = _next_offset(text, offset)
    return text[behind : behind + 1] in ("", "\n")


def _unwrapped(document: Any, paths: Sequence[Path]) -> list[Any]:
    """Return the records of a document: the items of a list or envelope, else the document."""
    if isinstance(document, dict):
        for name in _ENVELOPES:
            if name in document or "." in name:
                whole: Any = document
                records = functools.reduce(_inside, name.split("."), whole)
                if isinstance(records, list) and (not records or any(isinstance(record, dict) for record in records)):
                    is_record = any(path.value(document) is not None for path in paths)
                    return [document] if is_record else records
        return [document]
    return document if isinstance(document, list) else [document]


def _inside(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None

"""Extraction of the container's lines from log files in common file formats.

Compression, JSON, CSV, timestamps, stream names and colours are removed.

Read are plain text and what packs it (a zip download, too); what ``aws logs`` prints as text, with or without times and
stream names; CloudWatch's CSV download; JSON dumps of events (``{"events": [...]}``, results of a query, a list, or one
event a line, Docker's too); tables of Logs Insights, copied as Markdown, as text or from the page; notebooks with their
saved output, and web pages of them; ``docker compose`` with its service names. In a notebook or a terminal SageMaker's
own status texts share lines with the container's: these are taken apart.
"""

from __future__ import annotations

import csv
import html
import io
import json
import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, cast

from ipinsights.data.bounded_lines import LONG_LINE, LONG_LINE_SHOWN, WholeLines
from ipinsights.data.files import peekable
from ipinsights.data.input_streams import opened
from ipinsights.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["LogLine", "read_lines", "unwrap"]

# No number of an event is looked at, and Python refuses integers of thousands of digits.
_decoder = json.JSONDecoder(parse_int=float)

# Python's objects take up to 30 times as much memory as their JSON.
_LONGEST_ITEM = 2**23
_LARGEST_NOTEBOOK = 2**25
_LONG_LINE = LONG_LINE.decode(errors="replace")
_CHUNK = 2**16

_MESSAGE_FIELDS = ("message", "@message", "log")
_STREAM_FIELDS = ("logStreamName", "@logStream", "stream")

# Every pattern here takes time in proportion to the text, which anybody may have written: `test_linear_time.py`.
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\[\d{1,2}(?:;\d{1,3})*m")
# SageMaker's own status lines begin like a line with a timestamp.
_STATUS = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [A-Z]\w+ - ")
_PREFIXES = tuple(
    re.compile(pattern)
    for pattern in (
        r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?: ?(?:Z|[+-]\d\d:?\d\d))?(?:[ \t,]|$)",
        r"\d{13}(?:[ \t,]|$)",
        r"\d{1,5}\t(?=\d{4}-\d\d-\d\dT)",
        r"/aws/sagemaker/\w+(?:[ \t:]|$)",
        r"(?P<stream>[\w./-]+/algo-\d+-\d{9,11})(?:[ \t:,]|$)",
        r"(?=[\w.-]*?\balgo-\d)(?P<stream>[\w.-]+) *\| ?",
    )
)
_TEXT_EVENTS = (
    re.compile(r"EVENTS\t\d{40,}\t\d{13}\t(?P<stream>\S+)\t(?P<text>.*?)(?:\t\d{13})?$"),
    re.compile(r"EVENTS\t\d{13}\t(?P<text>.*?)(?:\t\d{13})?$"),
)
# Where these stand in the middle of a line, something was printed before them without a line's end.
_BEGINNING = re.compile(
    r"(?=\[\d\d/\d\d/\d{4} \d\d:\d\d:\d\d [A-Z]+ \d+)|(?=#metrics \{)|(?=Docker entrypoint called with)"
)
# Messages that were joined by tabs: a container's own tabs stand before these.
_JOINT = re.compile(r"\t(?!Speed: |\w+=)")
_EVENT_LIST = re.compile(r'"(?:events|results)"\s*:\s*\[|^\s*\[(?=\s*["{\[\]])')
_DUMP = re.compile(r'\{\s*"(?:events|results|queryLanguage|next\w*Token|searchedLogStreams)"|\[\s*["{\]]|\[\s*\[\s*\{')
_NOTEBOOK_KEY = re.compile(r'"(?:cells|nbformat)"\s*:')
_PAGE = re.compile(r"<(?:!doctype\s+html|html|head|body|div|pre|\?xml|!--)", re.IGNORECASE)
_TAG = re.compile("<[^<>]*>")
_RULE = re.compile(r"[-|: ]*")
_BETWEEN_ITEMS = re.compile(r"[ \t\r\n,]*")


@dataclass(frozen=True)
class LogLine:
    """One line as the container wrote it."""

    number: int  # of the line in its file, or of the event in its dump, from 1
    stream: str | None  # name of the stream or service it came from, where the wrapping tells
    text: str  # without an end of line, and with tabs where the log system wrote ``#011``


def read_lines(path: Path) -> Iterator[LogLine]:
    """Yield the container's lines of a log file (``-``: standard input), in bounded memory."""
    with opened(path) as stream:
        buffered = peekable(stream)
        head = buffered.peek(_CHUNK)[:_CHUNK].decode("utf-8", "replace").lstrip("\ufeff")
        text = _text(buffered)  # kept to the end, or it would close the file
        for number, name, message in _events(buffered, text, head.lstrip(), path):
            for line in message.splitlines() or [""]:
                for stream_name, piece in unwrap(line):
                    yield LogLine(number, stream_name or name, piece)


def unwrap(line: str) -> list[tuple[str | None, str]]:
    """Return the container's lines in a line, each with the name of its stream or None."""
    stream, text = None, _COLOUR.sub("", line).rstrip().replace("#011", "\t")
    for _ in range(len(_PREFIXES)):
        inner = _without_prefix(text)
        if inner is None:
            break
        stream, text = inner[0] or stream, inner[1]
    return [(stream, piece) for piece in _pieces(text)]


def _without_prefix(text: str) -> tuple[str | None, str] | None:
    if _STATUS.match(text):
        return None
    for pattern in _TEXT_EVENTS:
        if found := pattern.match(text):
            return found.groupdict().get("stream"), found["text"]
    for pattern in _PREFIXES:
        if found := pattern.match(text):
            return found.groupdict().get("stream"), text[found.end() :]
    return None


def _pieces(text: str) -> list[str]:
    pieces = _BEGINNING.split(text)
    if len(pieces) > 2:  # noqa: PLR2004 - more than a status text and a line
        pieces = [part for piece in pieces for part in _JOINT.split(piece)]
    pieces = [piece.rstrip() for piece in pieces]
    return [piece for piece in pieces if piece] or [""]


def _events(stream: IO[bytes], text: IO[str], head: str, path: Path) -> Iterator[tuple[int, str | None, str]]:
    """Return number, stream name and message of each event, by the format of the file."""
    if head.startswith("{") and _NOTEBOOK_KEY.search(head):
        return _notebook(text, path)
    if _DUMP.match(head):
        return _json_dump(text)
    if "@message" in (names := _table_names(head)):
        return _copied_table(stream, names)
    if _PAGE.match(head):
        return ((number, name, _page_text(line)) for number, name, line in _plain(stream))
    columns = next(csv.reader(head.replace("\0", "\ufffd").splitlines()[:1]), [])
    if len(columns) > 1 and any(field in columns for field in _MESSAGE_FIELDS[:2]):
        return _csv_download(stream, path)
    return _plain(stream)


def _text(stream: IO[bytes] | WholeLines) -> IO[str]:
    return io.TextIOWrapper(cast("IO[bytes]", stream), encoding="utf-8-sig", errors="replace")


def _plain(stream: IO[bytes]) -> Iterator[tuple[int, str | None, str]]:
    for number, given in enumerate(_text(WholeLines(stream)), 1):
        line = given if given.strip() != _LONG_LINE else LONG_LINE_SHOWN
        event = _json_event(line)
        yield (number, None, line) if event is None else (number, *event)


def _table_names(head: str) -> list[str]:
    """Return the names in the header of a table between bars, with a rule above it or without."""
    lines = head.split("\n", 2)
    line = lines[1 if lines[0].strip("-\r") == "" and len(lines) > 1 else 0].strip()
    return [name.strip() for name in line[1:-1].split("|")] if line.startswith("|") else []


def _copied_table(stream: IO[bytes], columns: list[str]) -> Iterator[tuple[int, str | None, str]]:
    """Yield the rows of a table of Logs Insights. Only the message may have bars in it."""
    before = columns.index("@message")
    after = len(columns) - before - 1
    for number, line in enumerate(_text(WholeLines(stream)), 1):
        row = line.strip().removeprefix("|").removesuffix("|")
        cells = row.split("|", before)
        if len(cells) <= before or _RULE.fullmatch(row):
            continue
        cells[before:] = cells[before].rsplit("|", after) if after else cells[before:]
        event = _message(
            dict(zip(columns, (cell.removeprefix(" ").rstrip().replace("\\|", "|") for cell in cells), strict=False))
        )
        if event and event[1] != "@message":
            yield (number, *event)


def _page_text(line: str) -> str:
    """Return what a browser shows of a line of a web page."""
    text = _TAG.sub("", line)
    try:
        return html.unescape(text)
    except ValueError:  # a reference to a character with thousands of digits
        return text


def _json_event(line: str) -> tuple[str | None, str] | None:
    """Return stream and message if the line is an event in JSON, or None."""
    if not line.startswith("{"):
        return None
    try:
        return _message(_decoder.decode(line))
    except (ValueError, RecursionError):
        return None


def _message(event: Any) -> tuple[str | None, str] | None:
    if isinstance(event, str):
        return None, _unicode(event)
    if isinstance(event, list):  # the fields of a query's result, {"field": name, "value": value} each
        event = {pair.get("field"): pair.get("value") for pair in event if isinstance(pair, dict)}
    if not isinstance(event, dict):
        return None
    texts = [event[name] for name in _MESSAGE_FIELDS if isinstance(event.get(name), str)]
    streams = [event[name] for name in _STREAM_FIELDS if "algo-" in str(event.get(name))]
    return (_unicode(str(streams[0])) if streams else None, _unicode(texts[0])) if texts else None


def _unicode(text: str) -> str:
    """Return a text with escapes for halves of surrogate pairs, which JSON may have."""
    return text.encode("utf-8", "backslashreplace").decode()


def _csv_download(stream: IO[bytes], path: Path) -> Iterator[tuple[int, str | None, str]]:
    lines = WholeLines(stream)
    try:
        for number, row in enumerate(csv.DictReader(_text(lines)), 2):
            lines.begin_row()
            event = _message(row)
            if event:
                yield (number, *event)
    except csv.Error as error:
        raise ClientError(f"{path} is no CSV download of CloudWatch: {error}.") from None


def _notebook(stream: IO[str], path: Path) -> Iterator[tuple[int, str | None, str]]:
    text = stream.read(_LARGEST_NOTEBOOK + 1)
    if len(text) > _LARGEST_NOTEBOOK:
        raise ClientError(
            f"{path} is a notebook of more than {_LARGEST_NOTEBOOK:,} characters. Save the log that it shows as a file."
        )
    try:
        cells = json.loads(text)["cells"]
        outputs = [output for cell in cells for output in cell.get("outputs", ())]
        printed = "".join(map(_printed, outputs))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ClientError(f"{path} begins like a notebook and cannot be read as one.") from None
    if not printed.strip():
        raise ClientError(
            f"{path} is a notebook without saved output. Run its cells and save it, or use the job's log."
        )
    for number, line in enumerate(printed.splitlines(), 1):
        yield number, None, line


def _printed(output: dict[str, Any]) -> str:
    """Return the text of a cell's output: of a stream, or as it displays a value."""
    text = output.get("text") or output.get("data", {}).get("text/plain", "")
    return f"{text}\n" if isinstance(text, str) else "".join([*text, "\n"])


def _json_dump(stream: IO[str]) -> Iterator[tuple[int, str | None, str]]:
    """Read the events of one dump or of several one after another, an event at a time."""
    for number, event in enumerate(_list_items(stream), 1):
        message = _message(event)
        if message:
            yield (number, *message)


def _list_items(stream: IO[str]) -> Iterator[Any]:
    waiting, inside = stream.read(_CHUNK), False
    while waiting:
        if not inside:
            found = _EVENT_LIST.search(waiting)
            waiting, inside = (waiting[found.end() :], True) if found else (waiting[-100:], False)
        end = 0
        while inside:
            start = cast("re.Match[str]", _BETWEEN_ITEMS.match(waiting, end)).end()
            try:
                item, end = _decoder.raw_decode(waiting, start)
            except (ValueError, RecursionError):
                waiting = waiting[start:]
                inside = not waiting.startswith("]") and len(waiting) < _LONGEST_ITEM
                break
            yield item
        # An item that is not complete is read again from its beginning: with twice as much, not with a little more.
        more = stream.read(max(_CHUNK, len(waiting)))
        if not more and not (not inside and _EVENT_LIST.search(waiting)):
            return
        waiting += more

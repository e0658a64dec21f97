"""Lines of ``key=value`` pairs: logfmt, Keycloak's events and similar logs with a time.

A line may be an object of JSON with such a message, as Keycloak and containers write it. Its fields are fields, too.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any

import orjson

from ipinsights.data.bounded_lines import LONG_LINE
from ipinsights.data.input_streams import line_blocks
from ipinsights.etl.json_documents import BLANK, Malformed
from ipinsights.etl.json_records import records_of
from ipinsights.etl.records import names_or

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipinsights.etl.records import LogOptions, LogRecords

__all__ = ["pairs_of", "read_logfmt"]

# A key begins where no key can stand before it, so that a long word is looked at once.
_PAIR = re.compile(r"""(?<![\w.@-])([A-Za-z_@][\w.@-]*)=(?:"((?:[^"\\]|\\.)*)(?:"|\\?$)|'([^']*)'|([^\s,;]*))""")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
_TIME = re.compile(
    r"\[?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?: ?(?:Z|[+-]\d\d:?\d\d))?"
    r"|\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})"
)
_TIMES = ("timestamp", "time", "ts", "@timestamp")
_MESSAGES = ("message", "msg", "log", "MESSAGE")


def read_logfmt(stream: IO[bytes], options: LogOptions) -> Iterator[LogRecords]:
    """Yield the records of lines of ``key=value`` pairs.

    The fields are entity, ip and timestamp. Without a timestamp, the time at the beginning of the line is used, or the
    fields date, time and tz of firewalls together.
    """
    time, options = options.time_column(), replace(options, timestamp=names_or(options.timestamp, _TIMES))
    for block in line_blocks(stream):
        yield records_of(list(map(_record, block.to_pylist())), options, time)


def pairs_of(line: str) -> dict[str, str]:
    r"""Return the pairs of a line.

    >>> pairs_of(r'user=alice msg="it\'s \"me\"", ip="192.0.2.1"')
    {'user': 'alice', 'msg': 'it\'s "me"', 'ip': '192.0.2.1'}
    """
    pairs: dict[str, str] = {}
    for key, double, single, bare in _PAIR.findall(line):
        value = _ESCAPE.sub(lambda found: _ESCAPES.get(found[1], found[1]), double) if double else single or bare
        pairs.setdefault(key, value)
    return pairs


def _object(raw: bytes) -> dict[str, Any] | None:
    """Return the fields of a line of JSON and the pairs of its message, or None for other lines."""
    try:
        record = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    message = next((record[name] for name in _MESSAGES if isinstance(record.get(name), str)), "")
    return {**pairs_of(message), **record}


def _record(raw: bytes) -> Any:
    if raw == LONG_LINE:
        return Malformed("(a long line)")
    if raw.lstrip().startswith(b"{") and (record := _object(raw)) is not None:
        return record
    line = raw.decode("utf-8", errors="backslashreplace")
    if not line.strip():
        return BLANK
    pairs = pairs_of(line)
    if not pairs:
        return Malformed.of(raw)
    if found := _TIME.match(line):
        pairs.setdefault("timestamp", found[1])
    elif "date" in pairs and "time" in pairs:
        pairs.setdefault("timestamp", f"{pairs['date']}T{pairs['time']}{pairs.get('tz', '')}")
    return pairs

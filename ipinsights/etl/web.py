"""Access logs of Apache and nginx: Common and Combined Log Format, also with virtual host.

A line with another field before the time is malformed: where the user stands in it cannot be known.
Sources: Apache's mod_log_config (``common``, ``combined``, ``vhost_combined``, escapes as of 2.0.46) and nginx's
ngx_http_log_module (``combined``). Both write ``-`` for no user and escape quotes inside of quotes.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from ipinsights.data.arrow import as_text, mask
from ipinsights.data.input_streams import line_blocks
from ipinsights.data.timestamps import parse_clf_times, parse_times
from ipinsights.etl.records import LogRecords, Reason, blank_or_none, line_text
from ipinsights.etl.web_format import CLF_TIME, read_formatted

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from ipinsights.etl.records import LogOptions

__all__ = ["FIELDS", "read_web"]

_ISO_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:?[0-9]{2})"
_TIME = rf"(?:{CLF_TIME}|{_ISO_TIME})"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_REST = rf"(?P<rest>{_QUOTED} [0-9]{{3}}(?s:.*))$"
# RE2 takes a line in one pass if it never has to choose and keeps four groups at most. This does a million a second.
_ONE_WORD = r'(?:[^ "\\]|\\[^ ])+|""'
_USUAL = rf'^(?P<ip>[^ ]+) (?:-|[A-Za-z_][^ ]*) (?P<user>[^ "\\]+) \[(?P<time>{CLF_TIME})\] {_REST}'
# HTTP Basic allows blanks in a name, and neither server escapes them. Such a name consists of words. A number, a host,
# an address or a dash next to it is a field of a format that is not known here.
_WORD = r"""[A-Za-z\x80-\xff](?:[^ "\\.:/=\[\]0-9]|\\[^ ])*\.?"""
_NAME = rf"(?P<user>{_ONE_WORD}|{_WORD}(?: {_WORD})+)"
_ONE_ADDRESS = r"\[?[0-9A-Fa-f]*[.:][0-9A-Fa-f:.]+(?:%[^ ,]*)?\]?(?::[0-9]+)?"
_ADDRESSES = rf'"?{_ONE_ADDRESS}(?:, ?{_ONE_ADDRESS})*"?'
# A virtual host has a letter. A number in front is another address, and nobody knows which of the two is the client's.
_VIRTUAL_HOST = r"[0-9.-]*[A-Za-z_*][^ :]*(?::[0-9]+)? "
# ingress-nginx has the address again, or those it was forwarded for, and a dash behind it.
_IDENTITY = r"(?:-|[A-Za-z_][^ ]*|[0-9]+|- \[[0-9A-Fa-f:., ]*\] -)"
_ANY = rf"^(?:{_VIRTUAL_HOST})?(?P<ip>{_ADDRESSES}) {_IDENTITY} {_NAME} \[(?P<time>{_TIME})\] {_REST}"

_AFTER_STATUS = rf"^{_QUOTED} [0-9]{{3}} [^ ]+"
FIELDS = {
    "method": r'^"(?P<value>[^ "]+) ',
    "path": r'^"[^ "]+ (?P<value>[^ ?"]+)',
    "status": rf"^{_QUOTED} (?P<value>[0-9]{{3}})",
    "referer": rf'{_AFTER_STATUS} "(?P<value>(?:[^"\\]|\\.)*)"',
    "agent": rf'{_AFTER_STATUS} {_QUOTED} "(?P<value>(?:[^"\\]|\\.)*)"',
}
"""Fields to filter by, and how each is found behind the time; the path is without its query."""
_KNOWN_FIELDS = f"The fields are {', '.join(FIELDS)}."


def read_web(stream: IO[bytes], options: LogOptions) -> Iterator[LogRecords]:
    """Yield the records of an access log, one a line."""
    if options.line_format is not None:
        yield from read_formatted(stream, options)
        return
    names = _Names()
    for lines in line_blocks(stream):
        yield _records(lines, names)


def _records(lines: pa.BinaryArray, names: _Names) -> LogRecords:
    ip, user, time, rest = _matched(lines, names)
    malformed = mask(ip.is_null())
    times, timed = _times(time)
    reasons = blank_or_none(lines)
    reasons[(reasons == Reason.NONE) & malformed] = Reason.MALFORMED

    def field(name: str) -> pa.StringArray | None:
        return as_text(pc.extract_regex(rest, FIELDS[name]).flatten()[0]) if name in FIELDS else None

    return LogRecords(user, as_text(ip), times, timed, reasons, _KNOWN_FIELDS, field, line_text(lines))


def _times(time: pa.BinaryArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the times of lines, null if missing. Most lines have the Common Log Format."""
    is_iso = pc.match_substring_regex(time, "^[0-9]{4}-").fill_null(False)
    clf = pc.if_else(is_iso, None, time)
    times, timed = parse_clf_times(clf.fill_null(b"01/Jan/1970:00:00:00 +0000"))
    if pc.any(is_iso).as_py():
        is_other = mask(is_iso)
        times[is_other], timed[is_other] = parse_times(as_text(time.filter(is_iso)))
    return times, timed


def _matched(lines: pa.BinaryArray, names: _Names) -> list[Any]:
    """Return the columns ip, user, time and the rest, (n,) each, null where a line is malformed."""
    usual = pc.extract_regex(lines, _USUAL)
    missed = usual.is_null()
    found = pc.extract_regex(lines.filter(missed), _ANY)
    known = names.known(found, num_usual=len(lines) - len(found))
    return [
        pc.replace_with_mask(column, missed, pc.if_else(known, rest, None))
        for column, rest in zip(usual.flatten(), found.flatten(), strict=True)
    ]


class _Names:
    """Decides for one log whether names of several words are names.

    A further field stands in every line, and blanks stand in few names: several words in most lines are fields.
    """

    def __init__(self) -> None:
        self._num_names = 0
        self._num_of_words = 0

    def known(self, found: pa.StructArray, *, num_usual: int) -> pa.BooleanArray:
        """Return whether the lines that match have a user name, shape (n,).

        ``num_usual`` is the number of other lines with a name.
        """
        has_blank = pc.match_substring(found.field("user"), " ").fill_null(False)
        self._num_names += num_usual + len(found) - found.null_count
        self._num_of_words += pc.sum(has_blank).as_py() or 0
        return pc.invert(has_blank) if 2 * self._num_of_words > self._num_names else pa.array([True] * len(found))

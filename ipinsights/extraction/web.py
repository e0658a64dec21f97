"""Access logs of Apache and nginx: Common and Combined Log Format, with or without the virtual host in front.

Sources: Apache's mod_log_config (``common``, ``combined``, ``vhost_combined``, escapes as of 2.0.46) and nginx's
ngx_http_log_module (``combined``). Both write ``-`` for no user and escape quotes inside of quotes.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import pyarrow.compute as pc

from ipinsights.extraction.files import line_blocks
from ipinsights.extraction.records import Reason, Records, as_text, blank_or_none, mask
from ipinsights.timestamps import parse_clf_times

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from ipinsights.extraction.records import Columns

__all__ = ["FIELDS", "read_web"]

_TIME = r"[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9]{2}:[0-9]{2}:[0-9]{2} [+-][0-9]{4}"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_REST = rf"(?P<rest>{_QUOTED} [0-9]{{3}}(?s:.*))$"
# RE2 takes a line in one pass if it never has to choose and keeps four groups at most; this does a million a second.
_USUAL = rf"^(?P<ip>[^ ]+) [^ ]+ (?P<user>[^ ]+) \[(?P<time>{_TIME})\] {_REST}"
# A user's name may hold spaces (HTTP Basic allows them, and neither server escapes them); nor need it stand first.
_ANY = rf"^(?:[^ :]+:[0-9]+ )?(?P<ip>[^ ]+) [^ ]+ (?P<user>.+?) \[(?P<time>{_TIME})\] {_REST}"

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


def read_web(stream: IO[bytes], columns: Columns) -> Iterator[Records]:  # noqa: ARG001 - every reader has both
    """Give the records of an access log, one a line."""
    for lines in line_blocks(stream):
        yield _records(lines)


def _records(lines: pa.BinaryArray) -> Records:
    ip, user, time, rest = _matched(lines)
    malformed = mask(ip.is_null())
    times, timed = parse_clf_times(time.fill_null(b"01/Jan/1970:00:00:00 +0000"))
    reasons = blank_or_none(lines)
    reasons[(reasons == Reason.NONE) & malformed] = Reason.MALFORMED

    def field(name: str) -> pa.StringArray | None:
        return as_text(pc.extract_regex(rest, FIELDS[name]).flatten()[0]) if name in FIELDS else None

    return Records(as_text(user), as_text(ip), times, timed, reasons, _KNOWN_FIELDS, field)


def _matched(lines: pa.BinaryArray) -> list[Any]:
    """Give the columns ip, user, time and the rest, (n,) each, null where a line is malformed."""
    usual = pc.extract_regex(lines, _USUAL)
    missed = usual.is_null()
    found = pc.extract_regex(lines.filter(missed), _ANY)
    return [
        pc.replace_with_mask(column, missed, rest)
        for column, rest in zip(usual.flatten(), found.flatten(), strict=True)
    ]

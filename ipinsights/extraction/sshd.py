"""Log-ins in the log of OpenSSH's server: ``auth.log``, ``secure`` or the journal, as any syslog writes it.

Sources: ``auth_log`` in OpenSSH's auth.c, which writes every result of an authentication (up to 9.7 as sshd, from 9.8
on as sshd-session); RFC 3164, RFC 5424 and RFC 3339 for what stands in front. rsyslog folds repeated lines into one;
that is one record.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ipinsights.extraction.files import line_blocks
from ipinsights.extraction.records import Reason, Records, as_text, blank_or_none, mask
from ipinsights.timestamps import parse_syslog_times, parse_times

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ipinsights.extraction.records import Columns

__all__ = ["read_sshd"]

_OLD_TIME = r"[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2}"
_NEW_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.,]+(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
_LINE = (
    rf"^(?:<[0-9]{{1,3}}>(?:1 )?)?(?P<time>{_OLD_TIME}|{_NEW_TIME}) (?P<host>[^ ]+) "
    r"(?P<program>[^ :\[]+)(?:\[[0-9]+\])?(?:: | (?:[0-9]+|-) (?:[^ ]+) (?:-|\[.*?\]) )?(?P<message>(?s:.*))$"
)
_PROGRAMS = [b"sshd", b"sshd-session", b"sshd-auth"]
# A name may be anything, " from 192.0.2.1 port 22 ssh2" too: the last such words are the server's own.
_RESULT = (
    r"^(?:message repeated [0-9]+ times: \[ )?(?P<event>Accepted|Failed) (?P<method>[^ ]+) for "
    r"(?P<invalid>invalid user )?(?P<user>.*) from (?P<ip>[^ ]+) port [0-9]+(?: ssh2)?(?::? .*)?\]?$"
)
_FIELDS = ("event", "method", "host", "invalid_user")
_KNOWN_FIELDS = f"The fields are {', '.join(_FIELDS)}."


def read_sshd(stream: IO[bytes], columns: Columns) -> Iterator[Records]:
    """Give the records of a log of sshd, one a line."""
    clock = _Clock(columns)
    for lines in line_blocks(stream):
        yield _records(lines, clock)


def _records(lines: pa.BinaryArray, clock: _Clock) -> Records:
    line = pc.extract_regex(lines, _LINE)
    time, host, program, message = line.flatten()
    is_ours = pc.is_in(program, pa.array(_PROGRAMS))
    event, method, invalid, user, ip = pc.extract_regex(pc.if_else(is_ours, message, b""), _RESULT).flatten()
    reasons = blank_or_none(lines)
    reasons[(reasons == Reason.NONE) & mask(line.is_null())] = Reason.MALFORMED
    reasons[(reasons == Reason.NONE) & mask(event.is_null())] = Reason.OTHER
    named = pc.if_else(pc.equal(invalid, b"invalid user "), "yes", "no")
    fields = dict(zip(_FIELDS, (as_text(event), as_text(method), as_text(host), named), strict=True))
    return Records(as_text(user), as_text(ip), *clock.read(as_text(time)), reasons, _KNOWN_FIELDS, fields.get)


class _Clock:
    """Reads the times of one file, and finds out the years that they leave out."""

    def __init__(self, columns: Columns) -> None:
        self._zone = columns.zone
        self._year = columns.year
        self._written = columns.written
        self._month = 0

    def read(self, texts: pa.StringArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Give the times of some lines, null for none, and whether they are some."""
        texts = texts.fill_null("")
        old = pc.match_substring_regex(texts, f"^{_OLD_TIME}$")
        is_old = mask(old)
        times, timed = np.zeros(len(texts), dtype=np.int64), np.zeros(len(texts), dtype=bool)
        times[~is_old], timed[~is_old] = parse_times(texts.filter(pc.invert(old)), zone=self._zone)
        if is_old.any():
            times[is_old], timed[is_old] = self._read_old(texts.filter(old))
        return times, timed

    def _read_old(self, texts: pa.StringArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        year = self._first_year(texts) if self._year is None else self._year
        times, timed, self._year, self._month = parse_syslog_times(texts, year=year, after=self._month, zone=self._zone)
        return times, timed

    def _first_year(self, texts: pa.StringArray) -> int:
        """Give the last year in which the first line can have been written by the day of the file's last."""
        year = self._written.year
        times, _, *_ = parse_syslog_times(texts[:1], year=year)
        tomorrow = np.datetime64(self._written) + np.timedelta64(1, "D")
        return year - int(np.datetime64(int(times[0]), "us").astype("datetime64[D]") > tomorrow)

"""Log-ins in the log of OpenSSH's server, such as ``auth.log``, ``secure`` or the journal.

Sources: ``auth_log`` in OpenSSH's auth.c, which writes every result of an authentication (up to 9.7 as sshd, from 9.8
on as sshd-session), and RFC 3164, RFC 5424 and RFC 3339 for the prefix. rsyslog folds repeated lines into one line,
which is one record.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ipinsights.data.arrow import as_text, mask
from ipinsights.data.timestamps import parse_syslog_times, parse_times
from ipinsights.errors import ClientError
from ipinsights.etl.journal import syslog_blocks
from ipinsights.etl.records import LogRecords, Reason, blank_or_none, line_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ipinsights.etl.records import LogOptions

__all__ = ["read_sshd"]

_CLOCK = r"[0-9]{2}:[0-9]{2}:[0-9]{2}"
_OLD_TIME = rf"[A-Z][a-z]{{2}} [ 0-9]?[0-9] {_CLOCK}(?:\.[0-9]{{1,9}})?"
_OFFSET = r"(?: ?(?:Z|UTC|[+-][0-9]{2}:?[0-9]{2}))?"
_NEW_TIME = rf"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[T _]{_CLOCK}(?:[.,][0-9]{{1,9}})?{_OFFSET}"
_WEEKDAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) "
# As `docker compose logs`, the runtime of Kubernetes and `docker logs -t` put it in front of a line.
_CONTAINER = rf"(?:[\w.-]+ *\| )?(?:{_NEW_TIME} (?:(?:stdout|stderr) [FP] )?)?"
_EPOCH = r"[0-9]{9,10}(?:\.[0-9]{1,9})?"
_LINE = (
    rf"^{_CONTAINER}(?:<[0-9]{{1,3}}>(?:1 )?)?(?:{_WEEKDAY})?(?P<time>{_OLD_TIME}|{_NEW_TIME}|{_EPOCH}) {{1,2}}"
    r"(?:<[a-z0-9.]+> )?(?P<host>[^ ]+) "
    r"(?P<program>[^ :\[]+)(?:\[[0-9]+\])?(?:: | (?:[0-9]+|-) (?:[^ ]+) (?:-|\[.*?\]) (?:\xef\xbb\xbf)?)?"
    r"(?P<message>(?s:.*))$"
)
# A supervisor or a container puts nothing but a time before what the server prints.
_BARE = (
    rf"^(?:[\w.-]+ *\| )?(?:(?P<time>{_NEW_TIME}|{_EPOCH}) (?:(?:stdout|stderr) [FP] )?)?"
    r"(?P<message>(?:message repeated [0-9]+ times: \[ )?(?:Accepted|Failed) [^ ]+ for (?s:.*))$"
)
_PROGRAM = r"^(?:sshd|sshd-session|sshd-auth|sshd?(?:@.*)?\.service)$"
# The server writes " from ADDRESS port N ssh2" behind the name, and then nothing, or a colon and what the client showed
# (a key, the identity in a certificate). What was shown may hold such words again, so the server's own are the first of
# a log-in that succeeded: its method and its user exist. See `_refused_or_last` for the others.
_FRONT = r"^(?:\[ID [0-9]+ [a-z0-9.]+\] )?(?:message repeated [0-9]+ times: \[ )?"
_ADDRESS = r" from (?P<ip>[^ ]+) port [0-9]+(?: ssh2)?"
_END = r"(?: \[preauth\])?\]?$"
_RESULT = (
    rf"{_FRONT}(?P<event>Accepted|Failed) (?P<method>[^ ]+) for (?P<invalid>invalid user )?"
    rf"(?P<user>.*?){_ADDRESS}(?:: .*)?{_END}"
)
# Nothing that a client shows follows the address for these methods.
_LAST = (
    rf"{_FRONT}Failed (?:password|none|keyboard-interactive(?:/[a-z]+)?) for (?:invalid user )?"
    rf"(?P<user>.*){_ADDRESS}{_END}"
)
_ANY_ADDRESS = r" from [^ ]+ port [0-9]+"
# sshd cuts a message at 1023 bytes, syslog perhaps a line at 1024: the server's own address may be missing.
_LONGEST_FAILURE = 900
_FIELDS = ("event", "method", "host", "invalid_user")
# A result in a line whose front is not known, which must not be lost among the lines about something else.
_MISSED = r"[ /]sshd[^ ]*: (?:.* )?(?:Accepted|Failed) [^ ]+ for .* from [^ ]+ port [0-9]+"
_CLOCK_SPAN, _FRACTION_SPAN = (0, 15), (16, 22)
_LONGEST_WITHOUT_LEAP_YEAR = 9
_KNOWN_FIELDS = f"The fields are {', '.join(_FIELDS)}."


def read_sshd(stream: IO[bytes], options: LogOptions) -> Iterator[LogRecords]:
    """Yield the records of a log of sshd, one per line."""
    clock = _Clock(options)
    for lines in syslog_blocks(stream):
        yield _records(lines, clock)


def _records(lines: pa.BinaryArray, clock: _Clock) -> LogRecords:
    line = pc.extract_regex(lines, _LINE)
    time, host, program, message = line.flatten()
    is_ours = pc.match_substring_regex(program, _PROGRAM).fill_null(False)
    is_unread, is_unknown = line.is_null(), pc.invert(is_ours)
    bare = pc.extract_regex(lines.filter(is_unknown), _BARE)
    if bare.null_count < len(bare):
        bare_time, bare_message = (_scattered(values, is_unknown) for values in bare.flatten())
        is_bare = bare_message.is_valid()
        time, message = pc.if_else(is_bare, bare_time, time), pc.if_else(is_bare, bare_message, message)
        is_ours, is_unread = pc.or_(is_ours, is_bare), pc.and_(is_unread, pc.invert(is_bare))
    message = pc.if_else(is_ours, message, b"")
    event, method, invalid, user, ip = pc.extract_regex(message, _RESULT).flatten()
    user, ip, is_refused = _refused_or_last(message, event, user, ip)
    reasons = blank_or_none(lines)
    reasons[is_refused] = Reason.MALFORMED
    reasons[(reasons == Reason.NONE) & mask(is_unread)] = Reason.MALFORMED
    reasons[(reasons == Reason.NONE) & mask(event.is_null())] = Reason.OTHER
    is_missed = pc.match_substring_regex(lines.filter(pa.array(reasons == Reason.OTHER)), _MISSED)
    reasons[np.flatnonzero(reasons == Reason.OTHER)[mask(is_missed)]] = Reason.MALFORMED
    named = pc.if_else(pc.equal(invalid, b"invalid user "), "yes", "no")
    fields = dict(zip(_FIELDS, (as_text(event), as_text(method), as_text(host), named), strict=True))
    return LogRecords(
        user, as_text(ip), *clock.read(as_text(time)), reasons, _KNOWN_FIELDS, fields.get, line_text(lines)
    )


def _refused_or_last(
    message: pa.BinaryArray, event: pa.BinaryArray, user: pa.BinaryArray, ip: pa.BinaryArray
) -> tuple[pa.BinaryArray, pa.BinaryArray, NDArray[np.bool_]]:
    """Return users and addresses of results, and which results are ambiguous.

    Of an attempt that failed, the method, the name of an unknown user and the identity in a certificate are whatever
    the client sends. Of several addresses, the last is the server's if nothing of the client's can follow.
    """
    is_failed = pc.equal(event, b"Failed").fill_null(False)
    is_long = pc.greater(pc.binary_length(message), _LONGEST_FAILURE)
    is_odd = pc.and_(is_failed, pc.or_(is_long, pc.greater(pc.count_substring(message, " from "), 1)))
    if not mask(is_odd).any():
        return user, ip, mask(is_odd)
    odd = message.filter(is_odd)
    last_user, last_ip = pc.extract_regex(odd, _LAST).flatten()
    is_single = pc.equal(pc.count_substring_regex(odd, _ANY_ADDRESS), 1)
    is_read = pc.and_(pc.or_(is_single, last_ip.is_valid()), pc.invert(is_long.filter(is_odd)))
    user = pc.replace_with_mask(user, is_odd, pc.if_else(is_single, user.filter(is_odd), last_user))
    ip = pc.replace_with_mask(ip, is_odd, pc.if_else(is_single, ip.filter(is_odd), last_ip))
    is_refused = mask(is_odd)
    is_refused[is_refused] = ~mask(is_read)
    return user, ip, is_refused


def _scattered(values: pa.Array, is_there: pa.BooleanArray) -> pa.Array:
    """Return values where a mask (n,) is true, null elsewhere."""
    index = pc.subtract(pc.cumulative_sum(is_there.cast(pa.int64())), 1)
    return values.take(pc.if_else(is_there, index, None))


class _Clock:
    """Reads the times of one file, and finds out the years that they leave out."""

    def __init__(self, options: LogOptions) -> None:
        self._zone = options.timezone
        self._year = options.year
        self._written = options.written
        self._month = 0
        self._is_guess = False

    def read(self, texts: pa.StringArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the times of texts, where null is missing, and a mask of valid times."""
        texts = texts.fill_null("")
        old = pc.match_substring_regex(texts, f"^{_OLD_TIME}$")
        is_old = mask(old)
        times, timed = np.zeros(len(texts), dtype=np.int64), np.zeros(len(texts), dtype=bool)
        times[~is_old], timed[~is_old] = parse_times(texts.filter(pc.invert(old)), zone=self._zone)
        if is_old.any():
            times[is_old], timed[is_old] = self._read_old(texts.filter(old))
        return times, timed

    def _read_old(self, texts: pa.StringArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        texts = pc.replace_substring_regex(texts, "^([A-Z][a-z]{2}) ([0-9]) ", r"\1  \2 ")
        clocks, fractions = (pc.utf8_slice_codeunits(texts, *span) for span in (_CLOCK_SPAN, _FRACTION_SPAN))
        year = self._first_year(clocks) if self._year is None else self._year
        times, timed, self._year, self._month = parse_syslog_times(
            clocks, year=year, after=self._month, zone=self._zone
        )
        if self._is_guess and (_is_leap_day(clocks) & ~timed).any():
            raise ClientError("The log has a 29th of February that its year has not. Name the year with `year`.")
        micros = pc.utf8_rpad(fractions, 6, padding="0").cast(pa.int64()).to_numpy()
        return np.where(timed, times + micros, 0), timed

    def _first_year(self, clocks: pa.StringArray) -> int:
        """Return the last year for the first line in which its days exist, also a 29th of February."""
        self._is_guess = True
        latest = self._written.year
        times, _, *_ = parse_syslog_times(clocks[:1], year=latest)
        tomorrow = np.datetime64(self._written) + np.timedelta64(1, "D")
        latest -= int(np.datetime64(int(times[0]), "us").astype("datetime64[D]") > tomorrow)
        leap_days = _is_leap_day(clocks)
        years = range(latest, latest - _LONGEST_WITHOUT_LEAP_YEAR, -1) if leap_days.any() else [latest]
        return next((year for year in years if parse_syslog_times(clocks, year=year)[1][leap_days].all()), latest)


def _is_leap_day(clocks: pa.StringArray) -> NDArray[np.bool_]:
    return mask(pc.starts_with(clocks, "Feb 29 "))

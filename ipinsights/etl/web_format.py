"""Web server logs in a format given in the notation of nginx or Apache.

Sources: nginx's ngx_http_log_module (``log_format``), Apache's mod_log_config (``LogFormat``). Both write ``-`` for no
value. Which variable is the user, the client and the time follows from its name, and another one can be chosen.
"""

from __future__ import annotations

import re
from typing import IO, TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from ipinsights.data.arrow import as_text, mask
from ipinsights.data.input_streams import line_blocks
from ipinsights.data.timestamps import TimeColumn
from ipinsights.errors import ClientError
from ipinsights.etl.field_values import first_addresses, first_values
from ipinsights.etl.records import LogRecords, Reason, blank_or_none, line_text, names_or, timeless

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ipinsights.etl.records import LogOptions

__all__ = ["CLF_TIME", "WebFormat", "read_formatted"]

_NAMED = {
    "common": '%h %l %u %t "%r" %>s %b',
    "combined": '%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-agent}i"',
    "vhost_combined": '%v:%p %h %l %u %t "%r" %>s %O "%{Referer}i" "%{User-agent}i"',
}
_NGINX = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_APACHE = re.compile(r"%[<>]?(?:!?\d{3}(?:,\d{3})*)?((?:\{[^}]*\})?\^?[A-Za-z]{1,2}|%)")
_LONGEST_FORMAT = 10_000
# A directive of a configuration, or its quoted parts alone.
_PARTS = re.compile(r"""'[^']*'|"(?:[^"\\]|\\.)*\"""")
_COPIED = re.compile(
    r"""\s*(?:log_format\s+\w+\s+(?:escape=\w+\s+)?|LogFormat\s+)?"""
    r"""(?P<parts>'[^']*'(?:\s*'[^']*')*|"(?:[^"\\]|\\.)*")(?:\s*;|\s+\w+)?\s*"""
)
CLF_TIME = r"[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9]{2}:[0-9]{2}:[0-9]{2} [+-][0-9]{4}"
_ISO = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.,]+(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
# Values that are known by their name. %t has its brackets.
_VALUES = {
    "time_local": CLF_TIME, "t": CLF_TIME, "time_iso8601": _ISO, "msec": _NUMBER, "{sec}t": "[0-9]+",
    "{msec}t": "[0-9]+", "{usec}t": "[0-9]+",
}  # fmt: skip
_USERS = ("remote_user", "u")
_ADDRESSES = ("remote_addr", "h", "a", "{c}a")
_REQUESTS = ("request", "r")
# Fields to filter by, and where each is found.
_METHOD, _PATH = "^(?P<value>[^ ]+) ", "^[^ ]+ (?P<value>[^ ?]+)"
_ALIASES = {
    "status": ("status", "s"),
    "referer": ("http_referer", "{referer}i"),
    "agent": ("http_user_agent", "{user-agent}i"),
    "method": ("request_method", "m"),
    "path": ("uri", "U", "request_uri"),
}


class WebFormat:
    """A format of lines in the notation of nginx or Apache, or a name of Apache's for one."""

    def __init__(self, text: str) -> None:
        notation = _NAMED.get(text) or _notation(text)
        variables = _NGINX if "$" in notation else _APACHE
        # Names of variables, None for literal text, each with the pattern of what stands there.
        self._parts: list[tuple[str | None, str]] = []
        end = 0
        for found in variables.finditer(notation[:_LONGEST_FORMAT]):
            literal, name = notation[end : found.start()], next(filter(None, found.groups()))
            end = found.end()
            self._parts.append((None, _escaped(literal)))
            is_sign = name == "%"  # %% stands for the sign itself
            pattern = _escaped(name) if is_sign else _pattern(name, literal, notation[end : end + 1])
            self._parts.append((None if is_sign else name, pattern))
        self._parts.append((None, _escaped(notation[end:])))
        self.names = [name for name, _ in self._parts if name is not None]
        if not self.names:
            raise ClientError(
                f"`line_format` must have variables of nginx ($remote_addr) or Apache (%h). Got {text!r}."
            )

    def name_of(self, wanted: str) -> str | None:
        """Return the variable of a name, with or without its sign, or None."""
        bare = wanted.lstrip("$%").strip("<>").lower()
        exact = [name for name in self.names if name.lower() == bare or name.lower() == f"{{{bare}}}i"]
        return exact[0] if exact else None

    def first_of(self, names: tuple[str, ...]) -> str | None:
        """Return the first variable with one of the names, or None."""
        return next((name for name in names if name in self.names), None)

    def pattern(self, name: str) -> str:
        """Return a regular expression (RE2) of a line, with a group ``value`` for a variable."""
        whole, kind = "", "?P<value>"
        for variable, pattern in self._parts:
            if variable is None:
                whole += pattern
                continue
            is_wanted = variable == name and kind not in whole
            group = f"({kind if is_wanted else '?:'}{pattern})"
            whole += rf"\[{group}\]" if variable == "t" else group
        return rf"^{whole}(?: (?s:.*))?[ \t]*$"


def _notation(text: str) -> str:
    """Return the format in what a user copied from a configuration, without quotes."""
    copied = _COPIED.fullmatch(text)
    parts = "".join(part[1:-1] for part in _PARTS.findall(copied["parts"])) if copied else text
    return parts.replace('\\"', '"').replace("\\t", "\t")


def _escaped(literal: str) -> str:
    return re.sub(r"[^A-Za-z0-9 ]", lambda sign: "\\" + sign[0], literal)


def _pattern(name: str, before: str, behind: str) -> str:
    """Return the pattern of a variable's values, given what stands before and behind it."""
    if name in _VALUES:
        return _VALUES[name]
    if before.endswith('"') and behind == '"':
        return r'(?:[^"\\]|\\.)*'
    if name in _USERS:
        return ".*?"  # names may have blanks, and the time behind them ends them
    if "forward" in name.lower() or name in _ADDRESSES:
        return "[^ ,]+(?:, ?[^ ,]+)*"
    if name.endswith("}t"):
        return " ".join("[^ ]+" for _ in name.split(" "))
    return f"[^{re.escape(behind)}]*" if behind not in ("", "$", "%") else ("[^ ]*" if not behind else ".*?")


def read_formatted(stream: IO[bytes], options: LogOptions) -> Iterator[LogRecords]:
    """Yield the records of an access log in the format ``options.line_format``, one a line.

    It is a ClientError if the format has no variable for the entity, the address or the time.
    """
    web = WebFormat(options.line_format or "")
    entities = _chosen(web, options.entity, _USERS, "entity")
    ips = _chosen(web, options.ip, _ADDRESSES, "ip")
    clocks = ("time_iso8601", "time_local", "t", "msec", *(name for name in web.names if name.endswith("}t")))
    times = [] if options.no_timestamps else _chosen(web, options.timestamp, clocks, "timestamp")
    time = TimeColumn(options.timezone, options.time_format or _time_format(times))
    for lines in line_blocks(stream):
        yield _records(lines, web, (entities, ips, times), time)


def _chosen(web: WebFormat, given: str | Sequence[str] | None, default: tuple[str, ...], option: str) -> list[str]:
    wanted = names_or(given, ())
    found = [name for one in wanted if (name := web.name_of(one)) is not None]
    if not wanted and (name := web.first_of(default)) is not None:
        found = [name]
    if not found:
        otherwise = ", or leave times out with `no_timestamps`" if option == "timestamp" else ""
        raise ClientError(
            f"The log format has no variable for the {option}: name one with `{option}`{otherwise}. "
            f"The variables are {', '.join(web.names)}."
        )
    return found


def _time_format(names: list[str]) -> str | None:
    """Return the time format of an Apache variable, or None if no format is needed."""
    inside = names[0][1:-2] if names and names[0].endswith("}t") else ""
    return inside.removeprefix("begin:").removeprefix("end:") if "%" in inside else None


def _records(
    lines: pa.BinaryArray, web: WebFormat, chosen: tuple[list[str], list[str], list[str]], time: TimeColumn
) -> LogRecords:
    def values(name: str) -> pa.StringArray:
        return as_text(pc.extract_regex(lines, web.pattern(name)).field("value"))

    def field(name: str) -> pa.StringArray | None:
        """Return a field by its name or an alias. Method and path are parts of the request."""
        found = web.name_of(name) or next((real for one in _ALIASES.get(name, ()) if (real := web.name_of(one))), None)
        if found is not None:
            return values(found)
        request = web.first_of(_REQUESTS)
        if request is None or name not in ("method", "path"):
            return None
        return pc.extract_regex(values(request), _METHOD if name == "method" else _PATH).field("value")

    entities, ips, times = chosen
    entity, ip = first_values(list(map(values, entities))), first_addresses(list(map(values, ips)))
    parsed = time.parse(first_values(list(map(values, times)))) if times else timeless(len(lines))
    reasons = blank_or_none(lines)
    matches = mask(pc.match_substring_regex(lines, web.pattern(web.names[0])))
    reasons[(reasons == Reason.NONE) & ~matches] = Reason.MALFORMED
    known_fields = f"The fields are {', '.join(web.names)}."
    return LogRecords(entity, ip, *parsed, reasons, known_fields, field, line_text(lines))

"""Field values that stand for missing values, and texts that contain an IPv4 address."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ipinsights.data.arrow import as_text, mask
from ipinsights.data.ipv4 import BLANKS, parse_ips, trim
from ipinsights.etl.records import Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NOTHING", "address_reasons", "bare_addresses", "first_addresses", "first_values", "stand_for_nothing"]

# As databases, spreadsheets, pandas, R, Hive, Go, Java, JavaScript, web servers and sshd write that there is no value.
NOTHING = frozenset(
    [
        "", '""', "''", *("-" * length for length in range(1, 10)), "\u2013", "\u2014", "NA", "#N/A", "N/A",
        "n/a", "NULL", "Null", "null", "<NULL>", "<null>", "(NULL)", "(null)", r"\N", "NIL", "nil", "<nil>", "NONE",
        "None", "none", "(none)", "<none>", "NaN", "nan", "NAN", "-nan", "-NaN", "false", "False", "undefined",
        "Undefined", "UNDEFINED", "(undefined)", "(unknown)", "<unknown>", "(empty)", "<empty>", "(blank)", "(not set)",
        "[]", "{}", "[null]", "NaT", "<NA>", "Nil", "?", "??", ".",
    ]
)  # fmt: skip
"""Texts that mean that there is no value."""
_NOTHING = pa.array(sorted(NOTHING))

_NOT_BARE = "[^0-9.]"
_DRESSED = (
    r"""(?i)^[\["'{( ]*(?:::ffff:(?:0:)?)?(?P<ip>[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+)"""
    r"""(?:/32|%[0-9a-z]+)?\]?(?:[:#][0-9]+)?["'\]}) ]*(?:[,; ](?s:.*))?$"""
)
_IPV6 = r"^\[?[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f.:]*(?:%[^\]]*)?(?:\](?::[0-9]*)?)?$"
_WITH_PORT = r"^\[?[0-9.]+\]?:[0-9]+$"
_SEVERAL = r"""^[\["' ]*\[?[0-9A-Fa-f]*[.:][0-9A-Fa-f:.]+\]?(?::[0-9]+)?["' ]*(?:[,; ]|\]$)"""
_NAME = "[A-Za-z]"


def stand_for_nothing(texts: pa.StringArray) -> NDArray[np.bool_]:
    """Return which texts (n,) mean that there is no value, null among them."""
    return mask(pc.is_in(trim(texts.fill_null("")), _NOTHING))


def bare_addresses(texts: pa.StringArray) -> pa.StringArray:
    """Return addresses (n,) without decoration, and other texts without surrounding blanks.

    Around an address may stand quotes, brackets, a port, ``/32``, a zone (``%0``) and ``::ffff:``, which is IPv4 on a
    socket of both versions. Of a list it is the first: proxies append theirs behind the client's.
    """
    trimmed = pc.ascii_trim(texts.fill_null(""), BLANKS)
    if not pc.any(pc.match_substring_regex(trimmed, _NOT_BARE)).as_py():
        return trimmed
    found = pc.extract_regex(trimmed, _DRESSED)
    return pc.if_else(found.is_valid(), found.field("ip"), trimmed)


def first_values(columns: list[pa.StringArray]) -> pa.StringArray:
    """Return for each record the value of the first column, (n,) each, that has one."""
    if len(columns) == 1:
        return columns[0]
    texts = [as_text(column) if pa.types.is_binary(column.type) else column for column in columns]
    return pc.coalesce(*(pc.if_else(pa.array(~stand_for_nothing(text)), text, None) for text in texts[:-1]), texts[-1])


def first_addresses(columns: list[pa.StringArray]) -> pa.StringArray:
    """Return for each record the value of the first column, (n,) each, that is an address."""
    if len(columns) == 1:
        return columns[0]
    are_addresses = (pa.array(parse_ips(bare_addresses(column))[1]) for column in columns)
    found = [pc.if_else(is_address, column, None) for is_address, column in zip(are_addresses, columns, strict=True)]
    return pc.coalesce(*found, *columns)


def address_reasons(texts: pa.StringArray) -> NDArray[np.uint8]:
    """Return why texts (n,) are not an IPv4 address: the :class:`Reason` of each."""
    reasons = np.full(len(texts), Reason.BAD_ADDRESS, dtype=np.uint8)
    for pattern, reason in (
        (_NAME, Reason.HOST_NAME),
        (_SEVERAL, Reason.SEVERAL),
        (_WITH_PORT, Reason.PORT),
        (_IPV6, Reason.IPV6),
    ):
        reasons[mask(pc.match_substring_regex(texts, pattern))] = reason
    reasons[stand_for_nothing(texts)] = Reason.NO_ADDRESS
    return reasons

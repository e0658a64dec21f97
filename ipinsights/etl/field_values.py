"""Field values that stand for missing values, and texts that contain an IPv4 address."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ipinsights.data.arrow import as_text, mask, packed
from ipinsights.data.ipv4 import BLANKS, format_ips, parse_ips, trim
from ipinsights.data.ipv6 import parse_addresses
from ipinsights.etl.records import Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "NOTHING", "address_reasons", "bare_addresses", "bare_ipv6", "first_addresses", "first_values", "stand_for_nothing",
]  # fmt: skip

# As databases, spreadsheets, pandas, R, Hive, Go, Java, JavaScript, web servers and sshd write that there is no value.
NOTHING = frozenset(
    [
        "", '""', "''", *("-" * length for length in range(1, 10)), "\u2013", "\u2014", "NA", "#N/A", "N/A",
        "n/a", "NULL", "Null", "null", "<NULL>", "<null>", "(NULL)", "(null)", r"\N", "NIL", "nil", "<nil>", "NONE",
        "None", "none", "(none)", "<none>", "NaN", "nan", "NAN", "-nan", "-NaN", "false", "False", "undefined",
        "Undefined", "UNDEFINED", "(undefined)", "(unknown)", "<unknown>", "(empty)", "<empty>", "(blank)", "(not set)",
        # Microsoft 365; CloudTrail for names that do not exist, and for requests without one
        "Not Available", "HIDDEN_DUE_TO_SECURITY_REASONS", "ANONYMOUS_PRINCIPAL",
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
_DRESSED_IPV6 = (
    r"""(?i)^[\["'{( ]*(?P<ip>[0-9a-f]*:[0-9a-f]*:[0-9a-f:.]*)(?:/128|%[0-9a-z.]+)?(?:\](?::[0-9]+)?)?"""
    r"""["'\]}) ]*(?:[,; ](?s:.*))?$"""
)
# IPv4 in IPv6 as Python writes it, ::ffff:c000:201, or with all of its zeros.
_MAPPED = "(?i)^[0:]*:ffff:[0-9a-f:.]+$"
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
    bare = pc.if_else(found.is_valid(), found.field("ip"), trimmed)
    if not pc.any(pc.match_substring(bare, ":")).as_py():
        return bare
    texts = bare_ipv6(bare)
    is_mapped = pc.match_substring_regex(texts, _MAPPED)
    found = parse_addresses(texts.filter(is_mapped))
    mapped = pc.if_else(packed(found.is_valid), format_ips(found.ips), bare.filter(is_mapped))
    return pc.replace_with_mask(bare, is_mapped, mapped)


def bare_ipv6(texts: pa.StringArray) -> pa.StringArray:
    """Return IPv6 addresses (n,) without decoration, likewise, and other texts unchanged."""
    found = pc.extract_regex(texts, _DRESSED_IPV6)
    return pc.if_else(found.is_valid(), found.field("ip"), texts)


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
    are_addresses = (_are_addresses(bare_addresses(column)) for column in columns)
    found = [pc.if_else(is_address, column, None) for is_address, column in zip(are_addresses, columns, strict=True)]
    return pc.coalesce(*found, *columns)


def _are_addresses(bare: pa.StringArray) -> pa.BooleanArray:
    return pc.or_(packed(parse_ips(bare)[1]), pc.match_substring_regex(bare, _DRESSED_IPV6))


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

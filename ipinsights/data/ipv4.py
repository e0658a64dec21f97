"""IPv4 addresses between text and number: strict, and a column at a time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ipinsights.data.arrow import contain_any, mask, text_bytes, text_scalar

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BLANKS", "explain_ip", "format_ips", "is_ip", "parse_ips", "trim"]

BLANKS = " \t"
"""Characters that may stand around an address."""

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}"
_match = re.compile(_IPV4).fullmatch
# Longest text for which the message names the invalid number: four numbers of nine digits and three dots.
_LONGEST_QUAD = 39
_DOT, _ZERO = ord("."), ord("0")
_ZEROS = text_scalar("0.0.0.0")  # noqa: S104 - no address of ours


def parse_ips(texts: pa.StringArray) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Parse a column of IPv4 addresses (n,) without nulls.

    An address is four numbers from 0 to 255 without leading zeros, separated by dots. Blanks may stand around it.
    Returned are addresses, 0 for invalid texts, and a mask of the valid texts, shape (n,) each.
    """
    trimmed = trim(texts)
    ips = _parse_if_all_valid(trimmed)
    if ips is not None:
        return ips, np.ones(len(ips), dtype=bool)
    matches = pc.match_substring_regex(trimmed, f"^{_IPV4}$")
    parsed = _parse_if_all_valid(pc.if_else(matches, trimmed, _ZEROS))
    assert parsed is not None
    return parsed, mask(matches)


def trim(texts: pa.StringArray) -> pa.StringArray:
    """Return texts (n,) without leading and trailing blanks."""
    return pc.ascii_trim(texts, characters=BLANKS) if contain_any(texts, BLANKS.encode()) else texts


def format_ips(ips: NDArray[np.uint32]) -> pa.StringArray:
    """Return the dotted quads of addresses (n,) as a column of strings."""
    octets = pa.array([str(octet) for octet in range(256)])
    return pc.binary_join_element_wise(*(octets.take(pa.array((ips >> s) & 255)) for s in (24, 16, 8, 0)), ".")


def is_ip(text: str) -> bool:
    """Return whether a text is an IPv4 address.

    Blanks around the address are allowed.
    """
    return _match(text.strip(BLANKS)) is not None


def explain_ip(text: str) -> str | None:
    """Return why a text is not a valid address, as the end of a sentence, None if it is valid."""
    text = text.strip(BLANKS)
    if _match(text):
        return None
    if not text:
        return "it is empty"
    if ":" in text:
        has_port = _match(text.partition(":")[0])
        return "there is a port behind it" if has_port else "it looks like IPv6; leave such rows out"
    parts = text.split(".")
    if len(text) > _LONGEST_QUAD or len(parts) != 4 or not all(part.isascii() and part.isdigit() for part in parts):  # noqa: PLR2004
        return "it must be four numbers from 0 to 255, separated by dots"
    zeros = [part for part in parts if part[0] == "0" and part != "0"]
    if zeros:
        return f"{zeros[0]} has a leading zero, which some read as octal"
    large = next(part for part in parts if len(part) > 3 or int(part) > 255)  # noqa: PLR2004
    return f"{large} is more than 255"


def _parse_if_all_valid(texts: pa.StringArray) -> NDArray[np.uint32] | None:
    """Return the addresses if every text is valid, else None: faster than a regular expression."""
    offsets, data = text_bytes(texts)
    starts, ends = offsets[:-1], offsets[1:]
    dots = np.flatnonzero(data == _DOT)
    if len(dots) != 3 * len(texts) or len(texts) == 0:
        return None if len(texts) else np.empty(0, dtype=np.uint32)
    # (n, 4): where each octet ends
    octet_ends = np.column_stack([dots.reshape(-1, 3), ends])
    if (octet_ends[:, 0] <= starts).any() or (octet_ends[:, 2] >= ends - 1).any():
        return None
    values = _values_so_far(data, starts)
    if values is None:
        return None
    # (n, 4)
    octets = values[octet_ends - 1]
    if octets.max() > 255:  # noqa: PLR2004
        return None
    ips: NDArray[np.uint32] = octets.astype(np.uint8).view(">u4").ravel().astype(np.uint32)
    return ips


def _values_so_far(data: NDArray[np.uint8], starts: NDArray[np.int64]) -> NDArray[np.uint16] | None:
    """Return at each byte the value of its octet so far, None unless all have 1 to 3 digits."""
    digits = data - np.uint8(_ZERO)
    is_digit = digits <= 9  # noqa: PLR2004
    # whether the byte before belongs to the same octet, and the two before
    goes_on = np.concatenate([[False], is_digit[:-1]])
    goes_on[starts] = False
    goes_on_twice = np.concatenate([[False], goes_on[:-1]]) & goes_on
    empty_octet = ~is_digit & ~goes_on
    leading_zero = goes_on[1:] & is_digit[1:] & ~goes_on[:-1] & (digits[:-1] == 0)
    four_digits = goes_on_twice[:-1] & goes_on[1:] & is_digit[1:]
    strange = ~is_digit & (data != _DOT)
    if empty_octet.any() or leading_zero.any() or four_digits.any() or strange.any():
        return None
    values = digits.astype(np.uint16)
    tens, hundreds = digits[:-1] * goes_on[1:], digits[:-2] * goes_on_twice[2:]
    # NumPy 1 multiplies bytes by a small number in bytes, where a hundred times three is 44.
    values[1:] += 10 * tens.astype(np.uint16)
    values[2:] += 100 * hundreds.astype(np.uint16)
    return values

"""IPv6 addresses between text and number, for models whose history knows them.

Some texts of IPv6 are IPv4 addresses: mapped ones (``::ffff:a.b.c.d``) and those behind NAT64 (``64:ff9b::/96``).
Brackets and zones are removed. Networks in which an address says nothing about its place are refused.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from itertools import starmap
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ipinsights.data.arrow import packed
from ipinsights.data.ipv4 import BLANKS, explain_ip, format_ips, is_ip, parse_ips

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "Addresses", "Ipv6Pairs", "Ipv6Rows", "explain_address", "format_addresses", "format_ipv6", "is_address",
    "parse_address", "parse_addresses",
]  # fmt: skip

# Longest text of an address, with brackets and a zone. A longer text is not looked at.
_LONGEST = 100
_LOWER_HALF = 2**64 - 1
_MAPPED, _NAT64 = 0xFFFF, 0x64FF9B << 64
# Networks that are refused, as address and prefix length, by the reason.
_REFUSED = {
    "it is link-local, and other networks have the same address": (0xFE80 << 112, 10),
    "it is a unique local address (ULA), and other networks have the same address": (0xFC00 << 112, 7),
    "it is reserved for documentation": (0x20010DB8 << 96, 32),
    "it is a Teredo address, which hides where it comes from": (0x20010000 << 96, 32),
}


@dataclass(frozen=True)
class Addresses:
    """A column of addresses of both families, (n,) each."""

    # IPv4 addresses, 0 for other texts.
    ips: NDArray[np.uint32]
    is_ipv6: NDArray[np.bool_]
    # Halves of IPv6 addresses, 0 for other texts.
    upper: NDArray[np.uint64]
    lower: NDArray[np.uint64]
    # Whether the text is an address that is accepted.
    is_valid: NDArray[np.bool_]

    def __getitem__(self, part: slice | NDArray[np.bool_] | NDArray[np.int64]) -> Addresses:
        """Return some of the addresses."""
        return Addresses(*(values[part] for values in vars(self).values()))

    @classmethod
    def joined(cls, parts: Sequence[Addresses]) -> Addresses:
        """Return the addresses of some parts, one after another."""
        return cls(*(np.concatenate(columns) for columns in zip(*(vars(part).values() for part in parts), strict=True)))


@dataclass(frozen=True)
class Ipv6Pairs:
    """IPv6 rows of data: hashes of the entities, and halves of the addresses, (n,) each."""

    entities: NDArray[np.uint64]
    upper: NDArray[np.uint64]
    lower: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.upper)

    def __getitem__(self, part: slice | NDArray[np.bool_]) -> Ipv6Pairs:
        """Return some of the rows."""
        return Ipv6Pairs(*(values[part].copy() for values in (self.entities, self.upper, self.lower)))


class Ipv6Rows:
    """The IPv6 rows of a channel, collected block by block."""

    def __init__(self) -> None:
        self._parts: list[Ipv6Pairs] = []

    def append(self, entities: NDArray[np.uint64], addresses: Addresses) -> None:
        """Keep the IPv6 rows of a block, given its entities and addresses, (n,)."""
        chosen = addresses.is_ipv6
        if chosen.any():
            self._parts.append(Ipv6Pairs(entities[chosen], addresses.upper[chosen], addresses.lower[chosen]))

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def pairs(self) -> Ipv6Pairs:
        """Return all rows, in their order."""
        nothing = np.zeros(0, dtype=np.uint64)
        parts = [Ipv6Pairs(nothing, nothing, nothing), *self._parts]
        columns = zip(*((part.entities, part.upper, part.lower) for part in parts), strict=True)
        return Ipv6Pairs(*map(np.concatenate, columns))


def parse_addresses(texts: pa.StringArray) -> Addresses:
    """Parse a column of IPv4 and IPv6 addresses without nulls.

    >>> import pyarrow as pa
    >>> found = parse_addresses(pa.array(["10.0.0.1", "2a00:1::2", "::ffff:10.0.0.1", "fe80::1"]))
    >>> found.ips.tolist()
    [167772161, 0, 167772161, 0]
    >>> found.is_ipv6.tolist(), found.is_valid.tolist()
    ([False, True, False, False], [True, True, True, False])
    """
    ips, is_ipv4 = parse_ips(texts)
    upper, lower = np.zeros(len(ips), dtype=np.uint64), np.zeros(len(ips), dtype=np.uint64)
    is_ipv6, is_valid = np.zeros(len(ips), dtype=bool), is_ipv4.copy()
    others = np.flatnonzero(~is_ipv4)
    if len(others):
        encoded = texts.take(pa.array(others)).dictionary_encode()
        # Each distinct text is parsed once by the C library.
        found = np.array([_version_and_halves(text) for text in encoded.dictionary.to_pylist()], dtype=np.uint64)
        version, upper_half, lower_half = found[np.from_dlpack(encoded.indices)].T
        is_v6, is_v4 = version == 6, version == 4  # noqa: PLR2004
        is_ipv6[others], is_valid[others] = is_v6, is_v6 | is_v4
        upper[others], lower[others], ips[others] = upper_half, lower_half * is_v6, lower_half * is_v4
    return Addresses(ips, is_ipv6, upper, lower, is_valid)


def parse_address(text: str) -> Addresses:
    """Parse one address, shape (1,) each."""
    return parse_addresses(pa.array([text], pa.string()))


def format_ipv6(upper: int, lower: int) -> str:
    """Return the text of an IPv6 address, as RFC 5952 recommends.

    >>> format_ipv6(0x2A00000100000000, 2)
    '2a00:1::2'
    """
    return socket.inet_ntop(socket.AF_INET6, (upper << 64 | lower).to_bytes(16, "big"))


def format_addresses(addresses: Addresses) -> pa.StringArray:
    """Return the texts of addresses of both families, (n,)."""
    texts, is_ipv6 = format_ips(addresses.ips), addresses.is_ipv6
    halves = zip(addresses.upper[is_ipv6].tolist(), addresses.lower[is_ipv6].tolist(), strict=True)
    return pc.replace_with_mask(texts, packed(is_ipv6), pa.array(starmap(format_ipv6, halves), pa.string()))


def is_address(text: str) -> bool:
    """Return whether a text is an address of either family that is accepted."""
    return is_ip(text) or not isinstance(_parse(text), str)


def explain_address(text: str) -> str | None:
    """Return why a text is not an accepted address, as the end of a sentence, or None."""
    if is_ip(text):
        return None
    if ":" not in text or is_ip(text.partition(":")[0]):
        return explain_ip(text)
    found = _parse(text)
    return found if isinstance(found, str) else None


def _parse(text: str) -> int | str:
    """Return the number of an IPv6 or embedded IPv4 address, or why the text is not valid."""
    text = text.strip(BLANKS)
    if len(text) > _LONGEST:
        return "it is longer than any IPv6 address"
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    try:
        value = int.from_bytes(socket.inet_pton(socket.AF_INET6, text.partition("%")[0]), "big")
    except (OSError, ValueError):
        return "it is not a valid IPv6 address"
    for reason, (network, length) in _REFUSED.items():
        if (value ^ network) >> (128 - length) == 0:
            return reason
    return value


def _version_and_halves(text: str) -> tuple[int, int, int]:
    """Return the IP version of an address, 0 for an invalid text, and both 64-bit halves.

    An embedded IPv4 address is the lower half.
    """
    value = _parse(text)
    if isinstance(value, str):
        return 0, 0, 0
    is_embedded = value >> 32 in (_MAPPED, _NAT64)
    return (4, 0, value & 0xFFFFFFFF) if is_embedded else (6, value >> 64, value & _LOWER_HALF)

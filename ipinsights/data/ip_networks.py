"""Lists of networks in common notations, and the special-purpose address ranges."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ipinsights.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ipinsights.data.ipv6 import Addresses

__all__ = ["SPECIAL_NETWORKS", "Network", "Networks", "network_text", "special_purpose"]

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
"""A network of Python's library."""

SPECIAL_NETWORKS = {
    "0.0.0.0/8": "reserved (this network)",
    "10.0.0.0/8": "private (RFC 1918)",
    "100.64.0.0/10": "carrier-grade NAT (RFC 6598): shared by many subscribers",
    "127.0.0.0/8": "loopback",
    "169.254.0.0/16": "link-local",
    "172.16.0.0/12": "private (RFC 1918)",
    "192.0.0.0/24": "reserved (IETF protocols)",
    "192.0.2.0/24": "reserved (documentation)",
    "192.88.99.0/24": "reserved (6to4 relays, deprecated)",
    "192.168.0.0/16": "private (RFC 1918)",
    "198.18.0.0/15": "reserved (benchmarking)",
    "198.51.100.0/24": "reserved (documentation)",
    "203.0.113.0/24": "reserved (documentation)",
    "224.0.0.0/4": "multicast",
    "255.255.255.255/32": "broadcast",
    "240.0.0.0/4": "reserved (future use)",
}
"""IANA's IPv4 special-purpose address registry: purposes by network, in the words that an analyst would use."""

_HALF = 2**64 - 1


class Networks:
    """A list of networks such as ``10.0.0.0/8``, or single addresses, kept as ``texts``.

    ``given`` are texts or networks of ``ipaddress``, or one of them. Any other value is a ClientError.
    """

    def __init__(self, given: str | Network | Sequence[str | Network], *, ipv6: bool = False) -> None:
        # A network of ``ipaddress`` is a sequence of its addresses.
        several = [given] if isinstance(given, (str, ipaddress.IPv4Network, ipaddress.IPv6Network)) else given
        self.texts = texts = tuple(map(str, several))
        self._ipv6 = [ipaddress.IPv6Network(text) for text in texts if ipv6 and _is_ipv6(text)]
        rest = [text for text in texts if not (ipv6 and _is_ipv6(text))]
        merged = list(ipaddress.collapse_addresses(map(_parse, rest)))
        # (number of networks once merged,), ascending
        self._first = np.array([int(network.network_address) for network in merged], dtype=np.uint32)
        self._last = np.array([int(network.broadcast_address) for network in merged], dtype=np.uint32)

    def contain(self, ips: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Return a mask of the addresses (n,) that are in one of the networks, shape (n,)."""
        if not len(self._first):
            return np.zeros(len(ips), dtype=bool)
        at = np.searchsorted(self._first, ips, side="right") - 1
        inside: NDArray[np.bool_] = (at >= 0) & (ips <= self._last[at])
        return inside

    def contain_any(self, addresses: Addresses) -> NDArray[np.bool_]:
        """Return which addresses (n,) of either family are in one of the networks, shape (n,)."""
        inside = self.contain(addresses.ips) & ~addresses.is_ipv6
        for network in self._ipv6:
            same = np.ones(len(inside), dtype=bool)
            address, mask = int(network.network_address), int(network.netmask)
            for half, shift in ((addresses.upper, 64), (addresses.lower, 0)):
                kept = np.uint64(mask >> shift & _HALF)
                same &= half & kept == np.uint64(address >> shift & _HALF)
            inside |= same & addresses.is_ipv6
        return inside


def network_text(ip: int, length: int) -> str:
    """Return the network of an address as text, such as ``198.51.100.0/24``."""
    return str(ipaddress.IPv4Network((ip, length), strict=False))


def special_purpose(ip: int) -> str | None:
    """Return the special purpose of an address in a few words, None for a public address."""
    address = ipaddress.IPv4Address(ip)
    return next((purpose for text, purpose in SPECIAL_NETWORKS.items() if address in ipaddress.IPv4Network(text)), None)


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Network(text)
    except ValueError:
        return False
    return True


def _parse(text: str) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(text)
    except ValueError as error:
        raise ClientError(f"'{text}' is no IPv4 network: {error}. Write it as in 10.0.0.0/8.") from None

"""Rows of both address families, which are read together and identified by a fingerprint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ipinsights.data.channels import channel_files
from ipinsights.data.ipv6 import Addresses, Ipv6Pairs, Ipv6Rows
from ipinsights.data.pairs import Pairs, read_blocks, read_pairs

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["by_family", "join_families", "read_events", "read_families", "read_in_order", "split_families"]


def read_families(path: Path, *, ipv6: bool) -> tuple[Pairs, Ipv6Pairs | None]:
    """Read a channel: its IPv4 rows, and its IPv6 rows if wanted, see :func:`read_pairs`."""
    rows = Ipv6Rows() if ipv6 else None
    pairs = read_pairs(path, progress=True, ipv6=rows)
    return pairs, None if rows is None else rows.pairs()


def read_events(path: Path, *, ipv6: bool) -> Pairs:
    """Read a channel for a scorer: IPv4 rows, then IPv6 rows if the scorer accepts them."""
    return join_families(*read_families(path, ipv6=ipv6))


def join_families(ipv4: Pairs, ipv6: Ipv6Pairs | None) -> Pairs:
    """Return the rows of both families, IPv4 first."""
    if ipv6 is None or not len(ipv6):
        return ipv4
    before, nothing = np.zeros(len(ipv4), dtype=np.uint64), np.zeros(len(ipv6), dtype=np.uint32)
    ips = np.concatenate([ipv4.ips, nothing])
    is_ipv6 = np.arange(len(ips)) >= len(ipv4)
    upper, lower = np.concatenate([before, ipv6.upper]), np.concatenate([before, ipv6.lower])
    addresses = Addresses(ips, is_ipv6, upper, lower, np.ones(len(ips), dtype=bool))
    return Pairs(np.concatenate([ipv4.entities, ipv6.entities]), ips, addresses)


def read_in_order(path: Path, *, progress: bool = False) -> Pairs:
    """Read a channel: the rows of both families in their order, see :func:`read_pairs`."""
    blocks = (block for file in channel_files(path) for block in read_blocks(file, progress=progress, ipv6=True))
    # Blocks hold the text of their rows, and are let go of.
    return Pairs.joined([Pairs(block.entities, block.ips, block.addresses) for block in blocks])


def split_families(pairs: Pairs) -> tuple[Pairs, Ipv6Pairs]:
    """Return the IPv4 rows and the IPv6 rows of some rows of both families."""
    if pairs.addresses is None:
        return pairs, Ipv6Rows().pairs()
    is_ipv4 = ~pairs.addresses.is_ipv6
    ipv6 = Ipv6Rows()
    ipv6.append(pairs.entities, pairs.addresses)
    return Pairs(pairs.entities[is_ipv4], pairs.ips[is_ipv4]), ipv6.pairs()


def by_family(pairs: Pairs) -> Pairs:
    """Return rows of both families with IPv4 first, each family in its order."""
    return join_families(*split_families(pairs))

"""Ranges of routed addresses, read from a published table or drawn at random."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from ipinsights.data.arrow import mask
from ipinsights.data.ip_networks import SPECIAL_NETWORKS
from ipinsights.data.ipv4 import parse_ips
from ipinsights.errors import ClientError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Ranges", "load_ranges", "synthetic_ranges"]

# The share of the blocks of a length that is announced whole. 3 % more lie idle and the rest are halved.
# Chosen so that each length is as frequent as in a real table: a million ranges, 62 % of them of 256
# addresses.
_SHARE_IDLE = 0.03
_SHARE_ANNOUNCED = {
    10: .058, 11: .030, 12: .045, 13: .047, 14: .058, 15: .072, 16: .253, 17: .169, 18: .177, 19: .186,
    20: .228, 21: .204, 22: .252, 23: .177, 24: .621,
}  # fmt: skip


@dataclass(frozen=True)
class Ranges:
    """Ranges of routed IPv4 addresses in ascending order, none overlapping another."""

    first: NDArray[np.uint32]  # (num_ranges,)
    last: NDArray[np.uint32]  # (num_ranges,), which belongs to the range

    def __len__(self) -> int:
        return len(self.first)

    def draw(self, rows: NDArray[np.int64], *, rng: np.random.Generator) -> NDArray[np.uint32]:
        """Return a uniformly random address of each of the given ranges, in the shape of ``rows``."""
        low, high = self.first[rows].astype(np.int64), self.last[rows].astype(np.int64)
        return rng.integers(low, high, endpoint=True).astype(np.uint32)

    def draw_anywhere(self, size: int, *, rng: np.random.Generator) -> NDArray[np.uint32]:
        """Return random addresses of uniformly random ranges of any size, shape (size,)."""
        return self.draw(rng.integers(len(self), size=size), rng=rng)


def synthetic_ranges(rng: np.random.Generator) -> Ranges:
    """Return a plausible allocation of the address space with about a million ranges.

    Prefix lengths are /10 to /24.

    The space is halved again and again. At each length some blocks are announced whole and a few lie idle. So
    neighbours tend to be alike in size, as in life, no two ranges overlap, and none is in reserved space.
    """
    shortest = min(_SHARE_ANNOUNCED)
    blocks = np.arange(2**shortest, dtype=np.int64) << (32 - shortest)
    firsts, lasts = [], []
    for length, share in _SHARE_ANNOUNCED.items():
        size = 2 ** (32 - length)
        fate = rng.random(len(blocks))
        announced = blocks[fate < share]
        firsts.append(announced)
        lasts.append(announced + size - 1)
        halved = blocks[fate >= share + _SHARE_IDLE]
        blocks = np.concatenate([halved, halved + size // 2])
    # Ranges do not overlap, so their first and their last addresses have the same order.
    first, last = np.sort(np.concatenate(firsts)), np.sort(np.concatenate(lasts))
    public = _is_public(first, last)
    return Ranges(first[public].astype(np.uint32), last[public].astype(np.uint32))


def _is_public(first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.bool_]:
    public = np.ones(len(first), dtype=bool)
    for network in map(ipaddress.IPv4Network, SPECIAL_NETWORKS):
        public &= (last < int(network.network_address)) | (first > int(network.broadcast_address))
    return public


def load_ranges(path: Path) -> Ranges:
    """Return the routed ranges of a table in the format of iptoasn.com.

    A line is ``first, last, ASN, country, name``, separated by tabs, in ascending order, without a header.
    Addresses are numbers (``ip2asn-v4-u32.tsv``) or dotted quads (``ip2asn-v4.tsv``). A file whose name ends
    in ``.gz`` is unpacked. Ranges of ASN 0 are not routed and are left out.
    """
    first_texts, last_texts, asn_texts = (column.combine_chunks() for column in _read_table(path).columns)
    first, first_valid = _parse_addresses(first_texts)
    last, last_valid = _parse_addresses(last_texts)
    asn, asn_valid = _parse_numbers(asn_texts)
    _refuse_lines(path, ~(first_valid & last_valid & asn_valid), _TABLE_FORM)
    previous_last = np.concatenate([[-1], last[:-1]])
    _refuse_lines(path, (first > last) | (first <= previous_last), _TABLE_ORDER)
    routed = asn != 0
    if not routed.any():
        raise ClientError(f"{path}: the table has no routed range: every ASN is 0.")
    return Ranges(first[routed].astype(np.uint32), last[routed].astype(np.uint32))


_TABLE_FORM = (
    "a line must be first, last, ASN, country and name, separated by tabs, with IPv4 addresses as numbers or "
    "as dotted quads, as in the ip2asn-v4-u32.tsv and ip2asn-v4.tsv of iptoasn.com."
)
_TABLE_ORDER = "the ranges of a table must ascend, each from its first to its last address, and must not overlap."


def _read_table(path: Path) -> pa.Table:
    malformed: list[csv.InvalidRow] = []

    def keep_in_mind(row: csv.InvalidRow) -> str:
        """Skip a malformed row, which is reported after the whole table is read."""
        malformed.append(row)
        return "skip"

    wanted = ["first", "last", "asn"]
    # Threads would lose the line numbers of malformed lines.
    read = csv.ReadOptions(use_threads=False, column_names=[*wanted, "country", "name"])
    parse = csv.ParseOptions(
        delimiter="\t", quote_char=False, ignore_empty_lines=False, invalid_row_handler=keep_in_mind
    )
    convert = csv.ConvertOptions(include_columns=wanted, column_types=dict.fromkeys(wanted, pa.string()))
    try:
        table = csv.read_csv(path, read, parse, convert)
    except pa.ArrowInvalid:
        raise ClientError(f"{path}: the table of IP ranges is empty or no text.") from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "It is damaged or not compressed by gzip"
        raise ClientError(f"{path}: the table of IP ranges cannot be read: {reason}.") from None
    if malformed:
        raise ClientError(f"{path}:{malformed[0].number}: {_TABLE_FORM}")
    return table


def _parse_addresses(texts: pa.StringArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    if "." not in texts[0].as_py():
        return _parse_numbers(texts)
    ips, valid = parse_ips(texts)
    return ips.astype(np.int64), valid


def _parse_numbers(texts: pa.StringArray) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    digits = pc.match_substring_regex(texts, r"^[0-9]{1,10}$")
    numbers = pc.if_else(digits, texts, "0").cast(pa.int64()).to_numpy()
    return numbers, mask(digits) & (numbers < 2**32)


def _refuse_lines(path: Path, wrong: NDArray[np.bool_], rule: str) -> None:
    if wrong.any():
        raise ClientError(f"{path}:{int(wrong.argmax()) + 1}: {rule}")

"""Ranges: drawn allocations are plausible, and tables are read or refused by an error."""

from __future__ import annotations

import gzip
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.errors import ClientError
from ipinsights.synthetic.ip_ranges import load_ranges, synthetic_ranges

if TYPE_CHECKING:
    from pathlib import Path

FORM = (
    "a line must be first, last, ASN, country and name, separated by tabs, with IPv4 addresses as numbers or "
    "as dotted quads, as in the ip2asn-v4-u32.tsv and ip2asn-v4.tsv of iptoasn.com."
)
ORDER = "the ranges of a table must ascend, each from its first to its last address, and must not overlap."


def test_synthetic_ranges_are_a_plausible_allocation(seed: int) -> None:
    """About a million aligned ranges of lengths /10 to /24 are ordered and disjoint.

    Most of them are /24.
    """
    ranges = synthetic_ranges(np.random.default_rng(seed))
    first, last = ranges.first.astype(np.int64), ranges.last.astype(np.int64)
    size = last - first + 1
    assert (first[1:] > last[:-1]).all()
    assert set(np.unique(size).tolist()) <= {2**bits for bits in range(8, 23)}
    assert (first % size == 0).all()
    assert 850_000 < len(ranges) < 1_150_000
    assert np.mean(size == 256) == pytest.approx(0.62, abs=0.02)


@pytest.mark.parametrize(
    "address",
    [
        *(
            "0.0.0.1",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.254",
        ),
        *("192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255"),
        *("198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255"),
    ],
)
def test_synthetic_ranges_avoid_reserved_space(address: str) -> None:
    """No range holds a private, special-purpose or multicast address, whatever the seed."""
    for seed in range(3):
        ranges = synthetic_ranges(np.random.default_rng(seed))
        row = np.searchsorted(ranges.first, np.uint32(int(IPv4Address(address))), side="right") - 1
        assert row < 0 or ranges.last[row] < int(IPv4Address(address))


def test_synthetic_ranges_come_from_the_generator() -> None:
    """The same seed draws the same allocation, another seed another."""
    one, again, other = (synthetic_ranges(np.random.default_rng(seed)).first for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


TABLE = """\
16777216\t16777471\t13335\tUS\tCLOUDFLARENET
16777472\t16778239\t0\tNone\tNot routed
16778240\t16779263\t38803\tAU\tName with "a quote
"""


def test_load_ranges_leaves_out_what_is_not_routed(tmp_path: Path) -> None:
    """A table is read in order without ranges of ASN 0.

    Quotes in names have no meaning.
    """
    (tmp_path / "table.tsv").write_text(TABLE)
    ranges = load_ranges(tmp_path / "table.tsv")
    assert ranges.first.tolist() == [16777216, 16778240]
    assert ranges.last.tolist() == [16777471, 16779263]


def test_load_ranges_unpacks_gzip(tmp_path: Path) -> None:
    """A .tsv.gz is read as the .tsv in it."""
    with gzip.open(tmp_path / "table.tsv.gz", "wt") as stream:
        stream.write(TABLE)
    assert load_ranges(tmp_path / "table.tsv.gz").first.tolist() == [16777216, 16778240]


def test_load_ranges_reads_dotted_quads(tmp_path: Path) -> None:
    """Dotted quads in a table are read as addresses."""
    (tmp_path / "table.tsv").write_text("1.0.0.0\t1.0.0.255\t13335\tUS\tA\n255.0.0.0\t255.255.255.255\t7\tUS\tB\n")
    ranges = load_ranges(tmp_path / "table.tsv")
    assert ranges.first.tolist() == [0x01000000, 0xFF000000]
    assert ranges.last.tolist() == [0x010000FF, 0xFFFFFFFF]


@given(st.sets(st.integers(0, 2**32 - 1), min_size=2, max_size=30))
def test_load_ranges_gives_back_any_table(tmp_path_factory: pytest.TempPathFactory, edges: set[int]) -> None:
    """Any ascending ranges are read as they were written."""
    bounds = sorted(edges)[: len(edges) // 2 * 2]
    path = tmp_path_factory.mktemp("tables") / "table.tsv"
    path.write_text("".join(f"{a}\t{b}\t1\tXX\tname\n" for a, b in zip(bounds[::2], bounds[1::2], strict=True)))
    ranges = load_ranges(path)
    assert ranges.first.tolist() == bounds[::2]
    assert ranges.last.tolist() == bounds[1::2]


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("16779264\t16779519\t1", FORM),
        ("16779264\t16779519\t1\tUS\tname\tmore", FORM),
        ("", FORM),
        ("first\t16779519\t1\tUS\tname", FORM),
        ("16779264\t4294967296\t1\tUS\tname", FORM),
        ("16779264\t-1\t1\tUS\tname", FORM),
        ("16779264\t16779519\tAS1\tUS\tname", FORM),
        ("1.0.12.0\t1.0.12.255\t1\tUS\tname", FORM),
        ("2001:db8::\t2001:db8::1\t1\tUS\tname", FORM),
        ("16779519\t16779264\t1\tUS\tname", ORDER),
        ("16779263\t16779519\t1\tUS\tname", ORDER),
        ("16777216\t16777471\t1\tUS\tname", ORDER),
    ],
    ids=[
        *("too few columns", "too many columns", "empty line", "no number", "beyond IPv4", "negative"),
        *("ASN with letters", "mixed notations", "IPv6", "backwards", "overlapping", "out of order"),
    ],
)
def test_load_ranges_names_the_first_bad_line(tmp_path: Path, line: str, rule: str) -> None:
    """A line that breaks the format is refused with its file, its number and the rule."""
    path = tmp_path / "table.tsv"
    path.write_text(f"{TABLE}{line}\n{line}\n")
    with pytest.raises(ClientError) as caught:
        load_ranges(path)
    assert str(caught.value) == f"{path}:4: {rule}"


def test_load_ranges_needs_a_routed_range(tmp_path: Path) -> None:
    """A table with nothing but ASN 0 is refused."""
    path = tmp_path / "table.tsv"
    path.write_text("0\t16777215\t0\tNone\tNot routed\n")
    with pytest.raises(ClientError) as caught:
        load_ranges(path)
    assert str(caught.value) == f"{path}: the table has no routed range: every ASN is 0."


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\t1\t1\tUS\tname\n"], ids=["empty", "no text"])
def test_load_ranges_of_no_table(tmp_path: Path, content: bytes) -> None:
    """A file with nothing in it, or with no text, is refused."""
    path = tmp_path / "table.tsv"
    path.write_bytes(content)
    with pytest.raises(ClientError) as caught:
        load_ranges(path)
    assert str(caught.value) == f"{path}: the table of IP ranges is empty or no text."


def test_load_ranges_of_a_missing_file(tmp_path: Path) -> None:
    """A table that is not there is refused with the reason."""
    path = tmp_path / "table.tsv"
    with pytest.raises(ClientError) as caught:
        load_ranges(path)
    assert str(caught.value) == f"{path}: the table of IP ranges cannot be read: No such file or directory."


def test_load_ranges_of_what_is_not_compressed(tmp_path: Path) -> None:
    """A .gz that is not compressed is refused with the reason."""
    path = tmp_path / "table.tsv.gz"
    path.write_text(TABLE)
    with pytest.raises(ClientError) as caught:
        load_ranges(path)
    assert str(caught.value) == (
        f"{path}: the table of IP ranges cannot be read: It is damaged or not compressed by gzip."
    )

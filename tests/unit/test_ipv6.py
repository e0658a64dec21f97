"""IPv6 addresses: accepted addresses, embedded IPv4 addresses, and reasons of refusal."""

from __future__ import annotations

import ipaddress

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.data.ip_networks import Networks
from ipinsights.data.ipv6 import (
    Addresses,
    explain_address,
    format_ipv6,
    is_address,
    parse_address,
    parse_addresses,
)
from ipinsights.errors import ClientError


def number_of(addresses: Addresses) -> int:
    """Return the first address as a number of 128 bits."""
    return int(addresses.upper[0]) << 64 | int(addresses.lower[0])


@given(st.integers(2**125, 2**126 - 1))
def test_addresses_of_the_internet(value: int) -> None:
    """Halves and texts are those of Python's own parser in every notation."""
    address = ipaddress.IPv6Address(value)
    if value >> 96 in (0x20010DB8, 0x20010000):
        return
    for text in (str(address), address.exploded, str(address).upper(), f" [{address}]\t", f"{address}%eth0"):
        found = parse_address(text)
        assert found.is_ipv6.all()
        assert found.is_valid.all()
        assert number_of(found) == value
        assert is_address(text)
    assert format_ipv6(value >> 64, value & (2**64 - 1)) == str(address)


@pytest.mark.parametrize("text", ["::ffff:10.0.0.1", "::ffff:a00:1", "64:ff9b::10.0.0.1", "[::FFFF:10.0.0.1]"])
def test_ipv4_within_ipv6(text: str) -> None:
    """Mapped addresses and those behind NAT64 are the IPv4 addresses in them."""
    found = parse_address(text)
    assert (found.ips[0], found.is_ipv6[0], found.is_valid[0], number_of(found)) == (0x0A000001, False, True, 0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("fe80::1", "it is link-local, and other networks have the same address"),
        ("febf::1%eth0", "it is link-local, and other networks have the same address"),
        ("fc00::1", "it is a unique local address (ULA), and other networks have the same address"),
        ("fdff::1", "it is a unique local address (ULA), and other networks have the same address"),
        ("2001:db8::1", "it is reserved for documentation"),
        ("2001:0:1::1", "it is a Teredo address, which hides where it comes from"),
        ("2001:::1", "it is not a valid IPv6 address"),
        ("1:2:3:4:5:6:7:8:9", "it is not a valid IPv6 address"),
        ("::\0", "it is not a valid IPv6 address"),
        ("[2a00::1", "it is not a valid IPv6 address"),
        (":" * 101, "it is longer than any IPv6 address"),
        ("10.0.0.1:80", "there is a port behind it"),
        ("10.0.0.256", "256 is more than 255"),
        ("", "it is empty"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    """A refused text has a reason that ends a sentence."""
    assert explain_address(text) == reason
    assert not is_address(text)
    found = parse_addresses(pa.array(["10.0.0.1", text]))
    assert found.is_valid.tolist() == [True, False]
    assert found.ips.tolist() == [0x0A000001, 0]


@pytest.mark.parametrize("text", ["::", "ffff::", "2002::1", "2001:db9::1", "2001:1::1"])
def test_neighbours_of_refused_networks(text: str) -> None:
    """What is near a refused network is accepted."""
    assert explain_address(text) is None
    assert number_of(parse_address(text)) == int(ipaddress.IPv6Address(text))


@given(st.lists(st.sampled_from(["10.0.0.1", "2a00::1", "fe80::1", "", "::ffff:1.2.3.4", "x"]), max_size=8))
def test_a_column_is_parsed_like_each_text(texts: list[str]) -> None:
    """A column has what its texts have by themselves."""
    found = parse_addresses(pa.array(texts, pa.string()))
    for name, values in vars(found).items():
        assert values.tolist() == [getattr(parse_address(text), name)[0] for text in texts]


class TestNetworks:
    """Allow-lists of both families."""

    def test_contain(self) -> None:
        """Networks of any length, and single addresses."""
        networks = Networks(["10.0.0.0/8", "2a00::/16", "2b00::5", "2c00::/96"], ipv6=True)
        texts = ["10.1.1.1", "11.0.0.0", "2a00:ffff::1", "2a01::", "2b00::5", "2b00::6", "2c00::ffff:1", "2c00::1:0:1"]
        found = networks.contain_any(parse_addresses(pa.array(texts)))
        assert found.tolist() == [True, False, True, False, True, False, True, False]

    def test_refused_without_ipv6(self) -> None:
        """Where only IPv4 is known, an IPv6 network is refused as ever."""
        with pytest.raises(ClientError, match=r"^'2a00::/16' is no IPv4 network: "):
            Networks(["2a00::/16"])

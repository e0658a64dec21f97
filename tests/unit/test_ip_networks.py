"""Networks are found by their addresses, and what people write wrongly is refused."""

from __future__ import annotations

import ipaddress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.data.ip_networks import Network, Networks, network_text, special_purpose
from ipinsights.errors import ClientError

networks = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(lambda drawn: network_text(*drawn))


class TestNetworks:
    """A list of networks."""

    @given(st.lists(networks, max_size=6), st.lists(st.integers(0, 2**32 - 1), max_size=6))
    def test_as_python_has_it(self, texts: list[str], others: list[int]) -> None:
        """Membership is that of ``ipaddress`` for ends of networks, neighbours and other addresses."""
        parsed = [ipaddress.IPv4Network(text) for text in texts]
        ends = [int(end) for network in parsed for end in (network.network_address, network.broadcast_address)]
        ips = [ip for end in [*ends, *others] for ip in (end - 1, end, end + 1) if 0 <= ip < 2**32]
        expected = [any(ipaddress.IPv4Address(ip) in network for network in parsed) for ip in ips]
        assert Networks(texts).contain(np.array(ips, dtype=np.uint32)).tolist() == expected

    @pytest.mark.parametrize(
        "given", ["10.0.0.0/8", ipaddress.IPv4Network("10.0.0.0/8"), [ipaddress.IPv4Network("10.0.0.0/8")]]
    )
    def test_networks_of_python(self, given: str | Network | list[str | Network]) -> None:
        """One network needs no list, and networks of ``ipaddress`` are kept as texts."""
        assert Networks(given).texts == ("10.0.0.0/8",)

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("10.0.0.1/8", "10.0.0.1/8 has host bits set"),
            ("10.0.0.0/33", "'33' is not a valid netmask"),
            ("office", "Expected 4 octets in 'office'"),
            (1, "Expected 4 octets in '1'"),
        ],
    )
    def test_no_network(self, text: str, reason: str) -> None:
        """The message says which, why, and how it is written."""
        with pytest.raises(ClientError) as caught:
            Networks(["192.0.2.0/24", text])
        assert str(caught.value) == f"'{text}' is no IPv4 network: {reason}. Write it as in 10.0.0.0/8."


@pytest.mark.parametrize(
    ("address", "purpose"),
    [
        ("10.1.2.3", "private (RFC 1918)"),
        ("172.31.255.255", "private (RFC 1918)"),
        ("172.32.0.0", None),
        ("100.64.0.1", "carrier-grade NAT (RFC 6598): shared by many subscribers"),
        ("127.0.0.1", "loopback"),
        ("239.1.1.1", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("255.255.255.254", "reserved (future use)"),
        ("8.8.8.8", None),
    ],
)
def test_special_purpose(address: str, purpose: str | None) -> None:
    """The first and last addresses of IANA's networks have their purpose."""
    assert special_purpose(int(ipaddress.IPv4Address(address))) == purpose

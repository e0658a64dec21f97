"""Addresses between text and number."""

from __future__ import annotations

import ipaddress

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.data.ipv4 import explain_ip, format_ips, is_ip, parse_ips

REASONS = {
    "": "it is empty",
    " ": "it is empty",
    "::1": "it looks like IPv6; leave such rows out",
    "::ffff:1.2.3.4": "it looks like IPv6; leave such rows out",
    "1.2.3.4:443": "there is a port behind it",
    "1.2.3": "it must be four numbers from 0 to 255, separated by dots",
    "1.2.3.4.5": "it must be four numbers from 0 to 255, separated by dots",
    "1..3.4": "it must be four numbers from 0 to 255, separated by dots",
    "1.2.3.4\n": "it must be four numbers from 0 to 255, separated by dots",
    "1.2.3.-4": "it must be four numbers from 0 to 255, separated by dots",
    "1.2.3.\u0664": "it must be four numbers from 0 to 255, separated by dots",
    "host.example.org.": "it must be four numbers from 0 to 255, separated by dots",
    "1.2.3.256": "256 is more than 255",
    "1.2.300.4": "300 is more than 255",
    "1000.2.3.4": "1000 is more than 255",
    "01.2.3.4": "01 has a leading zero, which some read as octal",
    "1.2.3.00": "00 has a leading zero, which some read as octal",
}


def parse_one(text: str) -> int | None:
    """Return the address of a text, or None if the text is not valid."""
    ips, valid = parse_ips(pa.array([text]))
    return int(ips[0]) if valid[0] else None


class TestParseIps:
    """Columns of texts become numbers."""

    def test_octets_are_big_endian(self) -> None:
        """1.2.3.4 is 1 * 2^24 + 2 * 2^16 + 3 * 2^8 + 4."""
        assert parse_one("1.2.3.4") == 16_909_060

    def test_blanks_around_an_address_are_allowed(self) -> None:
        """The documents' sample rows have a blank after the comma."""
        assert parse_one(" 0.0.0.1\t") == 1

    @pytest.mark.parametrize("text", REASONS)
    def test_anything_else_is_refused(self, text: str) -> None:
        """What has a reason to be no address is not parsed, alone or among good ones."""
        assert parse_one(text) is None
        ips, valid = parse_ips(pa.array(["9.9.9.9", text, "8.8.8.8"]))
        assert valid.tolist() == [True, False, True]
        assert ips.tolist() == [0x09090909, 0, 0x08080808]

    def test_an_empty_column_has_no_addresses(self) -> None:
        """An empty column parses to no addresses."""
        ips, valid = parse_ips(pa.array([], pa.string()))
        assert (len(ips), len(valid)) == (0, 0)

    def test_a_slice_of_a_column_is_read_where_it_begins(self) -> None:
        """Arrow's slices share their parent's bytes."""
        ips, _ = parse_ips(pa.array(["1.1.1.1", "2.2.2.2", "3.3.3.3"]).slice(1, 1))
        assert ips.tolist() == [0x02020202]

    @given(st.lists(st.integers(0, 2**32 - 1), max_size=50))
    def test_format_is_the_inverse(self, numbers: list[int]) -> None:
        """Every address survives the way to text and back, and the text is Python's."""
        texts = format_ips(np.array(numbers, dtype=np.uint32))
        assert texts.to_pylist() == [str(ipaddress.IPv4Address(number)) for number in numbers]
        ips, valid = parse_ips(texts)
        assert valid.all()
        assert ips.tolist() == numbers

    def test_every_octet_is_checked(self) -> None:
        """At each position exactly the numbers from 0 to 255 are accepted."""
        for place in range(4):
            texts = [".".join(["7"] * place + [str(octet)] + ["7"] * (3 - place)) for octet in range(1000)]
            assert parse_ips(pa.array(texts))[1].tolist() == [octet <= 255 for octet in range(1000)]
            # among others that are all right, and each alone
            assert parse_ips(pa.array(texts[:256]))[1].all()
            assert [parse_one(texts[octet]) is not None for octet in (255, 256, 299, 999)] == [True, *[False] * 3]

    @given(st.lists(st.text(alphabet="0125. \t:a\n", max_size=16), max_size=8))
    def test_the_standard_library_agrees(self, texts: list[str]) -> None:
        """An address is what Python's ipaddress takes for one, blanks around it set aside."""
        ips, valid = parse_ips(pa.array(texts, pa.string()))
        for text, ip, is_valid in zip(texts, ips.tolist(), valid.tolist(), strict=True):
            try:
                expected = int(ipaddress.IPv4Address(text.strip(" \t")))
            except ValueError:
                assert not is_valid
            else:
                assert is_valid
                assert ip == expected


class TestExplainIp:
    """Every text that is no address has a reason."""

    @pytest.mark.parametrize(("text", "reason"), REASONS.items())
    def test_the_reason_names_the_rule(self, text: str, reason: str) -> None:
        """Each kind of mistake has a sentence of its own."""
        assert explain_ip(text) == reason

    @given(st.text(alphabet="0125. \t:a\n", max_size=16))
    def test_there_is_a_reason_just_when_it_is_no_address(self, text: str) -> None:
        """Telling and explaining never contradict each other."""
        assert is_ip(text) == (explain_ip(text) is None) == (parse_one(text) is not None)

"""Values of fields: what means nothing, and what stands around an address."""

from __future__ import annotations

import pyarrow as pa
import pytest

from ipinsights.etl.field_values import (
    address_reasons,
    bare_addresses,
    bare_ipv6,
    first_addresses,
    first_values,
    stand_for_nothing,
)
from ipinsights.etl.records import Reason


@pytest.mark.parametrize("text", ["", " ", "-", "--", "NULL", r"\N", "nan", "None", "(not set)", "Not Available", None])
def test_words_for_nothing(text: str | None) -> None:
    """Each means that there is no value, with blanks around it, too."""
    padded = None if text is None else f" {text} "
    assert stand_for_nothing(pa.array([text, padded], pa.string())).tolist() == [True, True]


def test_names_mean_something() -> None:
    """A name that contains such a word is a name."""
    assert stand_for_nothing(pa.array(["nancy", "null.user", "none-at-all"])).tolist() == [False] * 3


@pytest.mark.parametrize(
    "text",
    ["192.0.2.1", " 192.0.2.1 ", "192.0.2.1:443", "[192.0.2.1]", '"192.0.2.1"', "192.0.2.1/32", "::ffff:192.0.2.1",
     "192.0.2.1, 10.0.0.1", "[::ffff:192.0.2.1]:443", "::ffff:c000:201", "[::FFFF:C000:201]:443",
     "0:0:0:0:0:ffff:192.0.2.1"],
)  # fmt: skip
def test_an_address_is_taken_out_of_what_stands_around_it(text: str) -> None:
    """Ports, brackets, quotes, a whole network of one address, and the first of a list."""
    assert bare_addresses(pa.array([text])).to_pylist() == ["192.0.2.1"]


@pytest.mark.parametrize(
    "text",
    ["2a00:1::2", "[2a00:1::2]", "[2a00:1::2]:443", '"2a00:1::2"', "2a00:1::2/128", "2a00:1::2%eth0",
     "[2a00:1::2%eth0]:443", "2a00:1::2, 10.0.0.1", '["2a00:1::2","10.0.0.1"]'],
)  # fmt: skip
def test_an_ipv6_address_is_taken_out_likewise(text: str) -> None:
    """What stands around an IPv6 address is the same."""
    assert bare_ipv6(pa.array([text])).to_pylist() == ["2a00:1::2"]


@pytest.mark.parametrize("text", ["host-192.0.2.1", "192.0.2.1x", "192.0.2.0/24", "a,192.0.2.1"])
def test_other_texts_stay(text: str) -> None:
    """Texts that only contain an address stay as they are."""
    assert bare_addresses(pa.array([text])).to_pylist() == [text]


def test_the_first_column_with_a_value_counts() -> None:
    """Later columns are for records without the first."""
    columns = [pa.array(["ann", "-", None]), pa.array(["x", "bob", "eve"])]
    assert first_values(columns).to_pylist() == ["ann", "bob", "eve"]


def test_the_first_column_with_an_address_counts() -> None:
    """A host name gives way to the address in a later column."""
    columns = [pa.array(["gate", "192.0.2.1"]), pa.array(["192.0.2.7", "192.0.2.8"])]
    assert first_addresses(columns).to_pylist() == ["192.0.2.7", "192.0.2.1"]


def test_an_ipv6_address_is_an_address() -> None:
    """A later column does not replace the IPv6 address of a client."""
    columns = [pa.array(["2a00:1::2", "[2a00:1::2]:443"]), pa.array(["192.0.2.7", "192.0.2.8"])]
    assert first_addresses(columns).to_pylist() == ["2a00:1::2", "[2a00:1::2]:443"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("gate.example.org", Reason.HOST_NAME),
        ("2001:db8::1", Reason.IPV6),
        ("[2001:db8::1]:443", Reason.IPV6),
        ("300.0.2.1:80", Reason.PORT),
        ("300.0.2.1, 10.0.0.1", Reason.SEVERAL),
        ("-", Reason.NO_ADDRESS),
        ("300.0.2.1", Reason.BAD_ADDRESS),
    ],
)
def test_why_a_text_is_not_an_address(text: str, reason: Reason) -> None:
    """Reasons distinguish a name, IPv6, a port, a list and an empty field."""
    assert address_reasons(pa.array([text])).tolist() == [reason]

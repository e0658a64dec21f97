"""Lines of key=value pairs become records."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.etl.key_values import pairs_of

from .test_linear_time import check_linear

if TYPE_CHECKING:
    from .log_samples import Bench

KEYCLOAK = (
    '2024-10-17 10:43:38,199 DEBUG [org.keycloak.events] (executor-thread-26) type="LOGIN", userId="4e2f", '
    'ipAddress="192.0.2.7", username="ann"'
)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z][a-z_.]{0,8}", fullmatch=True), st.text(st.characters(exclude_categories=["C"]))
    )
)
def test_what_was_written_is_read(pairs: dict[str, str]) -> None:
    """Quotes and backslashes inside of quotes are escaped."""
    escaped = {key: value.replace("\\", "\\\\").replace('"', '\\"') for key, value in pairs.items()}
    assert pairs_of(" ".join(f'{key}="{value}"' for key, value in escaped.items())) == pairs


def test_keycloak(bench: Bench) -> None:
    """The time in front of Keycloak's lines is read."""
    assert bench.of("keycloak", KEYCLOAK) == ([["ann", "192.0.2.7", "2024-10-17T10:43:38.199000Z"]], {})


def test_logfmt(bench: Bench) -> None:
    """Words without a pair are malformed, and a missing user is counted."""
    log = "ts=2024-01-02T03:04:05Z level=info user=ann remote=192.0.2.7:443\n\noops\nts=1 level=info\n"
    names = {"entity": "user", "ip": "remote"}
    assert bench.of("logfmt", log, **names) == (
        [["ann", "192.0.2.7", "2024-01-02T03:04:05Z"]], {"BLANK": 1, "MALFORMED": 1, "NO_USER": 1}
    )  # fmt: skip


@pytest.mark.parametrize(("zone", "clock"), [("", "08:30"), (' tz="+0100"', "07:30"), (' tz="-0530"', "14:00")])
def test_fortigate(bench: Bench, zone: str, clock: str) -> None:
    """The fields date, time and tz of FortiGate are one time."""
    log = f'date=2026-10-31 time=08:30:44 devname="fw1" user="ann" remip=192.0.2.7{zone}\n'
    rows, _ = bench.of("logfmt", log, entity="user", ip="remip")
    assert rows == [["ann", "192.0.2.7", f"2026-10-31T{clock}:44Z"]]


def test_messages_in_json(bench: Bench) -> None:
    """Keycloak's lines of JSON are read by their message, and fields of JSON go first."""
    message = KEYCLOAK.partition(") ")[2]
    lines = [{"timestamp": "2024-10-17T10:43:38.199Z", "message": message}, {"message": "Keycloak started", "level": 1}]
    assert bench.of("keycloak", "\n".join(map(json.dumps, lines))) == (
        [["ann", "192.0.2.7", "2024-10-17T10:43:38.199000Z"]], {"NO_USER": 1}
    )  # fmt: skip


def test_json_without_pairs(bench: Bench) -> None:
    """No text inside of a JSON object is taken for a pair but that of its message."""
    log = json.dumps({"ip": "192.0.2.7", "user": "ann", "ts": "2024-01-02T03:04:05Z", "url": "/?user=eve&ip=192.0.2.9"})
    assert bench.of("logfmt", log, entity="user") == ([["ann", "192.0.2.7", "2024-01-02T03:04:05Z"]], {})


def test_a_line_that_ends_inside_of_quotes() -> None:
    """All that follows an open quote is in quotes."""
    assert pairs_of('ts=1 agent="x user=eve ip=192.0.2.9') == {"ts": "1", "agent": "x user=eve ip=192.0.2.9"}


@pytest.mark.parametrize("part", ["a", "a=", 'a="', "a='", "a.", '\\"', 'a="\\"', "=", "a b"])
def test_time(part: str) -> None:
    """The time to parse grows linearly with the length of a line."""
    check_linear(pairs_of, "", part, "")

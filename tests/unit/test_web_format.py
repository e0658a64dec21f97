"""Access logs in a format that is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipinsights.errors import ClientError
from ipinsights.etl.filters import Filters
from ipinsights.etl.records import LogOptions
from ipinsights.etl.web_format import WebFormat

if TYPE_CHECKING:
    from .log_samples import Bench

NGINX = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_x_forwarded_for" '
    "$request_time"
)
APACHE = r"%h %l %u %t \"%r\" %>s %b \"%{X-Forwarded-For}i\" %D"
LINE = '192.0.2.7 - ann [10/Oct/2000:13:55:36 -0700] "GET /in?x=1 HTTP/1.0" 200 23 "198.51.100.1, 10.0.0.1" 0.003'
TIME = "2000-10-10T20:55:36Z"


@pytest.mark.parametrize("log_format", [NGINX, APACHE])
def test_fields_of_a_format(bench: Bench, log_format: str) -> None:
    """User, client and time are known by their names, and others can be chosen."""
    assert bench.of("nginx", LINE, line_format=log_format) == ([["ann", "192.0.2.7", TIME]], {})
    name = "http_x_forwarded_for" if "$" in log_format else "%{X-Forwarded-For}i"
    assert bench.of("nginx", LINE, line_format=log_format, ip=name) == ([["ann", "198.51.100.1", TIME]], {})


@pytest.mark.parametrize(
    ("log_format", "line"),
    [
        ("$time_iso8601: $remote_addr $remote_user ($host)", "2000-10-10T22:55:36+02:00: 192.0.2.7 ann (example.org)"),
        ("$msec|$remote_user|$remote_addr", "971211336.000|ann|192.0.2.7"),
        ("%{%Y-%m-%d %H:%M:%S}t %u %a", "2000-10-10 20:55:36 ann 192.0.2.7"),
        ("%{sec}t %u %{c}a", "971211336 ann 192.0.2.7"),
        ("%v %h %l %u %t", "www.example.org 192.0.2.7 - ann [10/Oct/2000:13:55:36 -0700]"),
        ("combined", '192.0.2.7 - ann [10/Oct/2000:13:55:36 -0700] "-" 400 0 "-" "-"'),
        ("${remote_addr} $remote_user [$time_local]", "192.0.2.7 ann [10/Oct/2000:13:55:36 -0700] a field behind"),
    ],
)
def test_formats(bench: Bench, log_format: str, line: str) -> None:
    """Times of every variable, text between variables, and fields that were appended."""
    assert bench.of("apache", line, line_format=log_format) == ([["ann", "192.0.2.7", TIME]], {})


def test_filters(bench: Bench) -> None:
    """The names of the other formats, and those of the variables."""
    bench.put(f"{LINE}\n{LINE.replace('200', '401').replace('ann', 'ben')}\n")
    filters = Filters.parse(path="^/in$", status="200", where=["method=GET", "request_time=0.003"])
    bench.extract("nginx", LogOptions(line_format=NGINX), filters)
    assert bench.rows() == [["ann", "192.0.2.7", TIME]]


@given(st.text(st.sampled_from('ab[]"- 0123456789.:/'), min_size=1, max_size=30))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_agent_changes_the_address(bench: Bench, agent: str) -> None:
    """What a client sends in quotes is escaped by the server, and stays there."""
    escaped = agent.replace('"', '\\"')
    bench.of("nginx", f'192.0.2.7 ann [10/Oct/2000:13:55:36 -0700] "{escaped}" 10.0.0.1', line_format=(
        '$remote_addr $remote_user [$time_local] "$http_user_agent" $upstream_addr'
    ))  # fmt: skip
    assert bench.rows() == [["ann", "192.0.2.7", TIME]]


def test_what_is_missing(bench: Bench) -> None:
    """The message names the option and the variables that there are."""
    path = bench.put(LINE)
    with pytest.raises(ClientError) as caught:
        bench.extract("nginx", LogOptions(line_format="$remote_addr $request"))
    assert str(caught.value) == (
        f"{path}: The log format has no variable for the entity: name one with `entity`. "
        "The variables are remote_addr, request."
    )
    with pytest.raises(ClientError) as caught:
        WebFormat("oops")
    assert str(caught.value) == "`line_format` must have variables of nginx ($remote_addr) or Apache (%h). Got 'oops'."


@pytest.mark.parametrize(
    "log_format",
    [
        "'$remote_addr - $remote_user [$time_local] '\n    '\"$request\"'",
        "log_format  main  '$remote_addr - $remote_user [$time_local] '\n                  '\"$request\"';",
        "log_format main escape=json '$remote_addr - $remote_user [$time_local] \"$request\"';",
        r'LogFormat "%h %l %u %t \"%r\"" common',
        r'"%h %l %u %t \"%r\""',
    ],
)
def test_formats_as_a_configuration_has_them(bench: Bench, log_format: str) -> None:
    """What a user copied from a configuration is read with its quotes and directives."""
    assert bench.of("nginx", LINE, line_format=log_format) == ([["ann", "192.0.2.7", TIME]], {})


def test_tabs_of_a_format(bench: Bench) -> None:
    """A TAB stands in a configuration as an escape."""
    line = "192.0.2.7\tann\t10/Oct/2000:13:55:36 -0700"
    assert bench.of("nginx", line, line_format=r"$remote_addr\t$remote_user\t$time_local")[0] == [
        ["ann", "192.0.2.7", TIME]
    ]

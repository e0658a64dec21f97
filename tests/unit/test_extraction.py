"""Log files of every format become rows; what does not is counted, with the reason."""

from __future__ import annotations

import csv
import gzip
import io
import json
import logging
import re
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from ipinsights.cli import traffic_commands
from ipinsights.data import bounded_lines
from ipinsights.data.file_kinds import text_encoding
from ipinsights.data.ipv4 import format_ips
from ipinsights.data.timestamps import format_times
from ipinsights.errors import ClientError
from ipinsights.etl import pipeline
from ipinsights.etl.filters import Filters
from ipinsights.etl.pipeline import FORMATS, extract
from ipinsights.etl.records import Columns, Reason
from ipinsights.etl.summary import NothingUsableError, Summary
from ipinsights.synthetic import logins
from ipinsights.synthetic.ip_ranges import Ranges
from ipinsights.synthetic.traffic_files import write_traffic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

COMBINED = (
    '192.0.2.7 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif?x=1 HTTP/1.0" 200 2326 "-" "Mozilla/4.08"'
)
FRANK = ["frank", "192.0.2.7", "2000-10-10T20:55:36Z"]
SSHD = "Oct  9 08:15:01 gate sshd[4711]: Accepted publickey for alice from 192.0.2.7 port 50022 ssh2: RSA SHA256:abc"
ALICE = ["alice", "192.0.2.7", "2018-10-09T08:15:01Z"]
FLOW = "2 123456789010 eni-0a1b 192.0.2.7 172.31.9.69 49761 3389 6 20 4249 1418530010 1418530070 REJECT OK"
HEADER = (
    "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
)
TRAIL: Mapping[str, Any] = {
    "eventVersion": "1.08",
    "userIdentity": {
        "type": "IAMUser",
        "principalId": "AIDACKCEVSQ6C2EXAMPLE",
        "arn": "arn:aws:iam::123456789012:user/Alice",
        "userName": "Alice",
        "sessionContext": {"attributes": {"mfaAuthenticated": True}},
    },
    "eventTime": "2018-11-11T09:30:05Z",
    "eventName": "ConsoleLogin",
    "sourceIPAddress": "192.0.2.7",
}
CALLER = ["arn:aws:iam::123456789012:user/Alice", "192.0.2.7", "2018-11-11T09:30:05Z"]


class Bench:
    """A folder to put logs into and to extract from."""

    def __init__(self, folder: Path) -> None:
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.output = folder / "rows.csv"

    def put(self, content: str | bytes, name: str = "log") -> Path:
        """Write a log."""
        path = self.logs / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def extract(self, log_format: str, columns: Columns = Columns(), filters: Filters = Filters()) -> Summary:  # noqa: B008
        """Extract from all logs."""
        return extract([self.logs], self.output, log_format=log_format, columns=columns, filters=filters)

    def rows(self) -> list[list[str]]:
        """Read what was written, as any reader of CSV would."""
        with self.output.open(encoding="utf-8", newline="") as stream:
            return list(csv.reader(stream))

    def of(self, log_format: str, content: str | bytes, **columns: Any) -> tuple[list[list[str]], dict[str, int]]:
        """Give the rows of one log, and the numbers of what was skipped by the names of the reasons."""
        self.put(content)
        summary = self.extract(log_format, Columns(**columns))
        rows = self.rows()
        assert summary.num_written == len(rows)
        assert summary.num_records == len(rows) + sum(summary.skipped.values())
        return rows, {reason.name: number for reason, number in summary.skipped.items()}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Give a folder to put logs into and to extract from."""
    return Bench(tmp_path)


class TestWeb:
    """Access logs of Apache and nginx."""

    @pytest.mark.parametrize("log_format", ["apache", "nginx"])
    @pytest.mark.parametrize(
        "line",
        {
            "combined": COMBINED,
            "common": COMBINED.partition(' "-"')[0],
            "vhost_combined": f"www.example.org:443 {COMBINED}",
            "further fields": f'{COMBINED} 0.003 "cache=hit"',
            "an agent cut off": COMBINED[:-1],
            "quotes inside of the request": COMBINED.replace("x=1", r"x=\"1\" 2"),
            "no request at all": COMBINED.replace("GET /apache_pb.gif?x=1 HTTP/1.0", ""),
            "no size": COMBINED.replace("2326", "-"),
            "an identity": COMBINED.replace(" - frank", " identd frank"),
            "CRLF": f"{COMBINED}\r",
        }.values(),
    )
    def test_every_kind_of_line(self, bench: Bench, log_format: str, line: str) -> None:
        """Common and combined, with or without virtual host, whatever is asked for."""
        assert bench.of(log_format, line) == ([FRANK], {})

    @pytest.mark.parametrize("user", ["a,b", r"q\"x", "müller", "[x]", r"C\\ann", r"C\x5Cann", "a@b.example", "0"])
    def test_a_user_may_be_anything(self, bench: Bench, user: str) -> None:
        """Commas, quotes as the servers escape them, brackets, and letters of any language."""
        assert bench.of("apache", COMBINED.replace("frank", user)) == ([[user, *FRANK[1:]]], {})

    @pytest.mark.parametrize("user", ["john doe", "Ana María d'Arc", r"CORP\\ann lee", "J. Jean-Luc"])
    def test_a_name_of_several_words(self, bench: Bench, user: str) -> None:
        """It is a name in a log in which it is the exception."""
        log = f"{COMBINED}\n{COMBINED.replace('frank', user)}\n"
        assert bench.of("apache", log) == ([FRANK, [user, *FRANK[1:]]], {})

    @pytest.mark.parametrize("field", ["HIT", "https", "staging"])
    def test_a_word_in_every_line_is_no_name(self, bench: Bench, field: str) -> None:
        """A field behind the user has a value in each line, whoever it is about."""
        log = "".join(f"{COMBINED.replace('frank', f'{user} {field}')}\n" for user in ("ann", "-", "ben"))
        with pytest.raises(ClientError, match="None of the 3 records is in the format apache"):
            bench.of("apache", log)

    @pytest.mark.parametrize(
        "front",
        [
            "192.0.2.7 - 198.51.100.1 - frank",
            "192.0.2.7 - frank - www.example.org",
            "192.0.2.7 - frank www.example.org",
            "192.0.2.7 www.example.org - frank",
            "198.51.100.1 192.0.2.7 frank",
            "198.51.100.1 192.0.2.7 - frank",
            "198.51.100.1:443 192.0.2.7 - frank",
            "2001:db8::1 192.0.2.7 - frank",
            "fe80::1 192.0.2.7 - frank",
            "192.0.2.7 - frank 0.125",
            "192.0.2.7 - frank 8f1c2b",
            "192.0.2.7 - frank -",
            "192.0.2.7 - - frank",
            "192.0.2.7 - frank TLSv1.3",
            "192.0.2.7 - frank /app",
            "192.0.2.7 - frank cache=hit",
            '192.0.2.7 - frank "192.0.2.9"',
            "192.0.2.7 - [frank] - frank x",
            "192.0.2.7 - [192.0.2.7] frank",
            "- 192.0.2.7 - frank",
            '192.0.2.7 - fr"ank',
            "192.0.2.7 - a [b] c",
        ],
    )
    def test_another_field_before_the_time(self, bench: Bench, front: str) -> None:
        """Nobody knows which word is the user, so the line is malformed, and is shown."""
        line = COMBINED.replace("192.0.2.7 - frank", front)
        bench.put(f"{COMBINED}\n{line}\n")
        summary = bench.extract("nginx")
        assert (bench.rows(), summary.skipped) == ([FRANK], {Reason.MALFORMED: 1})
        assert summary.examples[Reason.MALFORMED] == f"{bench.logs / 'log'}: {line!r}"

    @pytest.mark.parametrize("forwarded", ["192.0.2.7", "198.51.100.1, 192.0.2.7", "2001:db8::7"])
    def test_ingress_nginx(self, bench: Bench, forwarded: str) -> None:
        """It writes the address again in brackets, and a dash, before the user."""
        line = COMBINED.replace(" - ", f" - [{forwarded}] - ")
        log = f"{line}\n{line.replace('frank', '-')}\n{line.replace('frank', 'ann lee')}\n"
        assert bench.of("nginx", log) == ([FRANK, ["ann lee", *FRANK[1:]]], {"NO_USER": 1})

    def test_a_virtual_host_without_port(self, bench: Bench) -> None:
        """An address behind it shows that it is one."""
        for host in ("www.example.org", "localhost", "_", "3w.example:8443"):
            assert bench.of("apache", f"{host} {COMBINED}") == ([FRANK], {})

    @given(user=st.text(st.characters(min_codepoint=0x20, max_codepoint=0x2FF), max_size=60))
    @example(user='x [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 1')
    @example(user='" [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 1 "')
    @example(user="- 198.51.100.1 - root")
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    def test_no_name_forges_a_line(self, bench: Bench, user: str) -> None:
        """Whatever name a client sends, the row has its address, its time and that name, or there is no row."""
        line = COMBINED.replace("frank", user.replace("\\", r"\\").replace('"', r"\"")).replace(" 200 ", " 401 ")
        bench.put(f"{COMBINED}\n{line}\n")
        bench.extract("apache")
        for row in bench.rows()[1:]:
            assert row == [user.replace("\\", r"\\").replace('"', r"\""), *FRANK[1:]]
        bench.extract("apache", filters=Filters.parse(path=None, status="200", where=[]))
        assert bench.rows() == [FRANK]

    def test_bytes_that_are_no_text(self, bench: Bench) -> None:
        """They become escapes, as Apache writes them itself."""
        assert bench.of("apache", COMBINED.encode().replace(b"frank", b"fr\xffnk"))[0][0][0] == r"fr\xffnk"

    def test_why_lines_are_skipped(self, bench: Bench) -> None:
        """Each line that gives no row is counted with the first reason that holds."""
        lines = [
            COMBINED,
            COMBINED.replace("frank", "-"),
            COMBINED.replace("frank", '""'),
            COMBINED.replace("192.0.2.7", "2001:db8::7"),
            COMBINED.replace("192.0.2.7", "2001:db8::7").replace("frank", "john doe"),
            COMBINED.replace("192.0.2.7", "::FFFF:192.0.2.7"),
            COMBINED.replace("192.0.2.7", "www.example.org"),
            COMBINED.replace("10/Oct", "31/Feb"),
            COMBINED[10:],
            COMBINED.replace(" 200 ", " OK "),
            "",
            " \t",
        ]
        assert bench.of("apache", "\n".join(lines) + "\n") == (
            [FRANK, FRANK],
            {"NO_USER": 2, "IPV6": 2, "HOST_NAME": 1, "NO_TIME": 1, "MALFORMED": 2, "BLANK": 2},
        )

    @pytest.mark.parametrize(
        ("filters", "kept"),
        [
            (Filters.parse(path="^/login$", status="", where=[]), "abd"),
            (Filters.parse(path=None, status="200, 302", where=[]), "abc"),
            (Filters.parse(path=None, status="", where=["method=POST"]), "bd"),
            (Filters.parse(path="login", status="302", where=["method=POST", 'agent=x\\"y']), "b"),
            (Filters.parse(path=None, status="", where=["referer="]), "d"),
            (Filters.parse(path="", status=",", where=[]), "abcd"),
        ],
    )
    def test_filters(self, bench: Bench, filters: Filters, kept: str) -> None:
        """Path without query, status, and any field by its value, all at once; a missing field is empty."""
        line = '192.0.2.7 - {} [10/Oct/2000:13:55:36 -0700] "{}" {} 1'
        bench.put(
            "\n".join(
                [
                    line.format("a", "GET /login?next=/ HTTP/1.1", 200) + ' "-" "z"',
                    line.format("b", "POST /login HTTP/1.1", 302) + ' "-" "x\\"y"',
                    line.format("c", "GET /login/help HTTP/1.1", 200) + ' "-" "z"',
                    line.format("d", "POST /login HTTP/1.1", 401),
                ]
            )
        )
        summary = bench.extract("apache", filters=filters)
        assert "".join(row[0] for row in bench.rows()) == kept
        assert summary.skipped[Reason.FILTERED] == 4 - len(kept)

    def test_simulated_traffic_comes_back(self, tmp_path: Path, rng: np.random.Generator) -> None:
        """Extracting from a simulated access log gives the simulated events, in their order."""
        ranges = Ranges(np.array([16_909_056], dtype=np.uint32), np.array([16_909_311], dtype=np.uint32))
        events = logins.simulate(num_users=20, num_days=3, ranges=ranges, rng=rng)
        write_traffic(tmp_path, events, logins.attack_test(events, ranges, rng=rng), rng=rng)
        output = tmp_path / "rows.csv"
        summary = extract([tmp_path / "access.log"], output, log_format="apache", columns=Columns(), filters=Filters())
        times = format_times(events.time * 1_000_000).to_pylist()
        pairs = zip(events.user, format_ips(events.ip).to_pylist(), times, strict=True)
        assert output.read_text() == "".join(f"user_{user},{ip},{time}\n" for user, ip, time in pairs)
        assert (summary.num_records, summary.num_written) == (len(events), len(events))


class TestSshd:
    """Log-ins of OpenSSH, behind whatever syslog puts in front."""

    @pytest.mark.parametrize(
        ("front", "time"),
        [
            ("Oct  9 08:15:01 gate sshd[4711]:", "2018-10-09T08:15:01Z"),
            ("<38>Oct  9 08:15:01 gate sshd[4711]:", "2018-10-09T08:15:01Z"),
            ("Oct 9 08:15:01 gate sshd[4711]:", "2018-10-09T08:15:01Z"),
            ("Oct 09 08:15:01 gate sshd[4711]:", "2018-10-09T08:15:01Z"),
            ("Oct 9 08:15:01.25 gate sshd[4711]:", "2018-10-09T08:15:01.250000Z"),
            ("Oct 09 08:15:01.123456789 gate sshd[4711]:", "2018-10-09T08:15:01.123456Z"),
            ("Oct  9 08:15:01 gate sshd[4711]: [ID 800047 auth.info]", "2018-10-09T08:15:01Z"),
            ("Oct  9 08:15:01 gate sshd[4711]: [ID 702911 local7.notice]", "2018-10-09T08:15:01Z"),
            ("Tue 2018-10-09 08:15:01 UTC gate sshd[4711]:", "2018-10-09T08:15:01Z"),
            ("2018-10-09 08:15:01 gate sshd[4711]:", "2018-10-09T08:15:01Z"),
            ("2018-10-09 08:15:01,5 +0200 gate sshd-auth[4711]:", "2018-10-09T06:15:01.500000Z"),
            ("2018-10-09T08:15:01.123456+02:00 gate sshd[4711]:", "2018-10-09T06:15:01.123456Z"),
            ("2018-10-09T08:15:01+0200 gate sshd[4711]:", "2018-10-09T06:15:01Z"),
            ("2018-10-09T08:15:01Z gate sshd-session[4711]:", "2018-10-09T08:15:01Z"),
            ("<38>1 2018-10-09T08:15:01Z gate sshd 4711 - -", "2018-10-09T08:15:01Z"),
            ('<38>1 2018-10-09T08:15:01Z gate sshd 4711 - [meta x="1"]', "2018-10-09T08:15:01Z"),
        ],
    )
    def test_every_kind_of_front(self, bench: Bench, front: str, time: str) -> None:
        """RFC 3164, RFC 3339 as rsyslog and the journal write it, RFC 5424; sshd by its old and its new name."""
        line = f"{front} Failed password for alice from 192.0.2.7 port 50022 ssh2"
        assert bench.of("sshd", line, year=2018) == ([["alice", "192.0.2.7", time]], {})

    @pytest.mark.parametrize(
        ("message", "user"),
        {
            "Accepted password for alice from 192.0.2.7 port 50022 ssh2": "alice",
            "Accepted publickey for alice from 192.0.2.7 port 50022 ssh2: ED25519 SHA256:abc/+d": "alice",
            "Accepted keyboard-interactive/pam for alice from 192.0.2.7 port 50022 ssh2": "alice",
            "Failed password for invalid user admin from 192.0.2.7 port 50022 ssh2": "admin",
            "Failed none for invalid user a b from 192.0.2.7 port 50022 ssh2": "a b",
            "Failed password for invalid user from 192.0.2.7 port 50022 ssh2": "invalid user",
            "message repeated 2 times: [ Failed password for root from 192.0.2.7 port 50022 ssh2]": "root",
            "Failed password for invalid user x from 198.51.100.1 port 1 ssh2 from 192.0.2.7 port 50022 ssh2": (
                "x from 198.51.100.1 port 1 ssh2"
            ),
        }.items(),
    )
    def test_every_kind_of_result(self, bench: Bench, message: str, user: str) -> None:
        """The name is all between "for" and the server's own "from", though it may try to look like that."""
        line = f"2018-10-09T08:15:01Z gate sshd[1]: {message}"
        assert bench.of("sshd", line) == ([[user, "192.0.2.7", "2018-10-09T08:15:01Z"]], {})

    def test_why_lines_are_skipped(self, bench: Bench) -> None:
        """Other programs and messages, no name, IPv6, host names, no log at all."""
        lines = [
            SSHD,
            "Oct  9 08:15:01 gate CRON[1]: pam_unix(cron:session): session opened for user root by (uid=0)",
            "Oct  9 08:15:01 gate fake[1]: Accepted password for alice from 192.0.2.7 port 1 ssh2",
            "Oct  9 08:15:01 gate sshd[1]: Invalid user admin from 192.0.2.7 port 1",
            "Oct  9 08:15:01 gate sshd[1]: Failed password for invalid user  from 192.0.2.7 port 1 ssh2",
            "Oct  9 08:15:01 gate sshd[1]: Accepted password for alice from 2001:db8::7 port 1 ssh2",
            "Oct  9 08:15:01 gate sshd[1]: Accepted password for alice from fe80::1%eth0 port 1 ssh2",
            "Oct  9 08:15:01 gate sshd[1]: Accepted password for alice from www.example.org port 1 ssh2",
            "Oct 99 08:15:01 gate sshd[1]: Accepted password for alice from 192.0.2.7 port 1 ssh2",
            "Accepted password for alice from 192.0.2.7 port 1 ssh2",
            "",
        ]
        assert bench.of("sshd", "\n".join(lines) + "\n", year=2018) == (
            [ALICE],
            {"OTHER": 3, "NO_USER": 1, "IPV6": 2, "HOST_NAME": 1, "NO_TIME": 1, "MALFORMED": 1, "BLANK": 1},
        )

    @pytest.mark.parametrize("front", [
        "2018-10-09 08:15:01 CEST gate sshd[1]:", "Oct  9 08:15:01 gate sshd[1]: [audit 7]",
        "Oct  9 08:15:01 proxy gate sshd-session[1]:",
    ])  # fmt: skip
    def test_results_behind_an_unknown_front(self, bench: Bench, front: str) -> None:
        """They are malformed, and shown, instead of lost among the lines about something else."""
        line = f"{front} Accepted password for alice from 192.0.2.7 port 1 ssh2"
        assert bench.of("sshd", f"{SSHD}\n{line}\n", year=2018) == ([ALICE], {"MALFORMED": 1})

    def test_only_successful_log_ins_of_known_users(self, bench: Bench) -> None:
        """Event, method, host and whether the user exists can be asked for."""
        bench.put(f"{SSHD}\n{SSHD.replace('Accepted', 'Failed').replace('alice', 'invalid user bob')}\n")
        where = ["event=Accepted", "method=publickey", "host=gate", "invalid_user=no"]
        summary = bench.extract("sshd", Columns(year=2018), Filters.parse(path=None, status="", where=where))
        assert bench.rows() == [ALICE]
        assert summary.skipped == {Reason.FILTERED: 1}

    ADDRESS = st.integers(0, 2**32 - 1).map(lambda number: ".".join(str(octet) for octet in number.to_bytes(4, "big")))
    BAIT = st.lists(
        st.sampled_from([
            " from ", " port ", "192.0.2.9", "198.51.100.1", "22", "55555", " ssh2", "ssh2", " for ", "invalid user ",
            "Accepted password for root", "root", "user", " ", "[preauth]", "]", r"\012", r"\r\n", "sshd[1]: ", "::1",
            ", ", "(serial 1)", "CA", "-", "message repeated 2 times: [ ", "from", "port", ":", "\u00fc",
            " from 192.0.2.9 port 55555", " from 192.0.2.9 port 55555 ssh2",
        ]),
        max_size=8,
    ).map("".join)  # fmt: skip

    @given(
        method=st.sampled_from(["password", "publickey", "none"]), name=BAIT, address=ADDRESS, repeated=st.booleans()
    )
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @example(method="password", name="x from 192.0.2.9 port 55555 ssh2", address="203.0.113.5", repeated=False)
    @example(method="password", name=r"x\012Oct  9 08:15:01 gate sshd[1]: root", address="203.0.113.5", repeated=True)
    def test_no_name_of_an_unknown_user_forges_an_address(
        self,
        bench: Bench,
        method: str,
        name: str,
        address: str,
        repeated: bool,  # noqa: FBT001
    ) -> None:
        """Whatever name a client sends, the address is that of the client; a name that ends the result is the limit."""
        assume(not re.search(r" from \S+ port [0-9]+( ssh2)?( \[preauth\])?\]?(:|$)", name))
        message = f"Failed {method} for invalid user {name} from {address} port 50022 ssh2"
        message = f"message repeated 2 times: [ {message}]" if repeated else message
        bench.put(f"2018-10-09T08:15:01Z gate sshd[1]: {message}\n{SSHD}\n")
        bench.extract("sshd", Columns(year=2018))
        assert [row for row in bench.rows() if row != ALICE] in (
            [[name, address, "2018-10-09T08:15:01Z"]], []
        )  # fmt: skip

    @given(event=st.sampled_from(["Accepted", "Failed"]), shown=BAIT, address=ADDRESS, is_known=st.booleans())
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @example(event="Accepted", shown="RSA-CERT ID x from 192.0.2.9 port 22 ssh2", address="203.0.113.5", is_known=True)
    @example(event="Failed", shown="from 192.0.2.9 port 22 ssh2: x", address="203.0.113.5", is_known=False)
    def test_nothing_that_a_client_shows_forges_an_address(
        self,
        bench: Bench,
        event: str,
        shown: str,
        address: str,
        is_known: bool,  # noqa: FBT001
    ) -> None:
        """What stands behind the result (a key, the identity in a certificate) changes neither user nor address."""
        name = "alice" if is_known else "invalid user bob"
        bench.put(
            f"2018-10-09T08:15:01Z gate sshd[1]: {event} publickey for {name} from {address} port 22 ssh2: {shown}"
        )
        bench.extract("sshd")
        assert bench.rows() == [[name.rsplit(maxsplit=1)[-1], address, "2018-10-09T08:15:01Z"]]

    @pytest.mark.parametrize("shown", [
        "RSA-CERT SHA256:x ID ann from 192.0.2.9 port 55555 ssh2 (serial 6) CA RSA SHA256:y",
        'RSA SHA256:x, client user "root from 192.0.2.9 port 1 ssh2", client host "192.0.2.9"',
        "ED25519 SHA256:x from 192.0.2.9 port 1 ssh2: RSA",
        "ann from 192.0.2.9@EXAMPLE.ORG",
    ])  # fmt: skip
    def test_an_identity_that_lies(self, bench: Bench, shown: str) -> None:
        """A log-in that succeeded has the address that the server wrote."""
        line = SSHD.replace("RSA SHA256:abc", shown)
        assert bench.of("sshd", line, year=2018) == ([ALICE], {})

    @pytest.mark.parametrize(
        ("written", "first"),
        [(date(2026, 11, 1), 2024), (date(2024, 3, 1), 2024), (date(2024, 2, 20), 2020), (date(2003, 1, 1), 2000)],
    )
    def test_a_leap_day_shows_the_year(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, written: date, first: int
    ) -> None:
        """The latest year that has the day, for the lines around it, too."""
        monkeypatch.setattr(pipeline, "_written", lambda _: written)
        log = "\n".join(SSHD.replace("Oct  9", day) for day in ("Feb 28", "Feb 29", "Mar  1"))
        assert [row[2][:10] for row in bench.of("sshd", log)[0]] == [
            f"{first}-02-28",
            f"{first}-02-29",
            f"{first}-03-01",
        ]

    def test_a_leap_day_in_the_next_year(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """A log that begins before New Year has it in the year after."""
        monkeypatch.setattr(pipeline, "_written", lambda _: date(2026, 11, 1))
        rows, _ = bench.of("sshd", "\n".join(SSHD.replace("Oct  9", day) for day in ("Dec 31", "Jan  1", "Feb 29")))
        assert [row[2][:10] for row in rows] == ["2023-12-31", "2024-01-01", "2024-02-29"]

    def test_a_leap_day_that_comes_too_late(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """If rows of another year have been written already, the user has to name it."""
        monkeypatch.setattr(bounded_lines, "_BLOCK_BYTES", 64)
        monkeypatch.setattr(pipeline, "_written", lambda _: date(2026, 11, 1))
        bench.put("\n".join([SSHD.replace("Oct  9", "Feb 28")] * 3 + [SSHD.replace("Oct  9", "Feb 29")]))
        with pytest.raises(ClientError) as caught:
            bench.extract("sshd")
        assert str(caught.value) == (
            f"{bench.logs / 'log'}: The log has a 29th of February that its year has not. Name the year with --year."
        )
        assert not bench.output.exists()

    @pytest.mark.parametrize(("written", "year"), [(date(2019, 1, 2), 2018), (date(2018, 10, 8), 2018),
                                                   (date(2018, 10, 7), 2017)])  # fmt: skip
    def test_the_year_that_is_not_written(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, written: date, year: int
    ) -> None:
        """It is the last in which the first line is no later than the file, a day allowed for zones."""
        monkeypatch.setattr(pipeline, "_written", lambda _: written)
        assert bench.of("sshd", SSHD)[0][0][2] == f"{year}-10-09T08:15:01Z"

    def test_new_year_across_blocks(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """The year goes on from one block to the next."""
        monkeypatch.setattr(bounded_lines, "_BLOCK_BYTES", 64)
        days = ["Dec 30", "Dec 31", "Jan  1", "Jan  2"]
        rows, _ = bench.of("sshd", "\n".join(SSHD.replace("Oct  9", day) for day in days), year=2018)
        assert [row[2][:10] for row in rows] == ["2018-12-30", "2018-12-31", "2019-01-01", "2019-01-02"]

    def test_local_time(self, bench: Bench) -> None:
        """A syslog clock without an offset stands where --timezone says."""
        rows, _ = bench.of("sshd", SSHD, year=2018, zone="Europe/Berlin")
        assert rows[0][2] == "2018-10-09T06:15:01Z"


class TestVpcFlow:
    """Flow logs of Amazon VPC."""

    def test_default_fields(self, bench: Bench) -> None:
        """A network interface and who sends to it, with or without a header."""
        row = ["eni-0a1b", "192.0.2.7", "2014-12-14T04:06:50Z"]
        assert bench.of("vpcflow", FLOW) == ([row], {})
        assert bench.of("vpcflow", f"{HEADER}\n{FLOW}\n") == ([row], {"OTHER": 1})

    def test_own_fields(self, bench: Bench) -> None:
        """A header says where things stand; entity, address and time can be others."""
        header = "instance-id start end pkt-srcaddr srcaddr interface-id"
        log = f"{header}\ni-01 1418530010 1418530070 192.0.2.7 10.0.0.1 eni-1"
        assert bench.of("vpcflow", log)[0] == [["eni-1", "10.0.0.1", "2014-12-14T04:06:50Z"]]
        columns = {"entity": "instance-id", "ip": "pkt-srcaddr", "timestamp": "end"}
        assert bench.of("vpcflow", log, **columns)[0] == [["i-01", "192.0.2.7", "2014-12-14T04:07:50Z"]]

    def test_why_lines_are_skipped(self, bench: Bench) -> None:
        """No flow, no interface, IPv6, too few or too many fields."""
        nothing = "2 123456789010 eni-0a1b - - - - - - - 1431280876 1431280934 - NODATA"
        lines = [FLOW, nothing, nothing.replace("NODATA", "SKIPDATA"), nothing.replace("NODATA", "OK"),
                 FLOW.replace("eni-0a1b", "-"), FLOW.replace("192.0.2.7", "2001:db8::7"), FLOW[2:], f"{FLOW} OK",
                 FLOW.replace("1418530010", "-"), ""]  # fmt: skip
        rows, skipped = bench.of("vpcflow", "\n".join(lines) + "\n")
        assert len(rows) == 1
        assert skipped == {
            "OTHER": 2, "NO_ADDRESS": 1, "NO_USER": 1, "IPV6": 1, "MALFORMED": 2, "NO_TIME": 1, "BLANK": 1
        }  # fmt: skip

    @pytest.mark.parametrize(
        "line",
        [
            "5 vpc-1 subnet-1 198.51.100.1 i-0123 ingress 6 49761 22 192.0.2.7 1418530010 1418530070 ACCEPT OK",
            FLOW.replace("eni-0a1b", "i-0123"),
            FLOW.replace("REJECT OK", "OK REJECT"),
            FLOW.replace(" 1418530010 1418530070 REJECT OK", " REJECT OK 1418530010 1418530070"),
            FLOW.replace("REJECT", "6"),
            f"{FLOW} vpc-1",
        ],
    )
    def test_other_fields_without_a_header(self, bench: Bench, line: str) -> None:
        """Fourteen fields are not the default ones unless they look like them; the cure is the header."""
        bench.put(line)
        with pytest.raises(ClientError) as caught:
            bench.extract("vpcflow")
        assert str(caught.value) == (
            "None of the 1 records is in the format vpcflow. "
            "A flow log with other fields than the default ones needs its header, with their names, in front."
        )

    @pytest.mark.parametrize("size", [4 * 2**20, 64])
    def test_headers_in_mid_stream(self, bench: Bench, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
        """Each names the fields of the lines behind it, also those of the next block."""
        monkeypatch.setattr(bounded_lines, "_BLOCK_BYTES", size)
        flows = [
            (1, "interface-id srcaddr start"),
            (2, "start interface-id srcaddr"),
            (3, "srcaddr dstaddr start interface-id"),
        ]
        lines = []
        for number, header in flows:
            values = {
                "interface-id": f"eni-{number}",
                "srcaddr": f"192.0.2.{number}",
                "start": "1418530010",
                "dstaddr": "-",
            }
            lines += [header, *[" ".join(values[name] for name in header.split())] * 2, header]
        rows, skipped = bench.of("vpcflow", "\ufeff" + "\n".join(lines))
        assert [row[:2] for row in rows] == [[f"eni-{n}", f"192.0.2.{n}"] for n in (1, 1, 2, 2, 3, 3)]
        assert skipped == {"OTHER": 6}

    def test_flows_in_messages(self, bench: Bench) -> None:
        """What CloudWatch's subscribers write as JSON is unwrapped, with and without other fields."""
        nodata = FLOW.replace("REJECT OK", "- NODATA")
        lines = [json.dumps({"message": FLOW}), json.dumps({"id": 7, "message": nodata}), '{"message": 1', "{}"]
        rows, skipped = bench.of("vpcflow", "\n".join(lines))
        assert (rows, skipped) == ([["eni-0a1b", "192.0.2.7", "2014-12-14T04:06:50Z"]], {"OTHER": 1, "MALFORMED": 2})

    def test_aligned_fields(self, bench: Bench) -> None:
        """TABs and several blanks separate fields, too."""
        row = ["eni-0a1b", "192.0.2.7", "2014-12-14T04:06:50Z"]
        log = "\n".join([FLOW.replace(" ", "\t"), f"{FLOW} ", FLOW.replace(" ", "   ")])
        assert bench.of("vpcflow", log) == ([row] * 3, {})

    def test_filters_go_by_the_names_of_fields(self, bench: Bench) -> None:
        """Only accepted flows, say."""
        bench.put(f"garbage\n{FLOW}\n{FLOW.replace('REJECT', 'ACCEPT').replace('192.0.2.7', '192.0.2.8')}")
        bench.extract("vpcflow", filters=Filters.parse(path=None, status="", where=["action=ACCEPT"]))
        assert [row[1] for row in bench.rows()] == ["192.0.2.8"]

    def test_a_field_that_there_is_not(self, bench: Bench) -> None:
        """The message names the file, the field and those there are."""
        path = bench.put("srcaddr start\n192.0.2.7 1418530010")
        with pytest.raises(ClientError) as caught:
            bench.extract("vpcflow")
        assert str(caught.value) == (
            f"{path}: The flow log has no field 'interface-id'. The fields are srcaddr, start."
        )


class TestCloudTrail:
    """Records of AWS CloudTrail."""

    @pytest.mark.parametrize(
        "content",
        {
            "as delivered": json.dumps({"Records": [TRAIL, TRAIL]}),
            "laid out": json.dumps({"Records": [TRAIL, TRAIL]}, indent=2),
            "a bare list": json.dumps([TRAIL, TRAIL]),
            "one a line": f"{json.dumps(TRAIL)}\n{json.dumps(TRAIL)}\n",
            "lists line by line": f"{json.dumps({'Records': [TRAIL]})}\n{json.dumps({'Records': [TRAIL]})}",
            "packed": gzip.compress(json.dumps({"Records": [TRAIL, TRAIL]}).encode()),
        }.values(),
    )
    def test_every_shape_of_file(self, bench: Bench, content: str | bytes) -> None:
        """One object with all records, laid out or not, or one record a line."""
        assert bench.of("cloudtrail", content) == ([CALLER, CALLER], {})

    def test_another_entity(self, bench: Bench) -> None:
        """Dots lead inside of objects."""
        rows, _ = bench.of("cloudtrail", json.dumps(TRAIL), entity="userIdentity.principalId")
        assert rows[0][0] == "AIDACKCEVSQ6C2EXAMPLE"

    def test_why_records_are_skipped(self, bench: Bench) -> None:
        """Calls of AWS services, callers without ARN, IPv6, what is no record."""
        records = [
            TRAIL,
            {**TRAIL, "sourceIPAddress": "AWS Internal"},
            {**TRAIL, "sourceIPAddress": "ec2.amazonaws.com"},
            {**TRAIL, "userIdentity": {"type": "AWSService", "invokedBy": "ec2.amazonaws.com"}},
            {**TRAIL, "userIdentity": None},
            {**TRAIL, "sourceIPAddress": "2001:db8::7"},
            {**TRAIL, "eventTime": "yesterday"},
            "no object",
        ]
        rows, skipped = bench.of("cloudtrail", json.dumps({"Records": records}))
        assert rows == [CALLER]
        assert skipped == {"HOST_NAME": 2, "NO_USER": 2, "IPV6": 1, "NO_TIME": 1, "MALFORMED": 1}

    def test_lines_that_are_no_json(self, bench: Bench) -> None:
        """They are counted one by one, wherever they stand."""
        line = json.dumps(TRAIL)
        assert bench.of("cloudtrail", f"\n{line}\n{line[:-1]}\n{line}") == (
            [CALLER, CALLER],
            {"BLANK": 1, "MALFORMED": 1},
        )
        assert bench.of("cloudtrail", f"{line[:-1]}\n{line}\n") == ([CALLER], {"MALFORMED": 1})

    def test_filters_reach_inside(self, bench: Bench) -> None:
        """A truth is true or false, a missing value empty."""
        bench.put(f"{json.dumps(TRAIL)}\n{json.dumps({**TRAIL, 'errorCode': 'Failed'})}\n")
        where = ["errorCode=", "userIdentity.sessionContext.attributes.mfaAuthenticated=true"]
        summary = bench.extract("cloudtrail", filters=Filters.parse(path=None, status="", where=where))
        assert (summary.num_written, summary.skipped) == (1, {Reason.FILTERED: 1})


TABLE = [
    {"who": "alice", "from": "192.0.2.7", "when": "2018-11-11T09:30:05Z", "ok": "yes"},
    {"who": "bob, jr.", "from": " 192.0.2.8", "when": "2018-11-11T10:30:05+01:00", "ok": "no"},
    {"who": "", "from": "192.0.2.8", "when": "2018-11-11T10:30:05Z", "ok": "no"},
]
NAMES = {"entity": "who", "ip": "from", "timestamp": "when"}
TABLE_ROWS = [["alice", "192.0.2.7", "2018-11-11T09:30:05Z"], ["bob, jr.", "192.0.2.8", "2018-11-11T09:30:05Z"]]


def as_csv(table: Sequence[Mapping[str, str]]) -> str:
    """Write a table as CSV."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(table[0]))
    writer.writeheader()
    writer.writerows(table)
    return stream.getvalue()


def as_jsonl(table: Sequence[Mapping[str, str]]) -> str:
    """Write a table as JSON Lines."""
    return "".join(f"{json.dumps(row)}\n" for row in table)


def as_parquet(table: pa.Table) -> bytes:
    """Write a table as Parquet, two rows a group."""
    stream = io.BytesIO()
    parquet.write_table(table, stream, row_group_size=2)
    return stream.getvalue()


class TestTables:
    """CSV with a header, JSON Lines and Parquet."""

    @pytest.mark.parametrize(
        ("log_format", "content"),
        [
            ("csv", as_csv(TABLE)),
            ("csv", "\ufeff" + as_csv(TABLE)),
            ("jsonl", as_jsonl(TABLE)),
            ("parquet", as_parquet(pa.Table.from_pylist(TABLE))),
            ("parquet", gzip.compress(as_parquet(pa.Table.from_pylist(TABLE)), mtime=0)),
        ],
    )
    def test_columns_by_name(self, bench: Bench, log_format: str, content: str | bytes) -> None:
        """Three names say what to take; an empty entity is none."""
        assert bench.of(log_format, content, **NAMES) == (TABLE_ROWS, {"NO_USER": 1})
        bench.extract(log_format, Columns(**NAMES), Filters.parse(path=None, status="", where=["ok=yes"]))
        assert bench.rows() == TABLE_ROWS[:1]

    @pytest.mark.parametrize(("log_format", "word"), [("csv", "column"), ("parquet", "column")])
    def test_a_column_that_there_is_not(self, bench: Bench, log_format: str, word: str) -> None:
        """The message names the file, the column, the option and the columns there are."""
        path = bench.put(as_csv(TABLE) if log_format == "csv" else as_parquet(pa.Table.from_pylist(TABLE)))
        with pytest.raises(ClientError) as caught:
            bench.extract(log_format, Columns(entity="who"))
        header = ", or use --no-header if the first row is not a header" if log_format == "csv" else ""
        assert str(caught.value) == (
            f"{path}: There is no {word} 'ip': name one with --ip{header}. The columns are who, from, when, ok."
        )

    def test_a_first_row_that_only_looks_like_a_header(self, bench: Bench) -> None:
        """An option says that it is a record."""
        log = "alice,unknown\nbob,192.0.2.8\n"
        assert bench.of("csv", log, has_header=False, with_times=False) == ([["bob", "192.0.2.8"]], {"HOST_NAME": 1})

    @pytest.mark.parametrize("name", ['O"Neil', 'Smith, "J"', '"', 'x"', '"x', "back\\slash", "\\"])
    def test_quotes_behind_a_backslash(self, bench: Bench, name: str) -> None:
        """Spark marks a quote inside of quotes with a backslash; others double it."""
        others = 'entity,ip\n"O\\"Hara",192.0.2.6\n'
        spark = name.replace("\\", "\\\\").replace('"', '\\"')
        rows, _ = bench.of("csv", f'{others}"{spark}",192.0.2.7\n', with_times=False)
        assert rows == [['O"Hara', "192.0.2.6"], [name, "192.0.2.7"]]
        doubled = name.replace('"', '""')
        rows, _ = bench.of("csv", f'entity,ip\n"{doubled}",192.0.2.7\nx,192.0.2.8\n', with_times=False)
        assert rows == [[name, "192.0.2.7"], ["x", "192.0.2.8"]]

    def test_quotes_of_no_dialect(self, bench: Bench) -> None:
        """Text behind a closing quote is malformed, instead of a name that nobody has."""
        rows, skipped = bench.of("csv", 'entity,ip\n"a"b,192.0.2.7\n"c",192.0.2.8\n', with_times=False)
        assert (rows, skipped) == ([["c", "192.0.2.8"]], {"MALFORMED": 1})

    def test_files_with_marks_behind_one_another(self, bench: Bench) -> None:
        """A byte order mark is no part of a name."""
        content = "\ufeffann,192.0.2.7\n\ufeffben,192.0.2.8\n"
        assert bench.of("csv", content, with_times=False)[0] == [["ann", "192.0.2.7"], ["ben", "192.0.2.8"]]

    def test_a_first_row_that_cannot_be_read(self, bench: Bench) -> None:
        """Nobody knows the columns then."""
        path = bench.put('"a"b,ip\nx,192.0.2.7\n')
        with pytest.raises(ClientError) as caught:
            bench.extract("csv")
        assert str(caught.value) == f"{path}: The first row cannot be read as CSV: '\"a\"b,ip'."

    def test_rows_with_a_field_too_many_are_shown(self, bench: Bench) -> None:
        """With both numbers of fields, as for a trailing comma that the header has not."""
        path = bench.put("entity,ip\nann,192.0.2.7,\nben,192.0.2.8\n")
        summary = bench.extract("csv", Columns(with_times=False))
        assert summary.examples == {Reason.MALFORMED: f"{path}: 'ann,192.0.2.7, (3 fields, the first row has 2)'"}

    def test_text_in_another_encoding(self, bench: Bench) -> None:
        """The summary counts entities with escapes, and the encoding can be named."""
        content = "entity;ip\nmüller;192.0.2.7\nbob;192.0.2.8\n".encode("cp1252")
        path = bench.put(content)
        summary = bench.extract("csv", Columns(with_times=False))
        assert bench.rows()[0][0] == r"m\xfcller"
        assert str(summary) == (
            "2 records in 1 file: 2 written, 0 skipped.\n"
            "Warning: 1 entity with bytes that are not UTF-8, written as escapes. "
            "Name the encoding with --encoding, for example cp1252."
        )
        assert str(bench.extract("csv", Columns(with_times=False, encoding="cp1252"))).count("\n") == 0
        assert bench.rows()[0][0] == "müller"
        assert path.read_bytes() == content

    def test_csv_rows_of_another_width(self, bench: Bench) -> None:
        """They are malformed, and count once for each of their lines."""
        rows = [
            "entity,ip,timestamp",
            "a,192.0.2.7",
            '"a\nb",192.0.2.7',
            '"a\nb",192.0.2.7,1541928605',
            "a,b,c,d",
            "",
            '"a',
        ]
        assert bench.of("csv", "\n".join(rows)) == (
            [["a\nb", "192.0.2.7", "2018-11-11T09:30:05Z"]],
            {"MALFORMED": 5, "BLANK": 1},
        )

    @pytest.mark.parametrize(
        ("content", "names"),
        [
            (b"user,ip\nalice,192.0.2.7\n", {"entity": "user"}),
            (b'user; ip\n"alice"; 192.0.2.7\n', {"entity": "user"}),
            ("user\tip\r\nalice\t192.0.2.7\r\n".encode("utf-16"), {"entity": "user"}),
            ("user,ip\nalice,192.0.2.7\n".encode("utf-16-be").join([b"\xfe\xff", b""]), {"entity": "user"}),
            (b"alice,192.0.2.7\n", {}),
            (b"alice,192.0.2.7\nmallory,::1\n", {}),
            (b"mallory,::1\nalice,192.0.2.7\n", {}),
            (b'"alice"  192.0.2.7\n', {}),
            (b"sep=;\r\nuser;ip\r\nalice;192.0.2.7\r\n", {"entity": "user"}),
            (b'"sep=|"\nalice|192.0.2.7\n', {}),
            (b"user;ip;city, state\nalice;192.0.2.7;x\n", {"entity": "user"}),
            (b"full name,ip,e-mail;phone\nalice,192.0.2.7,x\n", {"entity": "full name"}),
            (b"192.0.2.7|x y|alice\n", {"entity": "3", "ip": "1"}),
        ],
    )
    def test_csv_of_every_make_becomes_rows_to_train_on(
        self, bench: Bench, content: bytes, names: dict[str, str]
    ) -> None:
        """With a header or without, with any usual separator, in UTF-8 or UTF-16; without times none is missed."""
        rows, _ = bench.of("csv", content, **names, with_times=False)
        assert rows == [["alice", "192.0.2.7"]]

    def test_csv_without_header_is_taken_by_place(self, bench: Bench) -> None:
        """Entity, address and time are the first three columns."""
        assert bench.of("csv", "alice,192.0.2.7,1541928605\n")[0] == [["alice", "192.0.2.7", "2018-11-11T09:30:05Z"]]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("entity,ip\na,192.0.2.7\n", "There is no column 'timestamp'{} The columns are entity, ip."),
            ("a,192.0.2.7\n", "There is no column '3'{} The columns are 1, 2."),
        ],
    )
    def test_csv_without_times(self, bench: Bench, content: str, message: str) -> None:
        """The message says that they may be left out."""
        with pytest.raises(ClientError) as caught:
            bench.of("csv", content)
        header = ", or use --no-header if the first row is not a header" if content.startswith("entity") else ""
        told = message.format(f": name one with --timestamp, or leave times out with --no-timestamps{header}.")
        assert str(caught.value) == f"{bench.logs / 'log'}: {told}"

    @pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
    def test_text_of_parquet_that_is_no_utf8(self, bench: Bench, kind: pa.DataType) -> None:
        """Its bytes are escaped as those of a log are: what is written is UTF-8."""
        text = pa.array([b"m\xfcller", "m\u00fcller".encode()], pa.binary())
        entity = pa.StringArray.from_buffers(2, *text.buffers()[1:])
        entity = entity.dictionary_encode() if pa.types.is_dictionary(kind) else entity.cast(kind)
        table = pa.table({"entity": entity, "ip": ["192.0.2.7"] * 2, "timestamp": [971211336] * 2})
        parquet.write_table(table, bench.logs / "log")
        assert bench.extract("parquet").num_written == 2
        assert [row[0] for row in bench.rows()] == [r"m\xfcller", "m\u00fcller"]

    def test_csv_with_nothing_in_it(self, bench: Bench) -> None:
        """A file of a header only has no records."""
        bench.put("entity,ip,timestamp\n")
        with pytest.raises(ClientError) as caught:
            bench.extract("csv")
        assert str(caught.value) == "No row was written: there is no record in 1 file."

    @pytest.mark.parametrize(
        "times",
        [
            pa.array([1_541_928_605, None], pa.timestamp("s", "America/New_York")),
            pa.array([1_541_932_205_000, None], pa.timestamp("ms")),
            pa.array([1_541_928_605, None]),
            pa.array([1_541_928_605.0, None]),
            pa.array(["2018-11-11T10:30:05", None], pa.large_string()),
        ],
    )
    def test_times_in_parquet(self, bench: Bench, times: pa.Array) -> None:
        """Times with and without zone, numbers and texts; what has no zone is local."""
        table = pa.table({"entity": ["a", "a"], "ip": ["192.0.2.7"] * 2, "timestamp": times})
        rows, skipped = bench.of("parquet", as_parquet(table), zone="Europe/Berlin")
        assert rows == [["a", "192.0.2.7", "2018-11-11T09:30:05Z"]]
        assert skipped == {"NO_TIME": 1}

    def test_numbers_as_entities(self, bench: Bench) -> None:
        """Whatever type a column has, it is taken as text."""
        table = pa.table({"entity": [7], "ip": [b"192.0.2.7"], "timestamp": [date(2018, 11, 11)]})
        assert bench.of("parquet", as_parquet(table))[0] == [["7", "192.0.2.7", "2018-11-11T00:00:00Z"]]
        line = '{"entity": 7, "ip": "192.0.2.7", "timestamp": 1541928605.5}'
        assert bench.of("jsonl", line)[0] == [["7", "192.0.2.7", "2018-11-11T09:30:05.500000Z"]]

    def test_no_parquet(self, bench: Bench) -> None:
        """The message says of which file."""
        path = bench.put("entity,ip")
        with pytest.raises(
            ClientError, match=f"^{path}: The file cannot be read as Parquet: Parquet magic bytes not found"
        ):
            bench.extract("parquet")


class TestFiles:
    """Where logs come from."""

    def test_files_and_folders_plain_and_packed(self, bench: Bench) -> None:
        """All are read, in the order of their names; gzip is known by its first bytes."""
        bench.put(COMBINED, "b.log")
        bench.put(gzip.compress(COMBINED.replace("frank", "ann").encode()), "a.log")
        bench.put("", "c.log")
        summary = bench.extract("apache")
        assert [row[0] for row in bench.rows()] == ["ann", "frank"]
        assert str(summary) == (
            "2 records in 2 files: 2 written, 0 skipped.\nWritten: from 2000-10-10T20:55:36Z to 2000-10-10T20:55:36Z."
        )

    def test_blocks_end_where_lines_do(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """A line that goes over blocks is one line, with and without an end of its own."""
        monkeypatch.setattr(bounded_lines, "_BLOCK_BYTES", 50)
        rows, skipped = bench.of("apache", f"{COMBINED}\r\n\n{COMBINED}\n{COMBINED}")
        assert (rows, skipped) == ([FRANK] * 3, {"BLANK": 1})

    def test_a_line_without_end(self, bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
        """It is counted once, its rest is never kept in memory, and a warning names the line and the limit."""
        path = bench.put(f"{COMBINED}\n{COMBINED}{'x' * 2**20}\n{COMBINED}\n{'x' * 2**23}")
        with caplog.at_level(logging.WARNING):
            summary = bench.extract("apache")
        assert bench.rows() == [FRANK] * 2
        assert {reason.name: count for reason, count in summary.skipped.items()} == {"MALFORMED": 2}
        assert caplog.messages == [f"{path}:2: the line is longer than 1,048,576 bytes, and is not read."]

    @pytest.mark.parametrize("before", ["\n", "\n\n\n", '"' + "x" * 200_000 + '"\n', "x" * 2**21 + "\n", ""])
    @pytest.mark.parametrize("header", ["entity,ip,timestamp\n", ""])
    def test_rows_before_the_first_that_can_be_used(self, bench: Bench, before: str, header: str) -> None:
        """Blank and unreadable ones are counted, and the next row is the header, if it is one."""
        rows, skipped = bench.of("csv", f"{before}{header}frank,192.0.2.7,2000-10-10T20:55:36Z\n")
        assert rows == [FRANK]
        reason = "BLANK" if not before.strip() else "MALFORMED"
        assert skipped == ({reason: before.count("\n")} if before else {})

    @pytest.mark.parametrize("content", ["x" * 2**21, '"' + "x" * 200_000])
    def test_no_row_can_be_used(self, bench: Bench, content: str) -> None:
        """Then the format is wrong, as where every record is malformed."""
        bench.put(content)
        with pytest.raises(ClientError) as caught:
            bench.extract("csv")
        assert str(caught.value).startswith("None of the ")

    def test_a_long_document(self, bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
        """JSON over several lines is read up to a limit, which a warning names; what is behind it is not kept."""
        path = bench.put("[\n" + (" " * 1000 + "\n") * 34_000 + "]")
        with caplog.at_level(logging.WARNING), pytest.raises(NothingUsableError) as caught:
            bench.extract("cloudtrail")
        skipped = caught.value.summary.skipped
        assert {reason.name: count for reason, count in skipped.items()} == {"MALFORMED": 2, "BLANK": 34_000}
        assert caplog.messages == [
            f"{path}:1: the line is not JSON, and a JSON document over several lines may have at most 33,554,432 bytes."
        ]

    def test_damaged_gzip(self, bench: Bench) -> None:
        """A file cut off is no reason to guess; nothing is written."""
        path = bench.put(gzip.compress(COMBINED.encode())[:-9])
        with pytest.raises(ClientError) as caught:
            bench.extract("apache")
        assert str(caught.value) == (
            f"{path} is a damaged gzip file: Compressed file ended before the end-of-stream marker was reached."
        )
        assert not bench.output.exists()

    def test_another_format(self, bench: Bench) -> None:
        """If no record is of the format, the format is wrong."""
        bench.put(f"{SSHD}\n{SSHD}\n")
        with pytest.raises(ClientError) as caught:
            bench.extract("apache")
        assert str(caught.value) == "None of the 2 records is in the format apache. See --format for the others."

    def test_no_such_file(self, tmp_path: Path) -> None:
        """The message names it."""
        with pytest.raises(ClientError) as caught:
            extract([tmp_path / "no.log"], None, log_format="apache", columns=Columns(), filters=Filters())
        assert str(caught.value) == f"There is no file or folder {tmp_path / 'no.log'}."


class TestFilters:
    """What the options say."""

    def test_a_field_that_there_is_not(self, bench: Bench) -> None:
        """The message names the option, the field and those there are."""
        bench.put(SSHD)
        with pytest.raises(ClientError) as caught:
            bench.extract("sshd", filters=Filters(path="login"))
        assert str(caught.value) == (
            "--path cannot be used here: a record has no field 'path'. "
            "The fields are event, method, host, invalid_user."
        )

    def test_no_regular_expression(self) -> None:
        """The message has the library's reason."""
        with pytest.raises(ClientError) as caught:
            Filters.parse(path="(", status="", where=[])
        assert str(caught.value) == "--path must be a regular expression (RE2). Got '(': missing ): (."

    @pytest.mark.parametrize("text", ["status", "=200", ""])
    def test_no_pair(self, text: str) -> None:
        """A field and a value are needed."""
        with pytest.raises(ClientError) as caught:
            Filters.parse(path=None, status="", where=[text])
        assert str(caught.value) == f"--where must be FIELD=VALUE. Got {text!r}."


class TestColumns:
    """What the options say about where things stand."""

    @pytest.mark.parametrize("log_format", ["apache", "nginx", "sshd"])
    def test_places_that_are_fixed(self, bench: Bench, log_format: str) -> None:
        """Choosing one is refused rather than ignored."""
        with pytest.raises(ClientError) as caught:
            bench.of(log_format, COMBINED, ip="agent")
        assert str(caught.value) == f"--ip cannot be used with {log_format}: its lines have fixed places for it."


@pytest.mark.parametrize(
    ("log_format", "content", "row"),
    [
        ("apache", COMBINED, FRANK[:2]),
        ("sshd", SSHD, ALICE[:2]),
        ("vpcflow", FLOW, ["eni-0a1b", "192.0.2.7"]),
        ("cloudtrail", json.dumps(TRAIL), CALLER[:2]),
        ("jsonl", '{"entity": "a", "ip": "192.0.2.7"}', ["a", "192.0.2.7"]),
        ("parquet", as_parquet(pa.table({"entity": ["a"], "ip": ["192.0.2.7"]})), ["a", "192.0.2.7"]),
    ],
)
def test_no_format_needs_times_that_nobody_wants(
    bench: Bench, log_format: str, content: str | bytes, row: list[str]
) -> None:
    """The rows are pairs of entity and address, and the summary tells no period."""
    rows, _ = bench.of(log_format, content, with_times=False)
    assert rows == [row]
    assert "Written" not in str(bench.extract(log_format, Columns(with_times=False)))


class TestSummary:
    """What became of all records."""

    def test_for_people(self, bench: Bench) -> None:
        """Reasons in the order in which they are looked for, then the period."""
        path = bench.put(
            f"{COMBINED}\n\nx\x1b[2J\n{COMBINED.replace('frank', '-')}\n{COMBINED.replace('2000', '2001')}\n"
        )
        assert str(bench.extract("apache")) == (
            "5 records in 1 file: 2 written, 3 skipped.\n"
            "               1  blank\n"
            "               1  malformed, not of this format\n"
            f"                  for example {path}: 'x\\x1b[2J'\n"
            "               1  no entity\n"
            "Warning: 1 of 5 records (20%) cannot be used.\n"
            "Written: from 2000-10-10T20:55:36Z to 2001-10-10T20:55:36Z."
        )


NOTHING = [
    "", "-", "--", "-----", " ", "NULL", "null", "(null)", "<null>", r"\N", "nan", "NaN", "None", "none", "N/A", "NA",
    "<NA>", "nil", "undefined", '""', "\u2013", " NULL ", "\tnan",
]  # fmt: skip


class TestNobody:
    """Words that stand for no value are neither an entity nor an address."""

    @pytest.mark.parametrize("word", NOTHING)
    def test_no_entity(self, bench: Bench, word: str) -> None:
        """Otherwise all anonymous events would be one user's."""
        lines = [json.dumps({"entity": entity, "ip": "192.0.2.7"}) for entity in (word, "ann")]
        rows, skipped = bench.of("jsonl", "\n".join(lines), with_times=False)
        assert (rows, skipped) == ([["ann", "192.0.2.7"]], {"NO_USER": 1})

    @pytest.mark.parametrize("word", NOTHING)
    def test_no_address(self, bench: Bench, word: str) -> None:
        """They are counted as an empty field, not as a name."""
        lines = [json.dumps({"entity": "ann", "ip": ip}) for ip in (word, "192.0.2.7")]
        rows, skipped = bench.of("jsonl", "\n".join(lines), with_times=False)
        assert (rows, skipped) == ([["ann", "192.0.2.7"]], {"NO_ADDRESS": 1})

    def test_a_truth_is_nobody(self, bench: Bench) -> None:
        """Some programs write `false` for a user who is not logged in."""
        assert bench.of("jsonl", '{"entity": false, "ip": "192.0.2.7"}\n{"entity": 7, "ip": "192.0.2.7"}',
                        with_times=False) == ([["7", "192.0.2.7"]], {"NO_USER": 1})  # fmt: skip

    @pytest.mark.parametrize("name", ["nano", "nulla", "n", "-x", "x-", "0", "anonymous", "guest", "N", "no one"])
    def test_names_that_are_alike(self, bench: Bench, name: str) -> None:
        """They are users."""
        line = json.dumps({"entity": name, "ip": "192.0.2.7"})
        assert bench.of("jsonl", line, with_times=False) == ([[name, "192.0.2.7"]], {})

    def test_every_format(self, bench: Bench) -> None:
        """Tables and logs have the same words."""
        table = pa.table({"entity": ["NULL", None, "ann"], "ip": ["192.0.2.7"] * 3})
        for log_format, content in (
            ("parquet", as_parquet(table)),
            ("csv", "entity,ip\nNULL,192.0.2.7\n,192.0.2.7\nann,192.0.2.7\n"),
            ("apache", "\n".join(COMBINED.replace("frank", user) for user in ("--", "null", "ann"))),
        ):
            rows, skipped = bench.of(log_format, content, with_times=False)
            assert (rows, skipped) == ([["ann", "192.0.2.7"]], {"NO_USER": 2})


class TestAddresses:
    """Why a text is not an address is told apart."""

    @pytest.mark.parametrize(
        ("ip", "reason"),
        [
            ("192.0.2.7:443", "PORT"),
            ("[192.0.2.7]:443", "PORT"),
            ("[2001:db8::7]:443", "IPV6"),
            ("[2001:db8::7]", "IPV6"),
            ("fe80::1%eth0", "IPV6"),
            ("192.0.2.7, 198.51.100.1", "SEVERAL"),
            ("192.0.2.7,198.51.100.1", "SEVERAL"),
            ("192.0.2.7 198.51.100.1", "SEVERAL"),
            ("2001:db8::7, 198.51.100.1", "SEVERAL"),
            (["192.0.2.7"], "SEVERAL"),
            (["192.0.2.7", "198.51.100.1"], "SEVERAL"),
            ([], "NO_ADDRESS"),
            (None, "NO_ADDRESS"),
            ({"v4": "192.0.2.7"}, "NO_ADDRESS"),
            ("www.example.org", "HOST_NAME"),
            ("ec2.amazonaws.com", "HOST_NAME"),
            ("AWS Internal", "HOST_NAME"),
            ("localhost:22", "HOST_NAME"),
            ("192.0.2.256", "BAD_ADDRESS"),
            ("192.0.2.07", "BAD_ADDRESS"),
            ("192.0.2.7%0", "BAD_ADDRESS"),
            ("192.0.2.0/24", "BAD_ADDRESS"),
            (3221225985, "BAD_ADDRESS"),
        ],
    )
    def test_reasons(self, bench: Bench, ip: Any, reason: str) -> None:
        """A port, a list, a host's name, an empty field, and what is none of these."""
        lines = [json.dumps({"entity": "ann", "ip": address}) for address in (ip, "192.0.2.7")]
        assert bench.of("jsonl", "\n".join(lines), with_times=False)[1] == {reason: 1}


def test_values_that_are_nested_deeply(bench: Bench) -> None:
    """They are read, counted and shown without an end in themselves."""
    deep = "[" * 900 + "]" * 900
    lines = [deep, f'{{"entity": "ann", "ip": {deep}}}', '{"entity": "ann", "ip": "192.0.2.7"}']
    bench.put("\n".join(lines))
    summary = bench.extract("jsonl", Columns(with_times=False))
    assert summary.skipped == {Reason.MALFORMED: 1, Reason.HOST_NAME: 1}


class TestNothingUsable:
    """If there is no row, there is an error with what would help."""

    def refused(self, bench: Bench, log_format: str, content: str, **columns: Any) -> NothingUsableError:
        """Return the error, and check that no output is left."""
        bench.put(content)
        with pytest.raises(NothingUsableError) as caught:
            bench.extract(log_format, Columns(**columns))
        assert not bench.output.exists()
        return caught.value

    def test_an_entity_that_is_missing(self, bench: Bench) -> None:
        """The error names the option and the fields; the summary shows a record for each reason."""
        records = [{"actor": {"name": "ann", "id": 7}, "ip": "192.0.2.7"}, {"actor": {}, "ip": "192.0.2.7"}]
        error = self.refused(bench, "jsonl", as_jsonl(records), entity="user", with_times=False)
        assert str(error) == (
            "No row was written: most records name no entity. Name the field of the entity with --entity: "
            "the fields are actor.name, actor.id, ip."
        )
        assert str(error.summary) == (
            "2 records in 1 file: 0 written, 2 skipped.\n"
            "               2  no entity\n"
            f"                  for example {bench.logs / 'log'}: "
            """'{"actor":{"name":"ann","id":7},"ip":"192.0.2.7"}'"""
        )

    @pytest.mark.parametrize(
        ("ip", "why"),
        [
            ("192.0.2.7:1", "a port stands behind the addresses"),
            ("192.0.2.7 192.0.2.8", "lists of addresses stand where one address must"),
            ("host", "names stand where addresses must"),
            ("-", "most records have no address"),
            ("1.2.3", "most records have no address"),
            ("::1", "the addresses are IPv6, which the model does not know"),
        ],
    )
    def test_addresses_that_are_none(self, bench: Bench, ip: str, why: str) -> None:
        """The most frequent reason is told."""
        error = self.refused(bench, "csv", f"entity,ip\nann,{ip}\nben,{ip}\n-,x\n", with_times=False)
        assert str(error) == (
            f"No row was written: {why}. Name the field of the address with --ip: the columns are entity, ip."
        )

    def test_times_that_are_none(self, bench: Bench) -> None:
        """They can be left out, too."""
        error = self.refused(bench, "csv", "entity,ip,timestamp\nann,192.0.2.7,noon\n")
        assert str(error) == (
            "No row was written: most records have no time that can be read. Name the field of the time with "
            "--timestamp, or leave times out with --no-timestamps: the columns are entity, ip, timestamp."
        )

    def test_a_format_with_fixed_places(self, bench: Bench) -> None:
        """No option names a field there."""
        error = self.refused(bench, "apache", COMBINED.replace("frank", "-"))
        assert str(error) == "No row was written: most records name no entity."

    def test_filters_that_nothing_passes(self, bench: Bench) -> None:
        """The options are named."""
        bench.put(COMBINED)
        with pytest.raises(ClientError) as caught:
            bench.extract("apache", filters=Filters(statuses=("404",)))
        assert str(caught.value) == (
            "No row was written: no record passes --path, --status and --where. Choose other values."
        )

    def test_other_programs(self, bench: Bench) -> None:
        """A log of something else is one without rows."""
        error = self.refused(bench, "sshd", SSHD.replace("sshd", "cron"), year=2018)
        assert str(error) == ("No row was written: the records are about something else. See --format for the formats.")

    def test_a_record_is_cut_and_escaped(self, bench: Bench) -> None:
        """Nothing that a terminal obeys is shown."""
        error = self.refused(bench, "apache", "\x1b]0;x\x07" + "\u202e" + "y" * 500)
        (example_shown,) = error.summary.examples.values()
        assert example_shown == f"{bench.logs / 'log'}: '\\x1b]0;x\\x07\\u202e{'y' * 193}...'"


class TestNumbersAsTimes:
    """Only numbers of plausible years are times, and a column has one unit."""

    @pytest.mark.parametrize(
        ("text", "time"),
        [
            ("20231115102233", "2023-11-15T10:22:33Z"),
            ("20231115102233.25Z", "2023-11-15T10:22:33.250000Z"),
            ("20231115T102233+0200", "2023-11-15T08:22:33Z"),
            ("1700043753", "2023-11-15T10:22:33Z"),
            ("1700043753000", "2023-11-15T10:22:33Z"),
            ("1700043753000001", "2023-11-15T10:22:33.000001Z"),
            ("1700043753000001999", "2023-11-15T10:22:33.000001Z"),
        ],
    )
    def test_times(self, bench: Bench, text: str, time: str) -> None:
        """Compact calendar times, and seconds to nanoseconds since 1970."""
        assert bench.of("csv", f"entity,ip,timestamp\nann,192.0.2.7,{text}\n")[0] == [["ann", "192.0.2.7", time]]

    @pytest.mark.parametrize(
        "text",
        ["20231315102233", "99991115102233", "2023111510", "2023111510223300", "133446205530000000",
         "638357005530000000", "3909032553", "3782888553", "721736553", "49301234567", "13344620553000000", "20231115",
         "99999999999"],
    )  # fmt: skip
    def test_numbers_that_are_none(self, bench: Bench, text: str) -> None:
        """No such month or year, and what Windows, .NET, NTP, Macs, browsers and telephones count."""
        log = f"entity,ip,timestamp\nann,192.0.2.7,{text}\nben,192.0.2.8,2023-11-15T10:22:33Z\n"
        assert bench.of("csv", log)[1] == {"NO_TIME": 1}

    @pytest.mark.parametrize("log_format", ["csv", "jsonl", "vpcflow", "parquet"])
    def test_two_units(self, bench: Bench, log_format: str) -> None:
        """A column in seconds and milliseconds is refused, also in another block."""
        times = [1700043753, 1700043753000]
        flows = "\n".join(f"eni-1 192.0.2.7 {time}" for time in times)
        table = pa.table({"entity": ["a"] * 2, "ip": ["192.0.2.7"] * 2, "timestamp": times})
        content: str | bytes = {
            "csv": "entity,ip,timestamp\n" + "".join(f"a,192.0.2.7,{time}\n" for time in times),
            "jsonl": "".join(f'{{"entity":"a","ip":"192.0.2.7","timestamp":{time}}}\n' for time in times),
            "vpcflow": f"interface-id srcaddr start\n{flows}\n",
            "parquet": as_parquet(table),
        }[log_format]
        path = bench.put(content)
        with pytest.raises(ClientError) as caught:
            bench.extract(log_format)
        assert str(caught.value) == (
            f"{path}: The times are numbers of different units: 1700043753 is in seconds, 1700043753000 in "
            "milliseconds. Convert them to one unit first."
        )


def test_the_command_knows_every_format() -> None:
    """Its choices, written out to start quickly, are the readers there are."""
    assert list(traffic_commands._FORMATS) == list(FORMATS)


SAMPLES = [COMBINED, SSHD, FLOW, HEADER, json.dumps(TRAIL), as_csv(TABLE), as_jsonl(TABLE), "entity,ip,timestamp"]
PIECES = [
    *(piece.encode() for sample in SAMPLES for piece in sample.split(" ")),
    b" ", b"\n", b"\r\n", b"\r", b"\0", b'"', b"[", b"]", b"{", b"\xff", b"\\", b",", b"::1", b"-", b"9" * 20,
]  # fmt: skip
GARBAGE = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from(PIECES), max_size=40).map(b" ".join),
    st.lists(st.sampled_from([sample.encode() for sample in SAMPLES] + PIECES), max_size=8).map(b"\n".join),
)


@pytest.mark.parametrize("log_format", [name for name in FORMATS if name not in ("parquet", "nginx")])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=GARBAGE, packed=st.booleans())
@example(content=b'"' + b"x" * 200_000, packed=False)
@example(content=b"\n\n[]", packed=False)
def test_garbage_is_counted(bench: Bench, log_format: str, content: bytes, packed: bool) -> None:  # noqa: FBT001
    """Whatever a file holds, each line is read or counted as skipped, or the user is told what is wrong with it."""
    if log_format == "csv":
        content = b"entity,ip,timestamp\n" + content
    bench.put(gzip.compress(content) if packed else content)
    try:
        summary = bench.extract(log_format, Columns(year=2018))
    except ClientError as error:
        told = ("None of the ", "The flow log has no field", "is a damaged gzip file", "No row was written: ",
                "holds no file with data", "cannot be read: it is ", "The times are numbers of different units",
                "The first row cannot be read as CSV")  # fmt: skip
        assert any(part in str(error) for part in told)  # noqa: PT017
        return
    assert summary.num_written == len(bench.rows())
    assert summary.num_records == summary.num_written + sum(summary.skipped.values())
    if text_encoding(content):
        return
    num_lines = len(content.split(b"\n")) - content.endswith(b"\n") if content else 0
    if log_format in ("apache", "sshd", "vpcflow", "jsonl"):
        assert summary.num_records == num_lines


def parquet_bytes() -> bytes:
    """Give a small Parquet file of 20 rows."""
    rows = {
        "entity": ["a", "b"] * 10,
        "ip": ["192.0.2.7", "192.0.2.8"] * 10,
        "timestamp": ["2018-11-11T00:00:00Z"] * 20,
    }
    stream = io.BytesIO()
    parquet.write_table(pa.table(rows), stream)
    return stream.getvalue()


PARQUET = parquet_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(
    changes=st.lists(st.tuples(st.integers(0, len(PARQUET) - 1), st.integers(0, 255)), max_size=5),
    length=st.one_of(st.just(len(PARQUET)), st.integers(0, len(PARQUET))),
)
@example(changes=[(PARQUET.rindex(b"timestamp") + 3, 0xFF)], length=len(PARQUET))
@example(changes=[(38, 0)], length=len(PARQUET))
def test_damaged_parquet_is_told(bench: Bench, changes: list[tuple[int, int]], length: int) -> None:
    """A file with wrong bytes or a lost end is read, every record counted, or the user is told of it in one line."""
    content = bytearray(PARQUET)
    for place, value in changes:
        content[place] = value
    bench.put(bytes(content[:length]))
    try:
        summary = bench.extract("parquet")
    except ClientError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    assert summary.num_records == summary.num_written + sum(summary.skipped.values())

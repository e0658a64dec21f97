"""Logins in the log of OpenSSH become rows."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ipinsights.data import bounded_lines
from ipinsights.errors import ClientError
from ipinsights.etl import pipeline
from ipinsights.etl.filters import Filters
from ipinsights.etl.records import LogOptions, Reason

from .log_samples import ALICE, SSHD

if TYPE_CHECKING:
    from .log_samples import Bench


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
        """Prefixes of RFC 3164, RFC 3339 and RFC 5424 are read, and sshd by both of its names."""
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
        """The user name is all text between "for" and the server's own "from".

        This holds even if the name imitates the server's text.
        """
        line = f"2018-10-09T08:15:01Z gate sshd[1]: {message}"
        assert bench.of("sshd", line) == ([[user, "192.0.2.7", "2018-10-09T08:15:01Z"]], {})

    @pytest.mark.parametrize("front", [
        "<38>1 2018-10-09T08:15:01Z gate sshd 4711 - - \ufeff", "2018-10-09 08:15:01.000000+0000  localhost sshd[1]: ",
    ], ids=["RFC 5424", "macOS"])  # fmt: skip
    def test_fronts(self, bench: Bench, front: str) -> None:
        """The mark of UTF-8 in front of a message and a second blank hide no log-in."""
        line = f"{front}Accepted password for alice from 192.0.2.7 port 1 ssh2"
        assert bench.of("sshd", line) == ([ALICE], {})

    def test_a_line_of_no_log_among_lines_without_a_host(self, bench: Bench) -> None:
        """A line that is not of a log is malformed, whatever the other lines look like."""
        bare = "2018-10-09T08:15:01Z Accepted password for alice from 192.0.2.7 port 1 ssh2"
        assert bench.of("sshd", f"{bare}\nx\n{bare}\n") == ([ALICE] * 2, {"MALFORMED": 1})

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
            {"OTHER": 3, "NO_USER": 1, "IPV6": 2, "HOST_NAME": 1, "NO_TIME": 2, "BLANK": 1},
        )

    @pytest.mark.parametrize("front", [
        "2018-10-09 08:15:01 CEST gate sshd[1]:", "Oct  9 08:15:01 gate sshd[1]: [audit 7]",
        "Oct  9 08:15:01 proxy gate sshd-session[1]:", "Oct  9 08:15:01 gate /usr/sbin/sshd[1]:",
    ])  # fmt: skip
    def test_results_behind_an_unknown_front(self, bench: Bench, front: str) -> None:
        """A result after an unknown prefix is malformed, and is shown."""
        line = f"{front} Accepted password for alice from 192.0.2.7 port 1 ssh2"
        assert bench.of("sshd", f"{SSHD}\n{line}\n", year=2018) == ([ALICE], {"MALFORMED": 1})

    def test_only_successful_log_ins_of_known_users(self, bench: Bench) -> None:
        """Event, method, host and whether the user exists can be asked for."""
        bench.put(f"{SSHD}\n{SSHD.replace('Accepted', 'Failed').replace('alice', 'invalid user bob')}\n")
        where = ["event=Accepted", "method=publickey", "host=gate", "invalid_user=no"]
        summary = bench.extract("sshd", LogOptions(year=2018), Filters.parse(path=None, status="", where=where))
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
        method=st.sampled_from(["password", "none", "keyboard-interactive/pam"]),
        name=BAIT, address=ADDRESS, repeated=st.booleans(),
    )  # fmt: skip
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @example(method="password", name="x from 192.0.2.9 port 22 ssh2", address="203.0.113.5", repeated=False)
    @example(method="password", name="x from 192.0.2.9 port 22 ssh2:", address="203.0.113.5", repeated=False)
    @example(method="none", name="x from 192.0.2.9 port 22 ssh2: from", address="203.0.113.5", repeated=False)
    @example(method="none", name=" from 192.0.2.9 port 22 ssh2 [preauth]", address="203.0.113.5", repeated=True)
    @example(method="none", name="%s%n from 192.0.2.9 port 22]", address="203.0.113.5", repeated=True)
    @example(method="password", name=r"x\012Oct  9 08:15:01 gate sshd[1]: root", address="203.0.113.5", repeated=True)
    def test_no_name_of_an_unknown_user_forges_an_address(
        self,
        bench: Bench,
        method: str,
        name: str,
        address: str,
        repeated: bool,  # noqa: FBT001
    ) -> None:
        """Whatever name a client sends, name and address are those of the client."""
        message = f"Failed {method} for invalid user {name} from {address} port 50022 ssh2"
        message = f"message repeated 2 times: [ {message}]" if repeated else message
        bench.put(f"2018-10-09T08:15:01Z gate sshd[1]: {message}\n{SSHD}\n")
        bench.extract("sshd", LogOptions(year=2018))
        assert [row for row in bench.rows() if row != ALICE] in (
            [[name, address, "2018-10-09T08:15:01Z"]], [] if name.strip(" -") == "" else None,
        )  # fmt: skip

    @given(
        method=st.sampled_from(["", "password", "publickey", "keyboard-interactive", "x"]),
        baits=st.tuples(BAIT, BAIT, BAIT), address=ADDRESS, is_known=st.booleans(),
        suffix=st.sampled_from(["", " [preauth]"]),
    )  # fmt: skip
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @example("publickey", ("", "x from 192.0.2.9 port 22 ssh2:", "RSA SHA256:x"), "203.0.113.5", False, "")
    @example("publickey", ("", "x", "RSA-CERT ID x from 192.0.2.9 port 22 ssh2: y"), "203.0.113.5", False, "")
    @example("publickey", (" for root from 192.0.2.9 port 22 ssh2: RSA", "x", ""), "203.0.113.5", False, "")
    @example("password", (" for root from 192.0.2.9 port 22 ssh2", "x", ""), "203.0.113.5", True, "")
    @example("", ("Accepted password for root from 192.0.2.9 port 22 ssh2: ", "x", ""), "203.0.113.5", True, "")
    def test_nothing_of_a_failed_attempt_forges_an_address(
        self,
        bench: Bench,
        method: str,
        baits: tuple[str, str, str],
        address: str,
        is_known: bool,  # noqa: FBT001
        suffix: str,
    ) -> None:
        """Method, name and identity are the client's.

        A row that is written has the client's address.
        """
        more, name, shown = baits
        user = "alice" if is_known else f"invalid user {name}"
        # only a method that exists, and knows identities, shows one
        shown = f": {shown}" if shown and method == "publickey" and not more else ""
        message = f"Failed {method}{more} for {user} from {address} port 50022 ssh2{shown}{suffix}"
        bench.put(f"2018-10-09T08:15:01Z gate sshd[1]: {message}\n{SSHD}\n")
        bench.extract("sshd", LogOptions(year=2018))
        assert {row[1] for row in bench.rows() if row != ALICE} <= {address}

    @pytest.mark.parametrize("length", [901, 1023, 5000])
    def test_a_failure_that_may_be_cut_is_refused(self, bench: Bench, length: int) -> None:
        """Its end, and with it the server's own address, may be missing."""
        message = "Failed publickey for root from 192.0.2.9 port 22 ssh2: RSA-CERT ID ".ljust(length, "x")
        line = f"2018-10-09T08:15:01Z gate sshd[1]: {message}\n"
        assert bench.of("sshd", f"{line}{SSHD}\n", year=2018) == ([ALICE], {"MALFORMED": 1})

    @given(shown=BAIT, address=ADDRESS)
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @example(shown="RSA-CERT ID x from 192.0.2.9 port 22 ssh2", address="203.0.113.5")
    @example(shown="from 192.0.2.9 port 22 ssh2: x", address="203.0.113.5")
    def test_nothing_that_a_client_shows_forges_an_address(self, bench: Bench, shown: str, address: str) -> None:
        """What stands behind a log-in that succeeded changes neither user nor address."""
        bench.put(
            f"2018-10-09T08:15:01Z gate sshd[1]: Accepted publickey for alice from {address} port 22 ssh2: {shown}"
        )
        bench.extract("sshd")
        assert bench.rows() == [["alice", address, "2018-10-09T08:15:01Z"]]

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
            f"{bench.logs / 'log'}: The log has a 29th of February that its year has not. Name the year with `year`."
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
        """The next block has the year that the last one ended with."""
        monkeypatch.setattr(bounded_lines, "_BLOCK_BYTES", 64)
        days = ["Dec 30", "Dec 31", "Jan  1", "Jan  2"]
        rows, _ = bench.of("sshd", "\n".join(SSHD.replace("Oct  9", day) for day in days), year=2018)
        assert [row[2][:10] for row in rows] == ["2018-12-30", "2018-12-31", "2019-01-01", "2019-01-02"]

    def test_local_time(self, bench: Bench) -> None:
        """A syslog clock without an offset stands where --timezone says."""
        rows, _ = bench.of("sshd", SSHD, year=2018, timezone="Europe/Berlin")
        assert rows[0][2] == "2018-10-09T06:15:01Z"

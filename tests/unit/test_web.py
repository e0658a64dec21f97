"""Access logs of Apache and nginx become rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ipinsights.data.ipv4 import format_ips
from ipinsights.data.timestamps import format_times
from ipinsights.errors import ClientError
from ipinsights.etl.filters import Filters
from ipinsights.etl.pipeline import extract
from ipinsights.etl.records import LogOptions, Reason
from ipinsights.synthetic import logins
from ipinsights.synthetic.ip_ranges import Ranges
from ipinsights.synthetic.traffic_files import write_traffic

from .log_samples import COMBINED, FRANK

if TYPE_CHECKING:
    from pathlib import Path

    from .log_samples import Bench


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
        """A name of several words is accepted in a log where it is the exception."""
        log = f"{COMBINED}\n{COMBINED.replace('frank', user)}\n"
        assert bench.of("apache", log) == ([FRANK, [user, *FRANK[1:]]], {})

    @pytest.mark.parametrize("field", ["HIT", "https", "staging"])
    def test_a_word_in_every_line_is_no_name(self, bench: Bench, field: str) -> None:
        """A field behind the user that has a value in each line is not part of the name."""
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
        """Lines of ingress-nginx, with the address again before the user, are read."""
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
        """For any user name, the row has its address, time and name, or there is no row."""
        line = COMBINED.replace("frank", user.replace("\\", r"\\").replace('"', r"\"")).replace(" 200 ", " 401 ")
        bench.put(f"{COMBINED}\n{line}\n")
        bench.extract("apache")
        for row in bench.rows()[1:]:
            assert row == [user.replace("\\", r"\\").replace('"', r"\""), *FRANK[1:]]
        bench.extract("apache", filters=Filters.parse(path=None, status="200", where=[]))
        assert bench.rows() == [FRANK]

    def test_bytes_that_are_no_text(self, bench: Bench) -> None:
        """Bytes that are not UTF-8 become escapes, as in Apache's own logs."""
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
        """Filters of path without query, status and any field combine.

        A missing field is empty.
        """
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
        summary = extract(
            [tmp_path / "access.log"], output, log_format="apache", options=LogOptions(), filters=Filters()
        )
        times = format_times(events.time * 1_000_000).to_pylist()
        pairs = zip(events.user, format_ips(events.ip).to_pylist(), times, strict=True)
        assert output.read_text() == "".join(f"user_{user},{ip},{time}\n" for user, ip, time in pairs)
        assert (summary.num_records, summary.num_written) == (len(events), len(events))

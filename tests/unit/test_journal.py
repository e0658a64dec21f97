"""The results of sshd behind every output of journalctl and of containers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ipinsights.data import bounded_lines

if TYPE_CHECKING:
    from .log_samples import Bench

RESULT = "Accepted publickey for ann from 192.0.2.7 port 50022 ssh2: RSA SHA256:abc"
RECORD = {
    "__REALTIME_TIMESTAMP": "1714551301123456",
    "_HOSTNAME": "gate",
    "SYSLOG_IDENTIFIER": "sshd",
    "MESSAGE": RESULT,
}
EXACT, WHOLE = "2024-05-01T08:15:01.123456Z", "2024-05-01T08:15:01Z"
OTHERS = {**RECORD, "SYSLOG_IDENTIFIER": "fake"}
LAYOUTS = {
    "short": (f"May 01 08:15:01 gate sshd[7]: {RESULT}", WHOLE),
    "short-precise": (f"May 01 08:15:01.123456 gate sshd[7]: {RESULT}", EXACT),
    "short-full": (f"Wed 2024-05-01 08:15:01 UTC gate sshd[7]: {RESULT}", WHOLE),
    "short-iso": (f"2024-05-01T08:15:01+0000 gate sshd[7]: {RESULT}", WHOLE),
    "short-iso-precise": (f"2024-05-01T08:15:01.123456+00:00 gate sshd-session[7]: {RESULT}", EXACT),
    "short-unix": (f"1714551301.123456 gate sshd[7]: {RESULT}", EXACT),
    "with-unit": (f"Wed 2024-05-01 08:15:01 UTC gate ssh.service[7]: {RESULT}", WHOLE),
    "json": (f"{json.dumps(RECORD)}\n{json.dumps(OTHERS)}", EXACT),
    "json-pretty": (json.dumps(RECORD, indent=4), EXACT),
    "json-sse": (f"data: {json.dumps(RECORD)}\n\n", EXACT),
    "json-seq": (f"\x1e{json.dumps(RECORD)}\n", EXACT),
    "json of bytes": (json.dumps({**RECORD, "MESSAGE": list(RESULT.encode())}), EXACT),
    "export": ("__CURSOR=s=1\n" + "".join(f"{name}={value}\n" for name, value in RECORD.items()) + "\n", EXACT),
    "verbose": (
        "Wed 2024-05-01 08:15:01.123456 UTC [s=1;i=2]\n"
        + "".join(f"    {name}={value}\n" for name, value in RECORD.items()),
        EXACT,
    ),
    "svlogd": (f"2024-05-01_08:15:01.123456 {RESULT}", EXACT),
    "container": (f"2024-05-01T08:15:01.123456Z stdout F {RESULT}", EXACT),
    "container of syslog": (f"2024-05-01T08:15:02Z stderr F May  1 08:15:01 gate sshd[7]: {RESULT}", WHOLE),
    "compose": (f"sshd-1  | 2024-05-01T08:15:01Z {RESULT}", WHOLE),
    "docker": (json.dumps({"log": f"{RESULT}\n", "stream": "stdout", "time": EXACT}), EXACT),
    "docker of syslog": (json.dumps({"log": f"May  1 08:15:01 gate sshd[7]: {RESULT}\n", "time": EXACT}), WHOLE),
    "facility": (f"May  1 08:15:01 <auth.info> gate sshd[7]: {RESULT}", WHOLE),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(bench: Bench, layout: str) -> None:
    """Each gives the row of its log-in, and nothing of another program."""
    text, time = LAYOUTS[layout]
    rows, skipped = bench.of("sshd", text, year=2024)
    assert rows == [["ann", "192.0.2.7", time]]
    assert set(skipped) <= {"BLANK", "OTHER"}


def test_results_without_a_time(bench: Bench) -> None:
    """What the server prints by itself can be used without times."""
    assert bench.of("sshd", RESULT, no_timestamps=True) == ([["ann", "192.0.2.7"]], {})


@pytest.mark.parametrize("time", ["", "x", "9" * 30, "-1"])
def test_times_that_are_none(bench: Bench, time: str) -> None:
    """A record with an invalid time is skipped."""
    record = {**RECORD, "__REALTIME_TIMESTAMP": time}
    lines = f"{json.dumps(record)}\n{json.dumps(RECORD)}"
    assert bench.of("sshd", lines)[0] == [["ann", "192.0.2.7", EXACT]]


@pytest.mark.parametrize("name", ["PROGRAM", "programname", "syslogtag", "appname", "process.name"])
def test_other_programs_are_not_believed(bench: Bench, name: str) -> None:
    """A record of JSON says by any of these names which program wrote it."""

    def line(program: str) -> str:
        named = {"process": {"name": program}} if "." in name else {name: program}
        message = f"Accepted password for {program} from 192.0.2.7 port 1 ssh2"
        return json.dumps({"@timestamp": "2024-05-01T10:00:00Z", "message": message, **named})

    log = "\n".join([line("sshd"), line("evil")])
    assert bench.of("sshd", log) == ([["sshd", "192.0.2.7", "2024-05-01T10:00:00Z"]], {"OTHER": 1})


@pytest.mark.parametrize("size", [8, 4 * 2**20])
def test_blank_lines_in_front(bench: Bench, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """The layout is known by the first line that is not blank, in whichever block it comes."""
    monkeypatch.setattr(bounded_lines, "_BLOCK_BYTES", size)
    message = "Accepted password for ann from 192.0.2.7 port 1 ssh2"
    log = "\n" * 40 + json.dumps({"@timestamp": "2024-05-01T10:00:00Z", "program": "sshd", "message": message})
    assert bench.of("sshd", log) == ([["ann", "192.0.2.7", "2024-05-01T10:00:00Z"]], {"BLANK": 40})

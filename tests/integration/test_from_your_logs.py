"""Every line of the page "From your logs" gives the row of its sample."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "from-your-logs.md"
LINES = re.findall(r"^\| ([^|]+) \| `(ipinsights [^`]+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
TIME, CLF = "2024-05-01T08:15:01Z", "[01/May/2024:08:15:01 +0000]"
RESULT = "Accepted publickey for ann from 192.0.2.7 port 50022 ssh2: RSA SHA256:abc"
TRAIL = {
    "userIdentity": {"arn": "ann"},
    "sourceIPAddress": "192.0.2.7",
    "eventTime": TIME,
    "responseElements": {"ConsoleLogin": "Success"},
}
AUDIT = {
    "UserId": "ann",
    "ClientIP": "[192.0.2.7]:443",
    "CreationTime": "2024-05-01T08:15:01",
    "Operation": "UserLoggedIn",
}
QUOTED = json.dumps(AUDIT).replace('"', '""')
SAMPLES: dict[str, Any] = {
    "access.log": f'192.0.2.7 - ann {CLF} "GET / HTTP/1.1" 200 2 "-" "x"',
    "own.log": f'10.0.0.1 - ann {CLF} "GET / HTTP/1.1" 200 "192.0.2.7, 10.0.0.2"',
    "vhosts.log": f'www.example.org 192.0.2.7 - ann {CLF} "GET / HTTP/1.1" 200 2',
    "u_ex240501.log": "#Fields: date time cs-username c-ip\n2024-05-01 08:15:01 ann 192.0.2.7",
    "ssh.log": "#separator \\x09\n#fields\tts\tid.orig_h\tuser\n1714551301.0\t192.0.2.7\tann",
    "alb.log": f'https {TIME} app/lb/50 192.0.2.7:2817 - 0 0 0 200 200 0 57 "GET / HTTP/1.1" "ann" - - - "Root=1"',
    "s3.log": f'79a5 bucket {CLF} 192.0.2.7 ann 3E57 REST.GET.OBJECT key "GET /key HTTP/1.1" 200 - 113',
    "auth.log": f"May  1 08:15:01 gate sshd[7]: {RESULT}",
    "journal.json": {"__REALTIME_TIMESTAMP": "1714551301000000", "SYSLOG_IDENTIFIER": "sshd", "MESSAGE": RESULT},
    "cloudtrail/a.json": {"Records": [TRAIL]},
    "lookup.json": {"Events": [{"EventId": "1", "CloudTrailEvent": json.dumps(TRAIL)}]},
    "flow.log": "2 123456789010 ann 192.0.2.7 10.0.0.5 49761 22 6 20 4249 1714551301 1714551361 ACCEPT OK".replace(
        "ann", "eni-0a1b"
    ),
    "fields.log": "eni-0a1b 192.0.2.7 1714551301 ann",
    "signins.json": {
        "value": [
            {"userPrincipalName": "ann", "ipAddress": "192.0.2.7", "createdDateTime": TIME, "status": {"errorCode": 0}}
        ]
    },
    "audit.json": AUDIT,
    "audit.csv": f'CreationDate,Operation,UserId,AuditData\n{TIME},UserLoggedIn,ann,"{QUOTED}"',
    "okta.json": [
        {
            "actor": {"alternateId": "ann"},
            "client": {"ipAddress": "192.0.2.7"},
            "published": TIME,
            "outcome": {"result": "SUCCESS"},
        }
    ],
    "workspace.json": {
        "items": [
            {
                "id": {"time": TIME},
                "actor": {"email": "ann"},
                "ipAddress": "192.0.2.7",
                "events": [{"name": "login_success"}],
            }
        ]
    },
    "github.json": [{"@timestamp": 1714551301000, "actor": "ann", "actor_ip": "192.0.2.7"}],
    "auth0.json": {"date": TIME, "type": "s", "user_name": "ann", "ip": "192.0.2.7"},
    "keycloak.log": '2024-05-01 08:15:01 type="LOGIN", userId="x", username="ann", ipAddress="192.0.2.7"',
    "nextcloud.log": {"user": "ann", "remoteAddr": "192.0.2.7", "time": "2024-05-01T08:15:01+00:00"},
    "hits.json": {
        "hits": {"hits": [{"_source": {"user": {"name": "ann"}, "source": {"ip": "192.0.2.7"}, "@timestamp": TIME}}]}
    },
    "events.json": {"user": {"email": None, "id": "ann"}, "client": {"ip": "192.0.2.7"}, "at": 1714551301},
    "vpn.log": 'date=2024-05-01 time=08:15:01 tz="+0000" action="tunnel-up" user="ann" remip=192.0.2.7',
    "app.log": f"time={TIME} user=ann remote=192.0.2.7:443",
    "export.csv": "When;User;Address\n01/05/2024 08:15;ann;192.0.2.7",
}


def put(folder: Path) -> None:
    """Write the samples."""
    for name, sample in SAMPLES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(sample if isinstance(sample, str) else json.dumps(sample, indent=1), encoding="utf-8")
    record = {"actor": {"user": {"name": "ann"}}, "src_endpoint": {"ip": "192.0.2.7"}, "time": 1714551301000}
    parquet.write_table(pa.Table.from_pylist([record]), folder / "ocsf.parquet")


def test_every_sample_has_a_line() -> None:
    """The page has a line for each, and for Parquet."""
    assert {shlex.split(line)[-1].split("/")[0] for _, line in LINES} == {
        *(name.split("/")[0] for name in SAMPLES), "ocsf.parquet"
    }  # fmt: skip


@pytest.mark.parametrize(("source", "line"), LINES, ids=[source for source, _ in LINES])
def test_lines(tmp_path: Path, source: str, line: str) -> None:
    """Pasted into a shell, each writes entity, address and time."""
    put(tmp_path)
    words = [sys.executable, "-m", *shlex.split(line)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    name = "eni-0a1b" if source == "VPC flow logs" else "ann"
    moment = "2024-05-01T08:15:00Z" if "spreadsheet" in source else TIME
    assert done.stdout == f"{name},192.0.2.7,{moment}\n", done.stderr


PIPE = re.search(r"^tail -F .*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("has_gap", [False, True])
def test_a_log_that_is_rotated_is_followed(tmp_path: Path, model: Path, has_gap: bool) -> None:  # noqa: FBT001
    """The page's pipe goes on with the new file, whether it is there at once or later."""
    if PIPE is None or not shutil.which("tail"):
        pytest.skip("needs tail")
    log, scores = tmp_path / "access.log", tmp_path / "scores.csv"
    log.write_text(_request("user_1"), encoding="utf-8")
    command = PIPE[0].replace("ipinsights", f"{shlex.quote(sys.executable)} -m ipinsights")
    command = command.replace("tail -F", "tail -F -n +1").replace("--model-dir model", f"--model-dir {model}")
    with scores.open("wb") as output, (tmp_path / "errors").open("wb") as errors:
        process = subprocess.Popen(["sh", "-c", command], cwd=tmp_path, stdout=output, stderr=errors,
                                   start_new_session=True)  # fmt: skip
        try:
            _wait_for(scores, "user_1")
            with log.open("a", encoding="utf-8") as old:
                old.write(_request("user_2"))
            _wait_for(scores, "user_2")
            log.rename(tmp_path / "access.log.1")
            if has_gap:
                time.sleep(1.5)  # tail looks once a second
            log.write_text(_request("user_3"), encoding="utf-8")
            _wait_for(scores, "user_3")
            with log.open("a", encoding="utf-8") as new:
                new.write(_request("user_4"))
            _wait_for(scores, "user_4")
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=60)
    rows = [line.split(",") for line in scores.read_text(encoding="utf-8").splitlines()[1:]]
    assert [(row[0], row[1], row[3]) for row in rows] == [(f"user_{n}", "192.0.2.7", TIME) for n in (1, 2, 3, 4)]


def _request(user: str) -> str:
    return f'192.0.2.7 - {user} {CLF} "GET / HTTP/1.1" 200 2 "-" "x"\n'


def _wait_for(path: Path, text: str) -> None:
    """Wait until a file has a text in it. A busy machine takes its time to start."""
    end = time.monotonic() + 60
    while text not in path.read_text(encoding="utf-8"):
        assert time.monotonic() < end, f"{text} did not arrive"
        time.sleep(0.05)

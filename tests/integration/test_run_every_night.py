"""The nightly script for three simulated days under a running endpoint, and its units."""

from __future__ import annotations

import configparser
import contextlib
import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from ipinsights.model import artifact
from ipinsights.testing import run_command

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES = Path(__file__).parents[2] / "docs" / "how-to" / "nightly"
SCRIPT = FILES / "nightly.sh"
PAGE = (FILES.parent / "run-every-night.md").read_text(encoding="utf-8")
HOME = "/var/lib/ipinsights"
LOGIN = "user_1,192.0.2.1\n"


def night(home: Path, day: int, log: str | Path | None = None, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the script for a day of November 2018, in the folder of its logs."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "IPINSIGHTS_HOME": str(home),
        "MODELS_KEPT": "2",
        **settings,
    }
    name = f"2018-11-{day:02}"
    command: list[str | Path] = ["bash", SCRIPT, log or home / "logs" / f"{name}.log", name]
    return subprocess.run(command, cwd=home / "logs", env=environment, capture_output=True, text=True, check=False)


def blocks() -> list[str]:
    """Return the page's commands: the server, the way back, and the first rows."""
    return re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@contextlib.contextmanager
def endpoint(home: Path) -> Iterator[int]:
    """Yield the port of an endpoint that the page's command starts."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = blocks()[0].replace(HOME, str(home)).split()
    assert words[:2] == ["ipinsights", "serve"]
    command = [sys.executable, "-m", *words, "--workers", "1", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield port
    finally:
        server.terminate()
        server.wait(timeout=30)


def answer(port: int) -> bytes | None:
    """Return the answer to a login, None while the server does not answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection), contextlib.suppress(ConnectionError):
        headers = {"Content-Type": "text/csv", "Accept": "application/json; extended=True"}
        connection.request("POST", "/invocations", LOGIN, headers)
        response = connection.getresponse()
        assert response.status == 200, response.read()
        return response.read()
    return None


def answer_other_than(port: int, old: bytes | None) -> bytes:
    """Return the first answer that differs from an old one."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        found = answer(port)
        if found not in (old, None):
            return found
        time.sleep(0.2)
    raise AssertionError(old)


def write_days(home: Path) -> None:
    """Write a log for each of ten days, and the rows of the first seven."""
    run_command("simulate", "--users", 60, "--seed", 3, "-o", home / "traffic")
    lines = (home / "traffic" / "access.log").read_text().splitlines(keepends=True)
    (home / "logs").mkdir()
    for day in range(4, 14):
        of_day = [line for line in lines if f"[{day:02}/Nov/2018:" in line]
        (home / "logs" / f"2018-11-{day:02}.log").write_text("".join(of_day))
    (home / "rows").mkdir()
    for day in range(4, 11):
        log, rows = home / "logs" / f"2018-11-{day:02}.log", home / "rows" / f"2018-11-{day:02}.csv"
        done = run_command(
            "extract", "--format", "apache", "--path", "^/login$", "--status", "200,302", log, "-o", rows
        )
        assert done.returncode == 0, done.stderr


def give_logins_to_others(log: Path) -> None:
    """Assign each address of a log to a user other than its own."""
    lines = [line.split(" ") for line in log.read_text().splitlines()]
    users = [line[2] for line in lines]
    for number, line in enumerate(lines):
        line[2] = users[(number + len(users) // 2) % len(users)]
    log.write_text("".join(" ".join(line) + "\n" for line in lines))


@pytest.mark.slow
def test_three_nights_under_a_running_endpoint(tmp_path: Path) -> None:
    """The first model is served, the second replaces it, and a worse one does not.

    The first can come back.
    """
    write_days(tmp_path)
    current = tmp_path / "current"
    first = night(tmp_path, 11)
    assert first.returncode == 0, first.stderr
    assert current.readlink() == Path("models/2018-11-11")
    with endpoint(tmp_path) as port:
        of_first = answer_other_than(port, None)
        assert b'"verdict"' in of_first
        second = night(tmp_path, 12)
        assert second.returncode == 0, second.stderr
        assert "OK: runs/2018-11-12.log is not worse than runs/2018-11-11.log." in second.stdout.replace("\n", " ")
        of_second = answer_other_than(port, of_first)
        give_logins_to_others(tmp_path / "logs" / "2018-11-13.log")
        third = night(tmp_path, 13)
        assert third.returncode == 1, third.stderr
        assert "REGRESSION" in third.stdout
        assert current.readlink() == Path("models/2018-11-12")
        assert answer(port) == of_second
        days = [(tmp_path / "rows" / f"2018-11-{day:02}.csv").read_text() for day in range(4, 12)]
        assert artifact.load(current).meta["training"]["num_rows"] == sum(day.count("\n") for day in days)
        way_back = blocks()[1].replace(HOME, str(tmp_path)).replace("models/2018-11-12", "models/2018-11-11")
        subprocess.run(["bash", "-ec", way_back], check=True)
        assert answer_other_than(port, of_second) == of_first


@pytest.mark.slow
def test_a_night_that_is_repeated_keeps_the_model_in_use(tmp_path: Path) -> None:
    """The model in use is not trained again.

    A night of an earlier day does not remove its own model.
    """
    write_days(tmp_path)
    for day in (10, 11):
        assert night(tmp_path, day).returncode == 0
    used = (tmp_path / "current" / "model_algo-1").read_bytes()
    give_logins_to_others(tmp_path / "logs" / "2018-11-11.log")
    again = night(tmp_path, 11)
    assert (again.returncode, again.stdout) == (0, "The model of 2018-11-11 is in use already.\n")
    assert (tmp_path / "current" / "model_algo-1").read_bytes() == used
    earlier = night(tmp_path, 9)
    assert earlier.returncode == 0, earlier.stderr
    assert (tmp_path / "current").readlink() == Path("models/2018-11-09")
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["2018-11-09", "2018-11-11"]


@pytest.mark.slow
def test_wrong_data_leaves_the_model_in_use(tmp_path: Path) -> None:
    """A log without a login ends the night with exit code 2 before anything is written."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "2018-11-11.log").write_text("no log\n")
    done = night(tmp_path, 11)
    assert done.returncode == 2
    assert "ClientError: None of the 1 records is in the format apache." in done.stderr
    assert list((tmp_path / "rows").iterdir()) == list((tmp_path / "models").iterdir()) == []


@pytest.mark.slow
def test_quiet_days_are_held_out_together(tmp_path: Path) -> None:
    """A day with few logins shares a threshold with the days before it.

    The name of a log may be relative.
    """
    write_days(tmp_path)
    log = tmp_path / "logs" / "2018-11-10.log"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:20]))
    alone = night(tmp_path, 10, log.name)
    assert alone.returncode == 2
    assert "needs at least 99 calibration rows" in alone.stderr
    together = night(tmp_path, 10, log.name, DAYS_HELD_OUT="2")
    assert together.returncode == 0, together.stderr
    assert re.search(r"^test\.csv: .* from 2018-11-09T.* 2 days$", together.stderr, re.MULTILINE)


def test_the_script_is_valid() -> None:
    """The shell can read it, and it ends at the first failure."""
    assert subprocess.run(["bash", "-n", SCRIPT], capture_output=True, check=True).stderr == b""
    assert "set -euo pipefail\n" in SCRIPT.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["ipinsights-train.service", "ipinsights-train.timer"])
def test_units_are_valid(name: str) -> None:
    """Each has its sections, and systemd accepts it where there is systemd."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.read(FILES / name, encoding="utf-8")
    assert unit.sections()[:2] == ["Unit", "Service" if name.endswith("service") else "Timer"]
    if shutil.which("systemd-analyze") is None:
        return
    shown = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", FILES / name], capture_output=True, text=True, check=False
    )
    assert [line for line in shown.stderr.splitlines() if "not executable" not in line and name in line] == []


def test_the_cron_job_runs_the_script() -> None:
    """One job at a time, no second try, and a home that is a volume."""
    job = yaml.safe_load((FILES / "cronjob.yaml").read_text(encoding="utf-8"))
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    assert job["spec"]["jobTemplate"]["spec"]["backoffLimit"] == 0
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert container["command"] == ["bash", f"{mounted['scripts']}/nightly.sh"]
    assert {"name": "IPINSIGHTS_HOME", "value": mounted["state"]} in container["env"]
    assert sorted(mounted) == sorted(volume["name"] for volume in pod["volumes"])

"""Measure speed and memory of `ipinsights extract` for each format, and of a peer.

Each format is written to a temporary file, in which every line differs, and read by the command in a process of its
own, in turns. Shown are medians, and the highest peak of memory. For the peer: pip install apachelogs
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable

AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:60.0) Gecko/20100101 Firefox/60.0"
PEER = """
import sys
from apachelogs import COMBINED, LogParser
with open(sys.argv[1], encoding="utf-8") as lines, open(sys.argv[2], "w", encoding="utf-8") as out:
    for entry in LogParser(COMBINED).parse_lines(lines):
        print(entry.remote_user, entry.remote_host, entry.request_time.isoformat(), sep=",", file=out)
"""


def address(number: int) -> str:
    """Return one of many addresses."""
    return f"{11 + number % 80}.{number // 80 % 250}.{number // 20_000 % 250}.{number % 250}"


def clock(number: int) -> str:
    """Return a time of day."""
    return f"{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}"


LINES: dict[str, Callable[[int], str]] = {
    "apache": lambda n: (
        f'{address(n)} - user_{n % 9999} [11/Nov/2018:{clock(n)} +0000] "POST /login HTTP/1.1" 200 512 "-" "{AGENT}"\n'
    ),
    "sshd": lambda n: (
        f"Nov 11 {clock(n)} host sshd[{n % 30_000}]: Accepted publickey for user_{n % 9999} from "
        f"{address(n)} port {1024 + n % 60_000} ssh2: RSA SHA256:x\n"
    ),
    "cloudtrail": lambda n: (
        '{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::123456789012:'
        f'user/user_{n % 9999}"}},"eventTime":"2018-11-11T{clock(n)}Z","eventName":"ConsoleLogin","sourceIPAddress":'
        f'"{address(n)}"}}\n'
    ),
    "vpcflow": lambda n: (
        f"2 123456789012 eni-{n % 9999:08x} {address(n)} 10.0.0.5 443 {1024 + n % 60_000} 6 25 20000 "
        f"{1541894400 + n} {1541894460 + n} ACCEPT OK\n"
    ),
    "csv": lambda n: f"user_{n % 9999},{address(n)},2018-11-11T{clock(n)}Z\n",
    "jsonl": lambda n: f'{{"entity":"user_{n % 9999}","ip":"{address(n)}","timestamp":"2018-11-11T{clock(n)}Z"}}\n',
}


def measured(command: list[Any]) -> tuple[float, float]:
    """Run a command, and give its seconds and its peak of memory in megabytes."""
    start = time.perf_counter()
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL)  # noqa: S603 - our own command
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise click.ClickException(f"{command} failed.")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


@click.command(help=__doc__)
@click.option("--lines", default=1_000_000, show_default=True, help="Lines of each format.")
@click.option("--runs", default=5, show_default=True, help="Runs of each, in turns.")
def main(lines: int, runs: int) -> None:
    """Write the logs, read them in turns, and show a table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        commands: dict[str, list[Any]] = {}
        for log_format, line in LINES.items():
            path = folder / f"{log_format}.log"
            with path.open("w", encoding="utf-8") as log:
                log.write("entity,ip,timestamp\n" if log_format == "csv" else "")
                log.writelines(map(line, range(lines)))
            commands[log_format] = [sys.executable, "-m", "ipinsights", "extract", "--format", log_format, path, "-o",
                                    folder / "rows.csv"]  # fmt: skip
        if importlib.util.find_spec("apachelogs"):
            commands["apache by apachelogs"] = [sys.executable, "-c", PEER, folder / "apache.log", folder / "rows.csv"]
        results = [(name, *measured(command)) for _ in range(runs) for name, command in commands.items()]
    table = pd.DataFrame(results, columns=["format", "seconds", "megabytes"])
    shown = table.groupby("format", sort=False).agg(
        seconds=("seconds", statistics.median), megabytes=("megabytes", "max")
    )
    shown.insert(0, "lines a second", lines / shown.seconds)
    click.echo(shown.round(1).to_string(formatters={"lines a second": "{:,.0f}".format, "megabytes": "{:.0f}".format}))


if __name__ == "__main__":
    main()

"""From a log on standard input to files that training reads, through the real command line."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ipinsights.data.pairs import read_pairs
from ipinsights.testing import run_command

LINE = '192.0.2.{} - user_{} [{:02}/Nov/2018:12:00:00 +0000] "POST /login HTTP/1.1" {} 512\n'
LOG = "".join(LINE.format(number % 250, number % 7, 4 + number // 10, 200 + number % 2) for number in range(100))


def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "ipinsights", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, check=False)


def test_from_standard_input_to_files_to_train_on(tmp_path: Path) -> None:
    """Rows go to standard output, the summary to standard error, and split makes training files."""
    extracted = run("extract", "--format", "nginx", "--status", "200", "-", stdin=gzip.compress(LOG.encode()))
    assert extracted.returncode == 0
    assert extracted.stderr.decode() == (
        "100 records in 1 file: 50 written, 50 skipped.\n"
        "              50  filtered out\n"
        "Written: 50 rows of 7 entities on 10 days, from 2018-11-04T12:00:00Z to 2018-11-13T12:00:00Z.\n"
    )
    rows = tmp_path / "rows.csv"
    rows.write_bytes(extracted.stdout)
    split = run_command("split", rows, "-o", tmp_path, "--at", "2018-11-12", "--calibration-at", "2018-11-11")
    assert (split.returncode, split.stderr) == (
        0,
        "train.csv: 35 rows from 2018-11-04T12:00:00Z to 2018-11-10T12:00:00Z, 7 entities, 7 days\n"
        "calibration.csv: 5 rows from 2018-11-11T12:00:00Z to 2018-11-11T12:00:00Z, 5 entities, 1 day\n"
        "test.csv: 10 rows from 2018-11-12T12:00:00Z to 2018-11-13T12:00:00Z, 7 entities, 2 days\n"
        f"Next: ipinsights train --train {tmp_path}/train.csv --model-dir model\n",
    )
    assert [len(read_pairs(tmp_path / f"{part}.csv")) for part in ("train", "calibration", "test")] == [35, 5, 10]


def test_one_seed_gives_one_order(tmp_path: Path) -> None:
    """The same seed mixes the same way, another one differently."""
    rows = tmp_path / "rows.csv"
    rows.write_text("".join(f"u,10.0.0.{number},{1541800000 + number}\n" for number in range(200)))
    orders = []
    for seed in ("1", "1", "2"):
        run_command("split", rows, "-o", tmp_path, "--fraction", 0.9, 0, 0.1, "--seed", seed)
        orders.append((tmp_path / "train.csv").read_text())
    assert orders[0] == orders[1] != orders[2]


BY_SHARES = ("--fraction", "0.8", "0.1", "0.1")


@pytest.mark.parametrize(
    "options", [(), ("--at", "2018-11-12", *BY_SHARES), ("--calibration-at", "2018-11-12", *BY_SHARES)]
)
def test_one_way_to_split(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Rows are split by time or by shares. Both or neither are refused."""
    split = run_command("split", tmp_path, "-o", tmp_path, *options)
    assert split.returncode == 2
    assert split.stderr.endswith("Error: Give either --at, perhaps with --calibration-at, or --fraction.\n")


def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    """Exit code 2, one line behind the counts, and no file half written."""
    log = tmp_path / "access.log"
    log.write_text(LOG)
    extracted = run_command("extract", "--format", "sshd", log, "-o", tmp_path / "rows.csv")
    assert (extracted.returncode, extracted.stdout) == (2, "")
    assert extracted.stderr == (
        "100 records in 1 file: 0 written, 100 skipped.\n"
        "             100  malformed, not of this format\n"
        f"                  for example {log}: '{LOG.splitlines()[0]}'\n"
        "ClientError: None of the 100 records is in the format sshd. See --format for the others.\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["access.log"]


def test_whoever_reads_has_had_enough(tmp_path: Path) -> None:
    """A closed pipe, as of head, is no reason to complain."""
    log = tmp_path / "access.log"
    log.write_text(LOG * 2000)
    command = f"{sys.executable} -m ipinsights extract --format apache {log} | head -1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, check=False)
    assert (done.stdout, done.stderr) == (b"user_0,192.0.2.0,2018-11-04T12:00:00Z\n", b"")


@pytest.mark.slow
def test_the_benchmark_reads_every_format() -> None:
    """A row per format, with a speed; the benchmark fails if a command of its does."""
    script = Path(__file__).parents[2] / "benchmarks" / "benchmark_extract.py"
    done = subprocess.run(
        [sys.executable, script, "--lines", "500", "--runs", "1"], capture_output=True, check=True, text=True
    )
    rows = dict(re.findall(r"^(\w+) +([\d,]+) ", done.stdout, flags=re.MULTILINE))
    assert list(rows) == ["apache", "sshd", "cloudtrail", "vpcflow", "csv", "jsonl"]
    assert all(int(speed.replace(",", "")) > 0 for speed in rows.values())


def test_extract_names_the_next_command(tmp_path: Path) -> None:
    """The next command is split for rows with times, else train, with the name of the file."""
    (tmp_path / "a.log").write_text(LOG)
    rows = tmp_path / "my rows.csv"
    timed = run_command("extract", "--format", "nginx", tmp_path / "a.log", "-o", rows)
    assert timed.stderr.endswith(
        f"\nNext: ipinsights split '{rows}' --fraction 0.7 0.1 0.2 --keep-timestamps -o data\n"
    )
    untimed = run_command("extract", "--format", "nginx", "--no-timestamps", tmp_path / "a.log", "-o", rows)
    assert untimed.stderr.endswith(
        f"Written: 100 rows of 7 entities.\nNext: ipinsights train --train '{rows}' --model-dir model\n"
    )


def test_an_old_option_warns(tmp_path: Path) -> None:
    """`simulate --access-log`, which says what happens anyway, works for one more version."""
    done = run_command("simulate", "--users", 2, "--days", 3, "--access-log", "-o", "traffic", folder=tmp_path)
    assert done.returncode == 0
    assert done.stderr.splitlines()[0] == (
        "warning: --access-log is removed in version 0.2. The log is written unless --no-access-log is given."
    )
    assert (tmp_path / "traffic" / "access.log").exists()

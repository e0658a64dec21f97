"""Inputs as people have them, one of each kind at least, through the command line."""

from __future__ import annotations

import csv
import gzip
import io
import json
import shlex
import tarfile
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pytest
from pyarrow import parquet

from ipinsights.testing import run_command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np

CLF, ISO = "[02/Feb/2024:03:04:05 +0000]", "2024-02-02T03:04:05Z"
TRAIL = {"eventTime": ISO, "eventName": "ConsoleLogin"}


class Login(NamedTuple):
    """A user and an address, other ones in each run."""

    user: str
    ip: str


class Case(NamedTuple):
    """An input, and how it is read."""

    kind: str
    options: str
    content: Callable[[Login], Any]


@pytest.fixture
def login(rng: np.random.Generator) -> Login:
    """Return a user and an address."""
    user = rng.choice(["ann", "zoë", "CORP\\eve", "o'neil", "bob@example.org", "m.müller", "user 7"])
    return Login(str(user), ".".join(map(str, rng.integers(1, 255, 4))))


def _tar(login: Login) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        content = f"user,ip,at\n{login.user},{login.ip},{ISO}\n".encode()
        member = tarfile.TarInfo("logs/table.csv")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _nested_parquet(login: Login) -> bytes:
    file = pa.BufferOutputStream()
    record = {"actor": {"user": {"name": login.user}}, "src": [{"ip": login.ip}], "time": 1706843045000}
    parquet.write_table(pa.Table.from_pylist([record]), file)
    content: bytes = file.getvalue().to_pybytes()
    return content


CSV = "--format csv --entity user --ip ip --timestamp at"
JSON = "--format jsonl --entity user --ip ip --timestamp at"
CASES = [
    Case("A: a field more before the name",
         "--format nginx --log-format '$remote_addr - [$x] - $remote_user [$time_local]'",
         lambda of: f"{of.ip} - [{of.ip}] - {of.user} {CLF}"),
    Case("B: text behind a result", "--format sshd", lambda of: (
        f"{ISO} gate sshd[1]: Accepted publickey for {of.user} from {of.ip} port 22 ssh2: RSA-CERT ID x "
        "from 10.9.9.9 port 22 ssh2")),
    Case("C: a time in fourteen digits", CSV, lambda of: f"user,ip,at\n{of.user},{of.ip},20240202030405"),
    Case("D: a time of Kibana", CSV, lambda of: f'user,ip,at\n{of.user},{of.ip},"Feb 2, 2024 @ 03:04:05.000"'),
    Case("D: a time of BigQuery", CSV, lambda of: f"user,ip,at\n{of.user},{of.ip},2024-02-02 03:04:05 UTC"),
    Case("D: a time of an e-mail", CSV, lambda of: f'user,ip,at\n{of.user},{of.ip},"Fri, 02 Feb 2024 03:04:05 +0000"'),
    Case("D: a time of .NET", JSON, lambda of: {"user": of.user, "ip": of.ip, "at": "/Date(1706843045000)/"}),
    Case("D: a time of nginx in JSON", JSON,
         lambda of: {"user": of.user, "ip": of.ip, "at": "02/Feb/2024:03:04:05 +0000"}),
    Case("D: a time of one's own", f"{CSV} --time-format '%d.%m.%Y %H.%M.%S'",
         lambda of: f"user,ip,at\n{of.user},{of.ip},02.02.2024 03.04.05"),
    Case("E: an archive", CSV, _tar),
    Case("F: a small Parquet file, I: nested columns",
         "--format parquet --entity actor.user.name --ip src.0.ip --timestamp time", _nested_parquet),
    Case("H: words for nobody", CSV, lambda of: "user,ip,at\n" + "".join(
        f"{word},{of.ip},{ISO}\n" for word in ("--", "NULL", r"\N", "nan", "-", of.user))),
    Case("I: a key with dots", "--format jsonl --entity user --ip id.orig_h --timestamp at",
         lambda of: {"user": of.user, "id.orig_h": of.ip, "at": 1706843045.0}),
    Case("I: an index", "--format jsonl --entity user --ip chain.0.ip --timestamp at",
         lambda of: {"user": of.user, "chain": [{"ip": of.ip}, {"ip": "10.0.0.9"}], "at": ISO}),
    Case("J: a list", JSON, lambda of: [{"user": of.user, "ip": of.ip, "at": ISO}]),
    Case("J: an envelope", JSON,
         lambda of: {"@odata.context": "x", "value": [{"user": of.user, "ip": of.ip, "at": ISO}]}),
    Case("J: lookup-events", "--format cloudtrail", lambda of: {"Events": [{"CloudTrailEvent": json.dumps(
        {**TRAIL, "userIdentity": {"arn": of.user}, "sourceIPAddress": of.ip})}]}),
    Case("K: UTF-16", JSON, lambda of: json.dumps({"user": of.user, "ip": of.ip, "at": ISO}).encode("utf-16")),
    Case("K: a mark in front", JSON,
         lambda of: b"\xef\xbb\xbf" + json.dumps({"user": of.user, "ip": of.ip, "at": ISO}).encode()),
    Case("L: a port", JSON, lambda of: {"user": of.user, "ip": f"{of.ip}:60162", "at": ISO}),
    Case("L: a list of proxies", CSV, lambda of: f'user,ip,at\n{of.user},"{of.ip}, 10.0.0.9",{ISO}'),
    Case("L: an address in an address", CSV, lambda of: f"user,ip,at\n{of.user},[::ffff:{of.ip}]:443,{ISO}"),
    Case("M: the journal", "--format sshd", lambda of: {
        "__REALTIME_TIMESTAMP": "1706843045000000", "SYSLOG_IDENTIFIER": "sshd-session",
        "MESSAGE": f"Accepted password for {of.user} from {of.ip} port 22 ssh2"}),
    Case("M: Solaris", "--format sshd --year 2024", lambda of: (
        "Feb  2 03:04:05 gate sshd[7]: [ID 800047 auth.info] "
        f"Accepted password for {of.user} from {of.ip} port 22 ssh2")),
    Case("N: fields named by the log", "--format csv --entity cs-username --ip c-ip",
         lambda of: f"#Fields: date time cs-username c-ip\n2024-02-02 03:04:05 {of.user.replace(' ', '+')} {of.ip}"),
    Case("N: key=value", "--format logfmt --entity user --ip ip --timestamp at",
         lambda of: f'at={ISO} user="{of.user}" ip={of.ip}'.replace("\\", "\\\\")),
    Case("O: sep=", CSV, lambda of: f"sep=;\nuser;ip;at\n{of.user};{of.ip};{ISO}"),
    Case("O: lines before the header", CSV, lambda of: f"Report, February\n\nuser,ip,at\n{of.user},{of.ip},{ISO}"),
    Case("O: trailing commas", CSV, lambda of: f"user,ip,at\n{of.user},{of.ip},{ISO},\n"),
    Case("O: an index in front", CSV, lambda of: f",user,ip,at\n0,{of.user},{of.ip},{ISO}"),
    Case("O: Windows-1252", f"{CSV} --encoding cp1252",
         lambda of: f"user,ip,at\n{of.user},{of.ip},{ISO}".encode("cp1252")),
    Case("Q: a flow log in another format",
         "--format vpcflow --fields 'instance-id srcaddr start action' --entity instance-id",
         lambda of: f"{of.user.replace(' ', '')} {of.ip} 1706843045 ACCEPT"),
    Case("R: IAM Identity Center", "--format cloudtrail", lambda of: {"Records": [
        {**TRAIL, "userIdentity": {"onBehalfOf": {"userId": of.user}}, "sourceIPAddress": of.ip}]}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.kind for case in CASES])
@pytest.mark.parametrize("is_packed", [False, True])
def test_the_row_is_right(case: Case, login: Login, tmp_path: Path, is_packed: bool) -> None:  # noqa: FBT001
    """Packed or not, the one log-in is written with user, address and time, and nothing else."""
    content = case.content(login)
    content = json.dumps(content) if isinstance(content, (dict, list)) else content
    raw = content if isinstance(content, bytes) else f"{content}\n".encode()
    (tmp_path / "log").write_bytes(gzip.compress(raw) if is_packed else raw)
    done = run_command("extract", tmp_path / "log", *shlex.split(case.options))
    assert done.returncode == 0, done.stderr
    ((user, ip, time),) = csv.reader(io.StringIO(done.stdout))
    expected = login.user.replace(" ", "+") if "#Fields" in str(content) else login.user
    assert (user, ip, time) == (expected.replace(" ", "") if "vpcflow" in case.options else expected, login.ip, ISO)


@pytest.mark.parametrize(
    ("content", "arguments", "words"),
    [
        (b"SQLite format 3\0" + bytes(100), "--format csv", "log cannot be read: it is an SQLite database."),
        (b"0,ann,192.0.2.7\n", "--format csv --no-timestamps", "No row was written"),
        (b"ann,192.0.2.7\n", "--format apache --status 2xx", "--status must be codes such as 200,302. Got '2xx'."),
        (b"nothing of a log\n", "--format sshd", "None of the 1 records is in the format sshd."),
    ],
)
def test_nothing_usable_is_an_error(content: bytes, arguments: str, words: str, tmp_path: Path) -> None:
    """Kinds E, G and O: exit code 2, and a sentence that says why."""
    (tmp_path / "log").write_bytes(content)
    done = run_command("extract", tmp_path / "log", *arguments.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr.splitlines()[-1]


def test_folders_are_read_as_other_programs_leave_them(tmp_path: Path, login: Login) -> None:
    """Kind P: markers, empty parts and metadata are skipped with a message.

    Links to folders are followed.
    """
    folder, elsewhere = tmp_path / "rows", tmp_path / "elsewhere"
    (folder / "day=1").mkdir(parents=True)
    elsewhere.mkdir()
    for path in (folder / "day=1" / "part-0.csv", elsewhere / "part-1.csv"):
        path.write_text(f"{login.user},{login.ip},{ISO}\n", encoding="utf-8")
    (folder / "day=2").symlink_to(elsewhere)
    for name in ("_SUCCESS", "year=2024_$folder$", "part-2.csv", "part-0.csv.metadata"):
        (folder / name).write_bytes(b"")
    done = run_command("extract", folder, "--format", "csv", "--no-header")
    assert done.stdout == f"{login.user},{login.ip},{ISO}\n" * 2


@pytest.mark.parametrize("is_whole", [False, True])
def test_hyperparameters_of_a_described_job(tmp_path: Path, is_whole: bool) -> None:  # noqa: FBT001
    """Kind T: the map, or the document around it, as the AWS command line prints it."""
    given = {"num_entity_vectors": "20", "vector_dim": "4", "epochs": "1", "mini_batch_size": "10"}
    document = {"TrainingJobName": "job", "HyperParameters": given, "ResourceConfig": {}} if is_whole else given
    (tmp_path / "job.json").write_text(json.dumps(document))
    (tmp_path / "rows.csv").write_text("".join(f"u{n % 7},192.0.2.{n % 9}\n" for n in range(50)))
    done = run_command("train", "--train", tmp_path / "rows.csv", "--model-dir", tmp_path / "model",
                       "--hyperparameters", tmp_path / "job.json", "--quiet")  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = json.loads(run_command("inspect", tmp_path / "model", "--json").stdout)
    assert shown["hyperparameters"]["vector_dim"] == "4"

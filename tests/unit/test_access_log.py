"""The access log: its lines, request ids, rotation, and files that cannot be written."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.errors import ClientError
from ipinsights.serving.access_log import AccessLog, RequestRecord, request_id_of

from .open_files import open_files

RECORD = RequestRecord("order-17", "/invocations", 200, 3, 60, 75, 0.0123456)
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class TestRequestId:
    """Request ids that are accepted, and those that are replaced."""

    @pytest.mark.parametrize("name", [b"x-amzn-requestid", b"x-request-id", b"X-Request-Id"])
    @pytest.mark.parametrize("value", [b"a", b"A-z_0.9", b"x" * 128])
    def test_accepted(self, name: bytes, value: bytes) -> None:
        """A valid id is returned as it was sent."""
        assert request_id_of([(b"host", b"localhost"), (name, value)]) == value.decode()

    @pytest.mark.parametrize("value", [b"", b"x" * 129, b"a b", b'a"}', b"a\n", b"caf\xc3\xa9", b"\xff", b"../a"])
    def test_replaced(self, value: bytes) -> None:
        """An invalid id is replaced by a new one."""
        assert UUID.fullmatch(request_id_of([(b"x-request-id", value)]))

    def test_generated(self) -> None:
        """Each request without an id gets an id of its own."""
        assert len({request_id_of([(b"host", b"localhost")]) for _ in range(1000)}) == 1000

    def test_order(self) -> None:
        """The name that SageMaker uses takes precedence, unless its value is invalid."""
        both = [(b"x-request-id", b"second"), (b"x-amzn-requestid", b"first"), (b"x-amzn-requestid", b"repeated")]
        assert request_id_of(both) == "first"
        assert request_id_of([(b"x-request-id", b"second"), (b"x-amzn-requestid", b"not valid")]) == "second"

    @given(st.lists(st.tuples(st.sampled_from([b"x-request-id", b"x-amzn-requestid", b"host"]), st.binary())))
    def test_always_valid(self, headers: list[tuple[bytes, bytes]]) -> None:
        """The id is safe to log and to return, whatever a client sends."""
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", request_id_of(headers))


class TestLines:
    """What a line contains."""

    def test_fields(self, tmp_path: Path) -> None:
        """A line is a JSON object of these fields and no others."""
        AccessLog(tmp_path / "log").write(RECORD)
        text = (tmp_path / "log").read_text()
        assert text.endswith("}\n")
        fields = json.loads(text)
        written = datetime.fromisoformat(fields.pop("time").replace("Z", "+00:00"))
        assert timedelta(0) <= datetime.now(timezone.utc) - written < timedelta(seconds=60)
        assert fields == {
            "request_id": "order-17",
            "route": "/invocations",
            "status": 200,
            "rows": 3,
            "bytes_received": 60,
            "bytes_sent": 75,
            "milliseconds": 12.346,
        }

    def test_unknown_path(self, tmp_path: Path) -> None:
        """A path that is no route is not repeated: a user's name could be in it."""
        AccessLog(tmp_path / "log").write(RequestRecord("id", "/users/alice", 404, 0, 0, 9, 0.001))
        assert '"route":"other"' in (tmp_path / "log").read_text()
        assert "alice" not in (tmp_path / "log").read_text()

    def test_appends(self, tmp_path: Path) -> None:
        """What is in the file stays, and nobody else may read the file."""
        log = tmp_path / "log"
        AccessLog(log).write(RECORD)
        AccessLog(log).write(RECORD)
        assert log.read_text().count("\n") == 2
        assert log.stat().st_mode & 0o007 == 0

    def test_several_processes(self, tmp_path: Path) -> None:
        """Lines of processes that write at the same time do not interleave."""
        code = """
import sys
from pathlib import Path
from ipinsights.serving.access_log import AccessLog, RequestRecord
log = AccessLog(Path(sys.argv[1]))
for number in range(2000):
    log.write(RequestRecord(f"{sys.argv[2]}-{number}", "/ping", 200, 0, 0, 0, 0.1))
"""
        processes = [subprocess.Popen([sys.executable, "-c", code, tmp_path / "log", name]) for name in "abcd"]
        assert [process.wait() for process in processes] == [0, 0, 0, 0]
        ids = [json.loads(line)["request_id"] for line in (tmp_path / "log").read_text().splitlines()]
        assert sorted(ids) == sorted(f"{name}-{number}" for name in "abcd" for number in range(2000))


class TestRotation:
    """What `logrotate` does."""

    def test_reopen(self, tmp_path: Path) -> None:
        """After a rename and `reopen` lines go to a new file, before it to the renamed one."""
        path, old = tmp_path / "log", tmp_path / "log.1"
        log = AccessLog(path)
        log.write(RECORD)
        path.rename(old)
        log.write(RECORD)
        assert not path.exists()
        log.reopen()
        log.write(RECORD)
        assert (old.read_text().count("\n"), path.read_text().count("\n")) == (2, 1)

    def test_no_leak(self, tmp_path: Path) -> None:
        """The file descriptor of the old file is closed."""
        log = AccessLog(tmp_path / "log")
        for _ in range(10):
            log.reopen()
        assert open_files(tmp_path) == [tmp_path / "log"]

    def test_cannot_reopen(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """If the path cannot be reopened, the old file stays in use and the reason is reported."""
        path = tmp_path / "log"
        log = AccessLog(path)
        path.rename(tmp_path / "log.1")
        path.mkdir()
        log.reopen()
        log.write(RECORD)
        assert (tmp_path / "log.1").read_text().count("\n") == 1
        message = f"The access log {path} cannot be reopened: Is a directory. Lines are still written to the old file."
        assert caplog.messages == [message]


class TestFaults:
    """Files that cannot be written."""

    def test_not_opened(self, tmp_path: Path) -> None:
        """A server with a path that cannot be opened does not start."""
        path = tmp_path / "missing" / "log"
        message = (
            f"The access log {path} cannot be opened: No such file or directory. Choose a file that can be written."
        )
        with pytest.raises(ClientError, match=f"^{re.escape(message)}$"):
            AccessLog(path)

    def test_full_disk(self, caplog: pytest.LogCaptureFixture) -> None:
        """A full disk is reported once, not for each request."""
        log = AccessLog(Path("/dev/full"))
        for _ in range(5):
            log.write(RECORD)
        message = "The access log /dev/full cannot be written: No space left on device. Lines are dropped until it can."
        assert caplog.messages == [message]

    def test_recovery(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """When a pipe is read again, the number of dropped lines is reported, and lines are whole."""
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        caplog.set_level(logging.WARNING)
        log, num_sent = AccessLog(pipe), 0
        while not caplog.messages:
            log.write(RECORD)
            num_sent += 1
        log.write(RECORD)
        received = os.read(reader, 2**20)
        log.write(RECORD)
        received += os.read(reader, 2**20)
        os.close(reader)
        assert caplog.messages == [
            f"The access log {pipe} cannot be written: Resource temporarily unavailable. "
            "Lines are dropped until it can.",
            "The access log can be written again. Dropped lines: 2.",
        ]
        lines = received.splitlines()
        assert len(lines) == num_sent
        assert all(json.loads(line)["request_id"] == "order-17" for line in lines)

    def test_torn_line(self, tmp_path: Path) -> None:
        """A line that a full disk cut off does not damage the next one."""
        code = """
import os, resource, signal, sys
from pathlib import Path
from ipinsights.serving.access_log import AccessLog, RequestRecord
record = RequestRecord("order-17", "/ping", 200, 0, 0, 0, 0.1)
log = AccessLog(Path(sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log.write(record)
size = os.path.getsize(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 30, -1))
log.write(record)
resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
log.write(record)
"""
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "log"], check=True, capture_output=True, text=True
        )
        first, torn, last = (tmp_path / "log").read_text().splitlines()
        assert len(torn) == 30
        assert json.loads(first)["request_id"] == json.loads(last)["request_id"] == "order-17"
        assert done.stderr == (
            f"The access log {tmp_path / 'log'} cannot be written: No space left on device. Lines are dropped until it "
            "can.\nThe access log can be written again. Dropped lines: 1.\n"
        )

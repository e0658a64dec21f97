"""The page's nginx and HAProxy with a real server: TLS, passwords, and no loss under load."""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from base64 import b64encode
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.testing import save_random_model

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow

PAGES = Path(__file__).parents[2] / "docs" / "how-to" / "operate"
PAIR = b"user_1,192.168.1.2\n"
PASSWORD = "correct horse"  # noqa: S105 - of this test only


@dataclass
class Backend:
    """A server that runs behind a proxy."""

    process: subprocess.Popen[bytes]
    log: Path
    port: int = field(init=False)

    def __post_init__(self) -> None:
        self.port = int(waited_for(r"Listening at: http://127.0.0.1:(\d+)", self.log, self.process)[1])

    def worker(self) -> int:
        """Return the process id of the newest worker."""
        return int(re.findall(r"Booting worker with pid: (\d+)", self.log.read_text())[-1])

    def num_closed_connections(self) -> int:
        """Return the number of closed connections to the server that the kernel still lists."""
        lines = Path("/proc/net/tcp").read_text().splitlines()
        return sum(f":{self.port:04X} " in line and line.split()[3] == "06" for line in lines)


def waited_for(pattern: str, log: Path, process: subprocess.Popen[bytes]) -> re.Match[str]:
    """Wait until a log contains a pattern."""
    deadline = time.monotonic() + 60
    while not (found := re.search(pattern, log.read_text())):
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    return found


def free_port() -> int:
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def running(command: list[str | Path], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in the foreground until it is no longer needed."""
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    """Yield a server of two workers."""
    model = save_random_model(tmp_path / "model", num_entities=100, vector_dim=8, rng=np.random.default_rng(0))
    serve: list[str | Path] = [sys.executable, "-m", "ipinsights", "serve", "--model-dir", model, "--port", "0"]
    serve += ["--workers", "2"]
    log = tmp_path / "server.log"
    with running(serve, log) as process:
        yield Backend(process, log)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Return a certificate of this machine and its key, in one file."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    key, pem = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command: list[str | Path] = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", key, "-out", pem], check=True, capture_output=True)
    with pem.open("a") as stream:
        stream.write(key.read_text())
    return pem


@dataclass
class Proxy:
    """A proxy that runs, and what its clients know."""

    port: int
    certificate: Path

    def connection(self) -> http.client.HTTPSConnection:
        """Return a connection that accepts this certificate only."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        return http.client.HTTPSConnection("localhost", self.port, context=context, timeout=30)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        password: str | None = PASSWORD,
        connection: http.client.HTTPSConnection | None = None,
    ) -> tuple[int, bytes]:
        """Send a request, and return status and body of the answer."""
        headers = {"Content-Type": "text/csv"}
        if password is not None:
            headers["Authorization"] = authorization(password)
        with (
            contextlib.closing(self.connection()) if connection is None else contextlib.nullcontext(connection) as used
        ):
            used.request(method, path, body, headers)
            response = used.getresponse()
            return response.status, response.read()


def authorization(password: str) -> str:
    """Return the header's value for the user and a password."""
    return f"Basic {b64encode(f'analyst:{password}'.encode()).decode()}"


def password_hash() -> str:
    """Return what the page's command makes of the password."""
    command = ["openssl", "passwd", "-6", PASSWORD]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def replaced(name: str, changes: dict[str, str]) -> str:
    """Return a file of the page with paths and ports of this test. Each text must be there."""
    text = (PAGES / name).read_text(encoding="utf-8")
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


@contextlib.contextmanager
def nginx(backend: Backend, certificate: Path, folder: Path) -> Iterator[Proxy]:
    """Run nginx with the page's configuration."""
    port = free_port()
    (folder / "htpasswd").write_text(f"analyst:{password_hash()}\n")
    (folder / "site.conf").write_text(
        replaced(
            "nginx.conf",
            {
                "127.0.0.1:8080": f"127.0.0.1:{backend.port}",
                "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
                "/etc/ssl/certs/ipinsights.pem": str(certificate),
                "/etc/ssl/private/ipinsights.key": str(certificate),
                "auth_basic_user_file /etc/nginx/ipinsights.htpasswd": f"auth_basic_user_file {folder}/htpasswd",
            },
        )
    )
    user = "user root;" if os.getuid() == 0 else ""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind}; " for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"{user} daemon off; worker_processes 1; pid {folder}/pid; error_log stderr warn; events {{}}\n"
        f"http {{ access_log off; {temporary} include {folder}/site.conf; }}\n"
    )
    with running(["nginx", "-e", "stderr", "-c", folder / "nginx.conf"], folder / "nginx.log"):
        yield Proxy(port, certificate)


@contextlib.contextmanager
def haproxy(backend: Backend, certificate: Path, folder: Path) -> Iterator[Proxy]:
    """Run HAProxy with the page's configuration."""
    port = free_port()
    (folder / "haproxy.cfg").write_text(
        replaced(
            "haproxy.cfg",
            {
                "127.0.0.1:8080": f"127.0.0.1:{backend.port}",
                "bind :443 ssl": f"bind 127.0.0.1:{port} ssl",
                "/etc/haproxy/ipinsights.pem": str(certificate),
                "PASSWORD_HASH": password_hash(),
            },
        )
    )
    with running(["haproxy", "-db", "-f", folder / "haproxy.cfg"], folder / "haproxy.log"):
        yield Proxy(port, certificate)


@pytest.fixture(params=[nginx, haproxy], ids=["nginx", "haproxy"])
def proxy(request: pytest.FixtureRequest, backend: Backend, certificate: Path, tmp_path: Path) -> Iterator[Proxy]:
    """Yield a proxy in front of the server."""
    name = request.param.__name__
    if not shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin"):
        pytest.skip(f"{name} is not installed")
    with request.param(backend, certificate, tmp_path) as started:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                if started.request("GET", "/ping", password=None)[0] == 200:
                    break
            assert time.monotonic() < deadline, (tmp_path / f"{name}.log").read_text()
            time.sleep(0.05)
        log = (tmp_path / f"{name}.log").read_text()
        assert not re.search(r"\[(warn|WARNING|ALERT|emerg|error)\]", log), log
        yield started


def test_routes_and_passwords(proxy: Proxy, backend: Backend) -> None:
    """Scores need the password, `/ping` does not, and there is nothing else."""
    status, body = proxy.request("POST", "/invocations", PAIR)
    assert (status, len(json.loads(body)["predictions"])) == (200, 1)
    assert proxy.request("POST", "/endpoints/any/invocations", PAIR) == (status, body)
    assert proxy.request("POST", "/invocations", PAIR, password=None)[0] == 401
    assert proxy.request("POST", "/invocations", PAIR, password="wrong")  # noqa: S106 - which it is[0] == 401
    assert proxy.request("POST", "/endpoints/any/invocations", PAIR, password=None)[0] == 401
    assert proxy.request("GET", "/ping", password=None) == (200, b"")
    assert proxy.request("GET", "/metrics")[0] == 404
    assert proxy.request("GET", "/execution-parameters")[0] == 404
    with contextlib.closing(proxy.connection()) as connection:
        headers = {"Authorization": authorization(PASSWORD), "Content-Length": str(6 * 2**20 + 1)}
        connection.request("POST", "/invocations", headers=headers)
        assert connection.getresponse().status == 413
    status, message = proxy.request("POST", "/invocations", b"user_1,no address")
    assert (status, b"no address" in message) == (400, True)
    # Requests without the right password do not reach the server.
    assert backend.log.read_text().count("invocations.count") == 3


def test_connections_are_kept(proxy: Proxy, backend: Backend) -> None:
    """Clients that connect anew for each request do not make the proxy connect anew."""
    before = backend.num_closed_connections()
    assert {proxy.request("POST", "/invocations", PAIR)[0] for _ in range(100)} == {200}
    assert backend.num_closed_connections() - before < 20


def load(proxy: Proxy, body: bytes, until: float, *, is_kept: bool) -> Counter[int]:
    """Send requests until a time, on one connection or on one for each, and count the statuses."""
    statuses: Counter[int] = Counter()
    connection = proxy.connection() if is_kept else None
    while time.monotonic() < until:
        status, answer = proxy.request("POST", "/invocations", body, connection=connection)
        statuses[status] += 1
        assert status != 200 or answer.count(b"dot_product") == body.count(b"\n")
    if connection:
        connection.close()
    return statuses


def test_mixed_load(proxy: Proxy) -> None:
    """Small requests next to large ones, on old and on new connections: every answer is 200."""
    until = time.monotonic() + 5
    bodies = [PAIR] * 6 + [PAIR * 20_000] * 2
    with concurrent.futures.ThreadPoolExecutor(len(bodies)) as pool:
        futures = [pool.submit(load, proxy, body, until, is_kept=bool(i % 2)) for i, body in enumerate(bodies)]
        statuses = sum((future.result() for future in futures), Counter())
    assert set(statuses) == {200}
    assert statuses.total() > 50


def test_killed_workers(proxy: Proxy, backend: Backend) -> None:
    """While workers are killed, the proxy sends their requests to another one."""
    until = time.monotonic() + 4
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(load, proxy, PAIR, until, is_kept=True) for _ in range(4)]
        for _ in range(3):
            time.sleep(1)
            os.kill(backend.worker(), signal.SIGKILL)
        statuses = sum((future.result() for future in futures), Counter())
    assert set(statuses) == {200}

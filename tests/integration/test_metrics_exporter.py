"""The process that exports metrics: its address, its end, and clients that hold it up."""

from __future__ import annotations

import os
import re
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ipinsights.errors import ClientError
from ipinsights.serving.metrics_exporter import start_exporter

from .counting_client import Counting, counting, is_gone, scrape

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def server() -> Iterator[Counting]:
    """Yield a server of two workers."""
    with counting(2) as running:
        yield running


def test_killed_master(server: Counting) -> None:
    """The folder is removed and the port closed, even if nobody could clean up."""
    server.send("/ping 200 0")
    server.scrape()  # by now the exporter runs under its own name
    workers = [pid for pid, command in server.children().items() if b"metrics_exporter" not in command]
    os.kill(server.process.pid, signal.SIGKILL)
    assert server.scrape()["ipinsights_requests_total route=/ping status=200"] == 1
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    assert is_gone(server.folder)
    with pytest.raises(OSError, match=r"Connection (refused|reset by peer)"):
        server.until(lambda _: False)


def test_signals_to_the_whole_service(server: Counting) -> None:
    """A signal to all processes of a service does not end the exporter before the server."""
    server.scrape()
    (exporter,) = [pid for pid, command in server.children().items() if b"metrics_exporter" in command]
    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP, signal.SIGINT):
        os.kill(exporter, number)
    assert server.scrape()["ipinsights_rows_total"] == 0


def test_slow_scrapers(server: Counting) -> None:
    """Thirty clients that connect and send nothing do not hold up a scraper."""
    idle = [socket.create_connection(("127.0.0.1", server.metrics_port)) for _ in range(30)]
    assert server.scrape()["ipinsights_rows_total"] == 0
    for client in idle:
        client.close()


def test_port_in_use(tmp_path: Path) -> None:
    """An address that is in use is refused at once."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = (
            f"Metrics cannot be served at 127.0.0.1:{port}: Address already in use. Choose another address or port"
        )
        with pytest.raises(ClientError, match=re.escape(message)):
            start_exporter(tmp_path, "127.0.0.1", port)


def test_only_local_by_default(server: Counting) -> None:
    """Nobody else can read the metrics, and no other user their files."""
    listening = Path("/proc/net/tcp").read_text()
    assert f" 0100007F:{server.metrics_port:04X} 00000000:0000 0A" in listening
    assert server.folder.stat().st_mode & 0o777 == 0o700


def test_an_exporter_without_a_server(tmp_path: Path) -> None:
    """An exporter without a server serves the files of its folder, and removes it at the end.

    It uses a free port.
    """
    folder = tmp_path / "metrics"
    folder.mkdir()
    exporter = start_exporter(folder)
    assert (exporter.host, scrape(exporter.port)) == ("127.0.0.1", {})
    exporter.close()
    assert is_gone(folder)


def test_a_host_that_is_not_known(tmp_path: Path) -> None:
    """The message has the reason of the resolver."""
    with pytest.raises(ClientError) as caught:
        start_exporter(tmp_path, "host.invalid", 9090)
    found = re.fullmatch(
        r"Metrics cannot be served at host\.invalid:9090: (.+)\. Choose another address or port for them\.",
        str(caught.value),
    )
    assert found
    assert "None" not in found[1]

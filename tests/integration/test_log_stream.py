"""Servers whose standard output cannot be written."""

from __future__ import annotations

import os
from pathlib import Path

from .running_server import Running, answer_of


class TestStandardOutput:
    """A log that cannot be written changes no answer."""

    def test_disk_full(self, model: Path, tmp_path: Path) -> None:
        """A server whose log is on a full disk answers every request."""
        with Path("/dev/full").open("wb") as full, Running(model, tmp_path / "log", stdout=full) as server:
            assert server.invoke() == (200, answer_of(model))

    def test_reader_gone(self, model: Path, tmp_path: Path) -> None:
        """A server whose log has no reader any more answers every request."""
        reader, writer = os.pipe()
        with Running(model, tmp_path / "log", stdout=writer) as server:
            os.close(reader)
            assert [server.invoke() for _ in range(3)] == 3 * [(200, answer_of(model))]
        os.close(writer)

    def test_reader_asleep(self, model: Path, tmp_path: Path) -> None:
        """Requests do not wait for a full pipe."""
        reader, writer = os.pipe()
        with Running(model, tmp_path / "log", "--workers", "1", stdout=writer) as server:
            # A pipe holds 64 KiB, and a request leaves some 250 bytes.
            assert {server.invoke() for _ in range(400)} == {(200, answer_of(model))}
        os.close(reader)
        os.close(writer)

"""A server whose model is replaced, damaged and loaded again."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from ipinsights.serving.service import ModelFile

from .running_server import PAIR, Running, answer_of, make_model
from .waiting import is_true_soon

if TYPE_CHECKING:
    from pathlib import Path


class TestNewModel:
    """Models that are replaced, damaged, and loaded again."""

    @pytest.fixture
    def changing(self, tmp_path: Path) -> Path:
        """Return a model directory that the test changes."""
        folder = tmp_path / "changing"
        return make_model(folder)

    def replace(self, changing: Path, content: Path | bytes) -> None:
        """Rename another file over the model."""
        file = ModelFile(changing).path
        new = file.with_name("new")
        if isinstance(content, bytes):
            new.write_bytes(content)
        else:
            shutil.copy(ModelFile(content).path, new)
        new.replace(file)

    def test_sighup(self, changing: Path, tmp_path: Path) -> None:
        """A new model is served after SIGHUP, and an invalid one is logged and not served."""
        other = make_model(tmp_path / "other", seed=1)
        with Running(changing, tmp_path / "log", "--workers", "2") as server:
            before = server.invoke()
            self.replace(changing, b"garbage")
            server.process.send_signal(signal.SIGHUP)
            assert is_true_soon(lambda: "The new model is not used: " in server.text())
            assert (server.invoke(), server.ping()[0]) == (before, 200)
            self.replace(changing, other)
            server.process.send_signal(signal.SIGHUP)
            assert is_true_soon(lambda: server.invoke() == (200, answer_of(other)))
            assert before == (200, answer_of(make_model(tmp_path / "same")))

    def test_watch(self, changing: Path, tmp_path: Path) -> None:
        """With --watch-model a kept connection gets the new model without signal or lost request."""
        other = make_model(tmp_path / "other", seed=1)
        with Running(changing, tmp_path / "log", "--workers", "1", "--watch-model") as server:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)

            def ask() -> str:
                connection.request("POST", "/invocations", PAIR, {"Content-Type": "text/csv"})
                return connection.getresponse().read().decode()

            before = ask()
            self.replace(changing, other)
            assert is_true_soon(lambda: ask() == answer_of(other))
            assert before != answer_of(other)
            connection.close()

    def test_kept_connections_of_a_replaced_worker(self, model: Path, tmp_path: Path) -> None:
        """The old worker ends only connections that it announced to end, even amid a request."""
        with Running(model, tmp_path / "log", "--workers", "1") as server, contextlib.ExitStack() as stack:

            def connect() -> http.client.HTTPConnection:
                connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
                connection.connect()
                return stack.enter_context(contextlib.closing(connection))

            def ask(connection: http.client.HTTPConnection) -> tuple[str, str | None]:
                connection.request("POST", "/invocations", PAIR, {"Content-Type": "text/csv"})
                response = connection.getresponse()
                return response.read().decode(), response.getheader("Connection")

            expected, reading, sending, asking = answer_of(model), connect(), connect(), connect()
            verbose = {"Content-Type": "text/csv", "Accept": "application/json; verbose=True"}
            reading.request("POST", "/invocations", PAIR * 40_000, verbose)
            response = reading.getresponse()
            assert response.getheader("Connection") is None
            sending.putrequest("POST", "/invocations")
            sending.putheader("Content-Length", str(len(PAIR)))
            sending.endheaders()
            assert ask(asking) == (expected, None)
            server.process.send_signal(signal.SIGHUP)
            assert is_true_soon(lambda: ask(asking) == (expected, "close"))
            sending.send(PAIR)
            last = sending.getresponse()
            assert (last.read().decode(), last.getheader("Connection")) == (expected, "close")
            assert response.read().count(b"dot_product") == 40_000
            assert ask(reading) == (expected, "close")

    @pytest.mark.parametrize("change", ["overwrite", "truncate"])
    def test_changed_in_place(self, changing: Path, tmp_path: Path, change: str) -> None:
        """If the file changes in place, no score is wrong, no worker dies, and requests get 503.

        This includes /ping. It ends when a valid model is loaded.
        """
        copy = tmp_path / "copy"
        shutil.copytree(changing if changing.is_dir() else changing.parent, copy)
        with Running(changing, tmp_path / "log", "--workers", "2") as server:
            file = ModelFile(changing).path
            if change == "truncate":
                os.truncate(file, 1000)
            else:
                with file.open("r+b") as stream:
                    stream.seek(100)
                    stream.write(b"\1" * (file.stat().st_size // 2))
            message = (
                "The model file was changed in use. Rename a whole model to its place, then reload the server with "
                "SIGHUP.\n"
            )
            assert (server.invoke(), server.ping()) == ((503, message), (503, message))
            num_workers = len(server.workers())
            os.kill(server.workers()[0], signal.SIGKILL)
            assert is_true_soon(lambda: len(server.workers()) > num_workers)
            assert {server.invoke() for _ in range(10)} == {(503, message)}
            self.replace(changing, copy)
            server.process.send_signal(signal.SIGHUP)
            assert is_true_soon(lambda: server.invoke() == (200, answer_of(copy)))

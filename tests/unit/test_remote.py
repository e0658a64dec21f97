"""Remote files: downloads, uploads, and what becomes of both when something fails."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

import ipinsights
from ipinsights.data.pairs import read_pairs
from ipinsights.data.remote import Staging, staged
from ipinsights.errors import ClientError
from ipinsights.testing import save_random_model

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = b"alice,192.0.2.1\nbob,203.0.113.9\n"


class _FullFile(MemoryFile):
    """A file that takes ten bytes."""

    def write(self, data: bytes) -> int:
        super().write(data[:10])
        raise OSError(28, "No space left on device")


class _FullFileSystem(MemoryFileSystem):
    """A file system whose files cannot be written to their end."""

    protocol = "full"

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if "w" not in mode:
            return super()._open(path, mode, **options)
        file = _FullFile(self, path)
        if not self._intrans:
            file.commit()
        return file


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the folder of temporary files.

    Which is empty after each test that does not look into it.
    """
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def store() -> Iterator[Any]:
    """Return a file system in memory, empty again after the test."""
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files of a folder, refuses some, and breaks off."""

    def do_HEAD(self) -> None:
        if not self._is_refused():
            super().do_HEAD()

    def do_GET(self) -> None:
        if self.path == "/cut.csv":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(ROWS)
        elif not self._is_refused():
            super().do_GET()

    def _is_refused(self) -> bool:
        status = {"/denied.csv": 403, "/broken.csv": 500}.get(self.path)
        if status:
            self.send_error(status)
        return status is not None

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """Return the address of a web server with ``train.csv``."""
    pytest.importorskip("aiohttp")
    folder = tmp_path / "web"
    (folder / "logs").mkdir(parents=True)
    (folder / "logs" / "train.csv").write_bytes(ROWS)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Handler, directory=folder))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def refusal_of(url: str) -> str:
    """Return the message that an input is refused with."""
    with pytest.raises(ClientError) as caught, staged(url):
        pass
    return str(caught.value)


class TestInputs:
    """What is read."""

    def test_a_local_path_stays(self) -> None:
        """A local path is yielded itself, without a copy."""
        with staged("train.csv") as path:
            assert path == Path("train.csv")

    def test_a_file_is_copied(self, store: Any) -> None:
        """The copy has the name of the object."""
        store.pipe("/b/train.csv", ROWS)
        with staged("memory://b/train.csv") as path:
            assert (path.name, path.read_bytes()) == ("train.csv", ROWS)

    def test_a_folder_is_copied_with_all_below(self, store: Any) -> None:
        """Markers come along, so that one rule decides about them.

        An object that stands for a folder does not.
        """
        store.pipe({"/b/t/day=1/p.csv": ROWS, "/b/t/p.csv": ROWS, "/b/t/_SUCCESS": b"", "/b/other.csv": b"x"})
        with staged("memory://b/t/") as path:
            assert sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()) == [
                "_SUCCESS", "day=1/p.csv", "p.csv",
            ]  # fmt: skip
            assert len(read_pairs(path)) == 4

    def test_of_the_folder_of_a_model_the_files_are_copied(self, store: Any) -> None:
        """Folders next to the model may be large."""
        store.pipe({"/b/m/threshold.json": b"{}", "/b/m/checkpoints/1": b""})
        with staged("memory://b/m", "model") as path:
            assert [file.name for file in path.iterdir()] == ["threshold.json"]

    @pytest.mark.parametrize("pattern", ["t/p*.csv", "t/**/*.csv", "*/p?.csv", "t/p[0-9].csv", "t*"])
    def test_a_pattern_is_a_folder(self, store: Any, pattern: str) -> None:
        """Files that match are copied, and folders that match with what lies in them."""
        store.pipe({"/b/t/p0.csv": ROWS, "/b/t/p1.csv": ROWS})
        with staged(f"memory://b/{pattern}") as path:
            assert len(read_pairs(path)) == 4

    def test_an_object_with_the_name_of_a_pattern_is_a_file(self, store: Any) -> None:
        """What exists is taken by its name."""
        store.pipe({"/b/a[1]*.csv": ROWS, "/b/a1.csv": b""})
        with staged("memory://b/a[1]*.csv") as path:
            assert path.read_bytes() == ROWS

    def test_no_object_is_written_outside_of_the_folder(self, store: Any, temporary_folder: Path) -> None:
        """Names of objects are chosen by any writer to the bucket, and stay inside the folder."""
        names = ["../../../evil.csv", "/evil.csv", "new\nline.csv", "x" * 300]
        store.pipe({f"/b/t/{name}": ROWS for name in names})
        with staged("memory://b/t") as path:
            files = [file for file in temporary_folder.parent.rglob("*") if file.is_file()]
            assert len(files) == len(names)
            assert all(path in file.parents for file in files)
            assert len(read_pairs(path)) == 2 * len(names)

    def test_what_is_not_there_is_refused(self, store: Any) -> None:
        """The message names the URL."""
        store.pipe("/b/t/_SUCCESS", b"")
        assert refusal_of("memory://b/none.csv") == "There is no file or folder memory://b/none.csv."
        assert refusal_of("memory://b/none*") == "There is no file that matches memory://b/none*."

    def test_messages_name_the_object(self, store: Any) -> None:
        """The temporary copy is nobody's business."""
        store.pipe("/b/t/p.csv", b"alice,nowhere\n")
        with pytest.raises(ClientError) as caught:
            ipinsights.IPInsights(progress=False).fit("memory://b/t")
        assert str(caught.value).startswith("memory://b/t/p.csv:1: 'nowhere' is no IPv4 address: ")


class TestWeb:
    """What is read from web servers."""

    @pytest.mark.parametrize("path", ["logs/train.csv", "logs/train.csv?signature=1", "logs/", "logs/*.csv"])
    def test_files_and_listings_are_read(self, web: str, path: str) -> None:
        """A query is sent, and a list of links is a folder if the address ends with a slash."""
        with staged(f"{web}/{path}") as copy:
            assert len(read_pairs(copy)) == 2

    @pytest.mark.parametrize(
        ("path", "reason"),
        [
            ("denied.csv?key=1", "access is denied. Check the credentials and their rights."),
            ("broken.csv", "the server answers with status 500."),
        ],
    )
    def test_a_refusal_is_told(self, web: str, path: str, reason: str) -> None:
        """The query may be a signature, and is not shown."""
        url = f"{web}/{path}".replace("?key=1", "")
        assert refusal_of(url) == f"{url} cannot be read: {reason}"

    def test_what_is_not_there_is_refused(self, web: str) -> None:
        """As on any other file system."""
        assert refusal_of(f"{web}/none.csv?key=1") == f"There is no file or folder {web}/none.csv."

    def test_a_response_that_breaks_off_is_refused(self, web: str) -> None:
        """Half of a file would be rows lost."""
        assert refusal_of(f"{web}/cut.csv").startswith(
            f"{web}/cut.csv cannot be read: Response payload is not complete"
        )

    def test_a_server_that_does_not_answer_is_named(self) -> None:
        """The error names the URL of a server that does not answer."""
        pytest.importorskip("aiohttp")
        assert refusal_of("http://127.0.0.1:1/a") == "http://127.0.0.1:1/a cannot be read: the server does not answer."

    def test_nothing_is_written_to_a_web_server(self) -> None:
        """The error comes before the work."""
        with pytest.raises(ClientError) as caught, staged("https://example.org/m", "output"):
            pass
        assert str(caught.value) == "https://example.org/m cannot be written: a web server is only read from."


class TestOutputs:
    """What is written."""

    def test_a_file_is_uploaded_at_the_end(self, store: Any) -> None:
        """Before the end there is nothing."""
        with staged("memory://b/out.csv", "output") as path:
            path.write_bytes(ROWS)
            assert not store.exists("/b/out.csv")
        assert store.cat("/b/out.csv") == ROWS

    def test_a_folder_is_uploaded_with_all_below(self, store: Any) -> None:
        """Files that are there already and were not written stay."""
        store.pipe("/b/out/old", b"old")
        with staged("memory://b/out", "output") as path:
            (path / "sub").mkdir(parents=True)
            (path / "sub" / "new").write_bytes(b"new")
        assert (store.cat_file("/b/out/old"), store.cat_file("/b/out/sub/new")) == (b"old", b"new")

    def test_nothing_is_uploaded_after_an_error(self, store: Any) -> None:
        """Half of an output is no output."""
        with pytest.raises(FileNotFoundError), staged("memory://b/out.csv", "output") as path:
            _write_and_fail(path)
        assert not store.exists("/b/out.csv")

    def test_of_a_model_what_has_changed_is_uploaded(self, store: Any) -> None:
        """A threshold is added next to the model, which is not written again."""
        store.pipe("/b/m/model_algo-1", b"model")
        before = store.created("/b/m/model_algo-1")
        with staged("memory://b/m", "model") as path:
            (path / "threshold.json").write_bytes(b"{}")
        assert store.cat("/b/m/threshold.json") == b"{}"
        assert store.created("/b/m/model_algo-1") == before

    def test_the_change_of_somebody_else_is_not_lost(self, store: Any) -> None:
        """An object that somebody else has replaced meanwhile is not overwritten."""
        store.pipe("/b/m/model_algo-1", b"model")
        with pytest.raises(ClientError) as caught, staged("memory://b/m", "model") as path:
            _write(path, b"ours", store)
        message, _, kept = str(caught.value).partition(" What was to be written is kept in ")
        assert message == ("memory://b/m/model_algo-1 was changed by somebody else meanwhile. Run the command again.")
        assert store.cat("/b/m/model_algo-1") == b"theirs"
        shutil.rmtree(Path(kept.rstrip(".")))

    def test_an_interrupted_upload_leaves_the_old_model(self) -> None:
        """The new file is committed when it is complete.

        What was to be written is kept, and the error says where.
        """
        fsspec.register_implementation("full", _FullFileSystem, clobber=True)
        MemoryFileSystem().pipe("/b/m/model_algo-1", b"the old model")
        with pytest.raises(ClientError) as caught, staged("full://b/m", "output") as path:
            _write(path, b"the new model")
        message, _, kept = str(caught.value).partition(" What was to be written is kept in ")
        assert message == "full://b/m cannot be written: No space left on device."
        assert MemoryFileSystem().cat("/b/m/model_algo-1") == b"the old model"
        assert [file.read_bytes() for file in Path(kept.rstrip(".")).rglob("model_algo-1")] == [b"the new model"]
        shutil.rmtree(Path(kept.rstrip(".")))

    def test_a_forked_process_leaves_the_copies(self, store: Any) -> None:
        """Workers of a server end one by one, and the model stays until the last one has."""
        store.pipe("/b/m/model_algo-1", b"model")
        staging = Staging().__enter__()
        path = staging.path("memory://b/m", "model")
        staging._process = os.getpid() + 1
        staging.__exit__(None, None, None)
        assert path.is_dir()
        staging._process = os.getpid()
        staging.__exit__(None, None, None)


def test_a_model_is_saved_and_loaded(store: Any, tmp_path: Path) -> None:
    """The scores are those of the local file, and a pickle holds the model, whose copy is gone."""
    local = save_random_model(tmp_path / "model", num_entities=100, vector_dim=8, rng=np.random.default_rng(0))
    model = ipinsights.IPInsights.load(local)
    assert model.save("memory://b/m") == "memory://b/m/model_algo-1"
    loaded = ipinsights.IPInsights.load("memory://b/m")
    store.pipe("/b/rows.csv", ROWS)
    assert (
        loaded.score_samples("memory://b/rows.csv").tolist()
        == model.score_samples([("alice", "192.0.2.1"), ("bob", "203.0.113.9")]).tolist()
    )


def _write_and_fail(path: Path) -> None:
    path.write_bytes(ROWS)
    (path.parent / "missing").read_bytes()


def _write(folder: Path, content: bytes, store: Any = None) -> None:
    """Write a model, and before it that of somebody else."""
    if store is not None:
        store.pipe("/b/m/model_algo-1", b"theirs")
    folder.mkdir(exist_ok=True)
    (folder / "model_algo-1").write_bytes(content)

"""A model file that somebody changes, replaces or removes while a server has it open."""

from __future__ import annotations

import gc
import os
import re
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.errors import ClientError
from ipinsights.serving.service import InferenceModel, ModelFile
from ipinsights.testing import save_random_model

from .asgi import asked, made
from .open_files import open_files

if TYPE_CHECKING:
    from pathlib import Path

    from ipinsights.serving.application import Application


class TestModelFile:
    """A model file that somebody changes under a server."""

    @pytest.fixture
    def opened(self, tmp_path: Path) -> tuple[Path, Application]:
        """Return a model file and an application that has it open."""
        file = save_random_model(tmp_path, num_entities=100, vector_dim=8, rng=np.random.default_rng(0))
        file = file / "model_algo-1" if file.is_dir() else file
        return file, made(InferenceModel.load(file))

    @pytest.mark.parametrize("size", [None, 1000])
    def test_overwritten_or_truncated_in_place(self, opened: tuple[Path, Application], size: int | None) -> None:
        """The worker is not ready any more, and refuses to score."""
        file, application = opened
        with file.open("r+b") as stream:
            stream.write(b"garbage")
            if size is not None:
                stream.truncate(size)
        message = (
            b"The model file was changed in use. Rename a whole model to its place, then reload the server with "
            b"SIGHUP.\n"
        )
        for method, path, body in (("GET", "/ping", ()), ("POST", "/invocations", (b"user_1,192.168.1.2",))):
            assert asked(application, method, path, *body)[::2] == (503, message)

    def test_replaced_by_renaming(self, opened: tuple[Path, Application]) -> None:
        """The opened file stays in use."""
        file, application = opened
        before = asked(application, "POST", "/invocations", b"user_1,192.168.1.2")[2]
        new = file.with_name("new")
        new.write_bytes(b"garbage")
        new.replace(file)
        assert asked(application, "GET", "/ping")[0] == 200
        assert asked(application, "POST", "/invocations", b"user_1,192.168.1.2")[2] == before


class TestIdentity:
    """Whether the opened file is still what it was, and where it was."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Return the folder of a model."""
        return save_random_model(tmp_path / "model", num_entities=10, vector_dim=4, rng=np.random.default_rng(0))

    def state(self, file: ModelFile) -> tuple[bool, bool]:
        """Return whether a file is intact, and whether it is current."""
        return file.is_intact, file.is_current

    def test_untouched(self, folder: Path) -> None:
        """The file is intact and current, however its path was given."""
        for path in (folder, folder / "model_algo-1"):
            file = ModelFile(path)
            assert file.path == folder / "model_algo-1"
            assert self.state(file) == (True, True)

    def test_written_in_place(self, folder: Path) -> None:
        """The file is neither intact nor current, even if its size is the same."""
        file = ModelFile(folder)
        content = file.path.read_bytes()
        file.path.write_bytes(content)
        os.utime(file.path, ns=(0, file._opened[3] + 1))
        assert self.state(file) == (False, False)

    def test_replaced(self, folder: Path) -> None:
        """Another file at the path leaves the opened one intact."""
        file = ModelFile(folder)
        before = file.identity_at_path()
        (folder / "new").write_bytes(file.path.read_bytes())
        (folder / "new").replace(file.path)
        assert self.state(file) == (True, False)
        assert file.identity_at_path() not in (None, before)

    def test_removed(self, folder: Path) -> None:
        """Without a name the opened file lives on, and nothing is at its path."""
        file = ModelFile(folder)
        file.path.unlink()
        assert self.state(file) == (True, False)
        assert file.identity_at_path() is None

    def test_an_archive_is_not_mapped(self, folder: Path, tmp_path: Path) -> None:
        """Its model was unpacked into a private file, so writing to the archive changes no score."""
        archive = tmp_path / "model.tar.gz"
        subprocess.run(["tar", "-czf", archive, "-C", folder, "model_algo-1"], check=True)
        file = ModelFile(archive)
        archive.write_bytes(b"garbage")
        assert self.state(file) == (True, False)

    def test_missing(self, tmp_path: Path) -> None:
        """The folder is named, with the two files that it could hold."""
        message = (
            f"There is no model in the folder {tmp_path}: it holds neither model_algo-1, which training writes, nor "
            "model.tar.gz."
        )
        with pytest.raises(ClientError, match=f"^{re.escape(message)}$"):
            ModelFile(tmp_path)

    def test_descriptors_are_closed(self, folder: Path) -> None:
        """A server may load any number of models."""
        files = [ModelFile(folder) for _ in range(10)]
        assert open_files(folder) == [file.path for file in files]
        del files
        gc.collect()
        assert open_files(folder) == []

"""Archives that a stranger made to do harm are refused before they cost memory or disk."""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from ipinsights.model import artifact

from .peak_memory import run_with_peak
from .small_model import FOREIGN, VALUES, model_file, refusal_of

if TYPE_CHECKING:
    from pathlib import Path
MEGABYTE = 2**20
NUM_ZEROS = 100


def gzipped(path: Path, *parts: bytes) -> Path:
    """Write parts, one after the other, compressed."""
    with gzip.open(path, "wb", compresslevel=1) as stream:
        for part in parts:
            stream.write(part)
    return path


def tar_header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """Return the header of a member with the given size."""
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


class TestTar:
    """``model.tar.gz`` files."""

    def test_bomb(self, tmp_path: Path) -> None:
        """A model that is compressed far more than trained numbers can be is refused.

        The check comes before unpacking.
        """
        size = NUM_ZEROS * MEGABYTE
        zeros = [bytes(MEGABYTE)] * NUM_ZEROS
        path = gzipped(tmp_path / "model.tar.gz", tar_header("model_algo-1", size), *zeros, bytes(1024))
        assert refusal_of(path) == (
            f"{path} cannot be unpacked: its model_algo-1 would have {size} bytes, over 100 times as many as the "
            "archive."
        )

    def test_bomb_before_the_model(self, tmp_path: Path) -> None:
        """An archive with much that is no model before the model is given up."""
        zeros = [bytes(MEGABYTE)] * NUM_ZEROS
        path = gzipped(tmp_path / "model.tar.gz", tar_header("other", NUM_ZEROS * MEGABYTE), *zeros, bytes(1024))
        assert "cannot be unpacked: it unpacks to more than 100 times its size" in refusal_of(path)

    @pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
    def test_huge_name(self, tmp_path: Path, kind: bytes) -> None:
        """Names and extended headers of a hundred megabytes are refused, and never held in memory."""
        zeros = [bytes(MEGABYTE)] * NUM_ZEROS
        path = gzipped(tmp_path / "model.tar.gz", tar_header("name", NUM_ZEROS * MEGABYTE, kind), *zeros)
        script = (
            "import sys; from pathlib import Path\n"
            "from ipinsights.model import artifact; from ipinsights.errors import ClientError\n"
            "before = peak()\n"
            "try: artifact.load(Path(sys.argv[1]))\n"
            "except ClientError as error: print(error)\n"
            "print(peak() - before)\n"
        )
        ran = run_with_peak(script, path)
        assert ran.returncode == 0, ran.stderr
        message, kilobytes = ran.stdout.splitlines()
        assert message.startswith(f"{path} cannot be unpacked: ")
        assert int(kilobytes) < 50 * 1024

    @pytest.mark.parametrize("name", ["/tmp/escaped/model_algo-1", "../../escaped/model_algo-1"])  # noqa: S108 - the attack
    def test_path_traversal(self, tmp_path: Path, name: str) -> None:
        """Folders in a member's name are ignored: the model is read, and no other file is written."""
        folder = tmp_path / "deep" / "inside"
        content = model_file(folder).read_bytes()
        path = folder / "model.tar.gz"
        with tarfile.open(path, "w:gz") as tar:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        before = sorted(tmp_path.rglob("*"))
        assert artifact.load(path).hyperparameters == VALUES
        assert sorted(tmp_path.rglob("*")) == before

    @pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
    def test_link_out_of_the_archive(self, tmp_path: Path, kind: bytes) -> None:
        """A model that is a link to a file of this machine is refused: links are not followed."""
        path = tmp_path / "model.tar.gz"
        with tarfile.open(path, "w:gz") as tar:
            member = tarfile.TarInfo("model_algo-1")
            member.type, member.linkname = kind, str(model_file(tmp_path / "secret"))
            tar.addfile(member)
        assert refusal_of(path) == f"{path} holds no model_algo-1: it is not a model of ipinsights. {FOREIGN}"

    @pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
    def test_what_is_no_file(self, tmp_path: Path, kind: bytes) -> None:
        """A pipe, a device or a folder of the model's name is not opened."""
        path = gzipped(tmp_path / "model.tar.gz", tar_header("model_algo-1", 0, kind), bytes(1024))
        assert refusal_of(path) == f"{path} holds no model_algo-1: it is not a model of ipinsights. {FOREIGN}"

    def test_sparse_file_of_a_terabyte(self, tmp_path: Path) -> None:
        """A sparse member is judged by the size it would have on disk."""
        path = tmp_path / "model.tar.gz"
        with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as tar:
            member = tarfile.TarInfo("model_algo-1")
            member.pax_headers = {
                "GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": "model_algo-1",
                "GNU.sparse.size": str(2**40), "GNU.sparse.numblocks": "1", "GNU.sparse.map": "0,0",
            }  # fmt: skip
            tar.addfile(member)
        assert refusal_of(path).startswith(f"{path} cannot be unpacked: its model_algo-1 would have {2**40} bytes")

    @pytest.mark.parametrize("headers", [
        {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9"},
        {"GNU.sparse.major": "0", "GNU.sparse.size": "9", "GNU.sparse.map": "0,1,5,-1"},
        {"GNU.sparse.major": "0", "GNU.sparse.size": "9", "GNU.sparse.map": "x"},
    ])  # fmt: skip
    def test_sparse_files(self, tmp_path: Path, headers: dict[str, str]) -> None:
        """A sparse model is refused, whichever way its map is written and whatever the map holds."""
        path = tmp_path / "model.tar.gz"
        content = model_file(tmp_path).read_bytes()
        with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as tar:
            member = tarfile.TarInfo("model_algo-1")
            member.size, member.pax_headers = len(content), headers
            tar.addfile(member, io.BytesIO(content))
        assert refusal_of(path).startswith(f"{path} cannot be unpacked: ")

    @pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGLINK])
    def test_nested_headers(self, tmp_path: Path, kind: bytes) -> None:
        """Thousands of nested headers are refused, because ``tarfile`` reads them recursively."""
        content = model_file(tmp_path).read_bytes()
        headers = (tar_header("name", 512, kind) + bytes(512)) * 3000
        path = gzipped(tmp_path / "model.tar.gz", headers, tar_header("model_algo-1", len(content)), content)
        assert refusal_of(path).startswith(f"{path} cannot be unpacked: ")

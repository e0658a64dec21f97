"""Model files that a stranger made to do harm: each is refused in one sentence, before it costs memory or disk."""

from __future__ import annotations

import gzip
import io
import json
import struct
import subprocess
import sys
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.errors import ClientError
from ipinsights.model import artifact
from ipinsights.model.artifact import parameter_shapes, save
from ipinsights.model.bloom import BloomFilter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VALUES = Hyperparameters(num_entity_vectors=10, vector_dim=6)
MEGABYTE = 2**20
NUM_ZEROS = 100


def model_file(folder: Path) -> Path:
    """Write a small model."""
    params = {name: np.zeros(shape, dtype=np.float32) for name, shape in parameter_shapes(VALUES).items()}
    nobody = BloomFilter(np.zeros(10, dtype=np.uint8))
    return save(folder, params=params, symbol="{}", known_entities=nobody, hyperparameters=VALUES, training={})


def refusal_of(path: Path) -> str:
    """Give the message that a path is refused with."""
    with pytest.raises(ClientError) as caught:
        artifact.load(path)
    return str(caught.value)


def gzipped(path: Path, *parts: bytes) -> Path:
    """Write parts, one after the other, compressed."""
    with gzip.open(path, "wb", compresslevel=1) as stream:
        for part in parts:
            stream.write(part)
    return path


def tar_header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """Give the header of a member that is said to have so many bytes."""
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


def with_member(path: Path, name: str, content: bytes) -> None:
    """Write a model again with another content of one member."""
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for member, old in members.items():
            archive.writestr(member, content if member == name else old)


class TestTar:
    """``model.tar.gz`` files."""

    def test_bomb(self, tmp_path: Path) -> None:
        """A model that is packed far smaller than trained numbers can be is refused before it is unpacked."""
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
            "import resource, sys; from pathlib import Path\n"
            "from ipinsights.model import artifact; from ipinsights.errors import ClientError\n"
            "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "try: artifact.load(Path(sys.argv[1]))\n"
            "except ClientError as error: print(error)\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
        )
        ran = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
        message, kilobytes = ran.stdout.splitlines()
        assert message.startswith(f"{path} cannot be unpacked: ")
        assert int(kilobytes) < 50 * 1024

    @pytest.mark.parametrize("name", ["/tmp/escaped/model_algo-1", "../../escaped/model_algo-1"])  # noqa: S108 - the attack
    def test_path_traversal(self, tmp_path: Path, name: str) -> None:
        """A member's folders are not followed: the model is read, and nothing is written where the name points."""
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
        assert refusal_of(path) == f"{path} holds no model_algo-1: it is not a model of IP Insights."

    @pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
    def test_what_is_no_file(self, tmp_path: Path, kind: bytes) -> None:
        """A pipe, a device or a folder of the model's name is not opened."""
        path = gzipped(tmp_path / "model.tar.gz", tar_header("model_algo-1", 0, kind), bytes(1024))
        assert refusal_of(path) == f"{path} holds no model_algo-1: it is not a model of IP Insights."

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
        """Thousands of headers that each belong to the next one are refused: ``tarfile`` reads them by recursion."""
        content = model_file(tmp_path).read_bytes()
        headers = (tar_header("name", 512, kind) + bytes(512)) * 3000
        path = gzipped(tmp_path / "model.tar.gz", headers, tar_header("model_algo-1", len(content)), content)
        assert refusal_of(path).startswith(f"{path} cannot be unpacked: ")


class TestZip:
    """``model_algo-1`` files."""

    def test_deep_json(self, tmp_path: Path) -> None:
        """Meta data that is nested deeper than Python can follow is refused."""
        path = model_file(tmp_path)
        with_member(path, "meta.json", b"[" * 500_000)
        assert refusal_of(path).startswith(f"{path} is not a whole model of IP Insights: ")

    @pytest.mark.parametrize("bit", [0x1, 0x20], ids=["encrypted", "patched"])
    def test_flags_that_zipfile_does_not_read(self, tmp_path: Path, bit: int) -> None:
        """An encrypted or patched member is refused."""
        path = model_file(tmp_path)
        content = bytearray(path.read_bytes())
        for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            place = -1
            while (place := content.find(signature, place + 1)) >= 0:
                content[place + offset] |= bit
        path.write_bytes(content)
        assert refusal_of(path).startswith(f"{path} is not a whole model of IP Insights: ")

    def test_unknown_compression(self, tmp_path: Path) -> None:
        """A member that is compressed in a way unknown to Python is refused."""
        path = model_file(tmp_path)
        content = bytearray(path.read_bytes())
        for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
            place = content.rfind(signature)
            content[place + offset] = 99
        path.write_bytes(content)
        assert refusal_of(path).startswith(f"{path} is not a whole model of IP Insights: ")

    @pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    @pytest.mark.parametrize("name", ["params", "known_entities", "meta.json"])
    def test_compressed_members(self, tmp_path: Path, name: str, method: int) -> None:
        """No member that is read may be compressed: we write none, and what is packed small can be huge unpacked."""
        path = model_file(tmp_path)
        with zipfile.ZipFile(path) as archive:
            members = {each: archive.read(each) for each in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for each, content in members.items():
                archive.writestr(each, content, compress_type=method if each == name else zipfile.ZIP_STORED)
        assert refusal_of(path) == f"{path} is not a whole model of IP Insights: its member {name} is compressed."

    @pytest.mark.parametrize("length", [2**64 - 1, 2**63, 2**63 - 1, 2**62, 10**9])
    @pytest.mark.parametrize("place", ["number of names", "length of a name"])
    def test_absurd_names(self, tmp_path: Path, place: str, length: int) -> None:
        """Names that are longer than the file, or more of them, are refused."""
        path = model_file(tmp_path)
        with zipfile.ZipFile(path) as archive:
            content = bytearray(archive.read("params"))
        struct.pack_into("<Q", content, content.find(b"arg:") - (16 if place == "number of names" else 8), length)
        with_member(path, "params", bytes(content))
        assert refusal_of(path).startswith(f"{path} is not a whole model of IP Insights: ")

    @pytest.mark.parametrize("method", [1, 12, 14, 93])
    def test_a_directory_that_lies_about_compression(self, tmp_path: Path, method: int) -> None:
        """The central directory alone is forged, as a member's own header is not."""
        path = model_file(tmp_path)
        content = bytearray(path.read_bytes())
        struct.pack_into("<H", content, content.find(b"PK\x01\x02") + 10, method)
        path.write_bytes(content)
        assert refusal_of(path) == f"{path} is not a whole model of IP Insights: its member params is compressed."

    @pytest.mark.parametrize(
        "change",
        [
            {"hyperparameters": []}, {"hyperparameters": None}, {"hyperparameters": {"vector_dim": {"a": 1}}},
            {"hyperparameters": {"num_entity_vectors": 10**400, "vector_dim": "6"}}, {"training": 7},
            {"training": {"versions": 3}}, {"training": None}, {"format_version": [1]},
        ],
        ids=str,
    )  # fmt: skip
    def test_forged_meta(self, tmp_path: Path, change: dict[str, Any]) -> None:
        """Meta data of a shape that we never write is refused, and not first when it is shown."""
        path = model_file(tmp_path)
        with zipfile.ZipFile(path) as archive:
            meta = json.loads(archive.read("meta.json"))
        with_member(path, "meta.json", json.dumps({**meta, **change}).encode())
        assert refusal_of(path).startswith(f"{path} is not a whole model of IP Insights: ")

    @pytest.mark.parametrize(
        "forge",
        [
            lambda content: struct.pack_into("<Q", content, 16, 2**64 - 1),
            lambda content: struct.pack_into("<2q", content, 36, 2**62, 2**62),
            lambda content: struct.pack_into("<2q", content, 36, -1, -240),
            lambda content: struct.pack_into("<2q", content, 36, 0, 6),
            lambda content: struct.pack_into("<I", content, 32, 2**32 - 1),
            lambda content: struct.pack_into("<i", content, 28, 1),
        ],
        ids=["arrays without end", "exabytes", "negative shape", "empty shape", "axes without end", "sparse array"],
    )
    def test_absurd_arrays(self, tmp_path: Path, forge: Callable[[bytearray], None]) -> None:
        """Counts and shapes that the file cannot hold are refused, whatever memory they would ask for."""
        path = model_file(tmp_path)
        with zipfile.ZipFile(path) as archive:
            content = bytearray(archive.read("params"))
        forge(content)
        with_member(path, "params", bytes(content))
        assert refusal_of(path).startswith(f"{path} is not a whole model of IP Insights: ")

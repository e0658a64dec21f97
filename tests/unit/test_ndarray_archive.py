"""Model files that a stranger made to do harm are refused before they cost memory."""

from __future__ import annotations

import json
import struct
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from .small_model import model_file, refusal_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def with_member(path: Path, name: str, content: bytes) -> None:
    """Write a model again with another content of one member."""
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for member, old in members.items():
            archive.writestr(member, content if member == name else old)


class TestZip:
    """``model_algo-1`` files."""

    def test_deep_json(self, tmp_path: Path) -> None:
        """Meta data that is nested deeper than Python can follow is refused."""
        path = model_file(tmp_path)
        with_member(path, "meta.json", b"[" * 500_000)
        assert refusal_of(path).startswith(f"{path} is not a whole model of ipinsights: ")

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
        assert refusal_of(path).startswith(f"{path} is not a whole model of ipinsights: ")

    def test_unknown_compression(self, tmp_path: Path) -> None:
        """A member that is compressed in a way unknown to Python is refused."""
        path = model_file(tmp_path)
        content = bytearray(path.read_bytes())
        for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
            place = content.rfind(signature)
            content[place + offset] = 99
        path.write_bytes(content)
        assert refusal_of(path).startswith(f"{path} is not a whole model of ipinsights: ")

    @pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    @pytest.mark.parametrize("name", ["params", "known_entities", "meta.json"])
    def test_compressed_members(self, tmp_path: Path, name: str, method: int) -> None:
        """No member may be compressed, because a small compressed member can be huge unpacked."""
        path = model_file(tmp_path)
        with zipfile.ZipFile(path) as archive:
            members = {each: archive.read(each) for each in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for each, content in members.items():
                archive.writestr(each, content, compress_type=method if each == name else zipfile.ZIP_STORED)
        assert refusal_of(path) == f"{path} is not a whole model of ipinsights: its member {name} is compressed."

    @pytest.mark.parametrize("length", [2**64 - 1, 2**63, 2**63 - 1, 2**62, 10**9])
    @pytest.mark.parametrize("place", ["number of names", "length of a name"])
    def test_absurd_names(self, tmp_path: Path, place: str, length: int) -> None:
        """Names that are longer than the file, or more of them, are refused."""
        path = model_file(tmp_path)
        with zipfile.ZipFile(path) as archive:
            content = bytearray(archive.read("params"))
        struct.pack_into("<Q", content, content.find(b"arg:") - (16 if place == "number of names" else 8), length)
        with_member(path, "params", bytes(content))
        assert refusal_of(path).startswith(f"{path} is not a whole model of ipinsights: ")

    @pytest.mark.parametrize("method", [1, 12, 14, 93])
    def test_a_directory_that_lies_about_compression(self, tmp_path: Path, method: int) -> None:
        """The central directory alone is forged, as a member's own header is not."""
        path = model_file(tmp_path)
        content = bytearray(path.read_bytes())
        struct.pack_into("<H", content, content.find(b"PK\x01\x02") + 10, method)
        path.write_bytes(content)
        assert refusal_of(path) == f"{path} is not a whole model of ipinsights: its member params is compressed."

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
        assert refusal_of(path).startswith(f"{path} is not a whole model of ipinsights: ")

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
        """Counts and shapes that the file cannot hold are refused without allocating memory."""
        path = model_file(tmp_path)
        with zipfile.ZipFile(path) as archive:
            content = bytearray(archive.read("params"))
        forge(content)
        with_member(path, "params", bytes(content))
        assert refusal_of(path).startswith(f"{path} is not a whole model of ipinsights: ")

"""Compression and encoding are undone in one place, whatever is inside of what."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipinsights.data import decoding
from ipinsights.data.decoding import check_encoding
from ipinsights.data.input_streams import opened
from ipinsights.data.pairs import read_pairs
from ipinsights.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = "".join(f"user_{number},192.0.2.{number}\n" for number in range(60)).encode()


def zipped(content: bytes, **names: bytes) -> bytes:
    """Return a zip archive with a file in it, and others."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__MACOSX/._rows.csv", b"\0\0")
        archive.writestr("folder/rows.csv", content)
        for name, other in names.items():
            archive.writestr(f"folder/{name}.csv", other)
    return stream.getvalue()


def tarred(content: bytes, layout: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a tar archive with a file in it, and with the markers that programs leave."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=layout) as archive:
        for name, text in (("logs/_SUCCESS", b""), ("logs/" + "x" * 120 + ".csv", content), ("logs/.DS_Store", b"\0")):
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
    return stream.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda content: lzma.compress(content, lzma.FORMAT_ALONE),
    "zip": zipped,
    "tar": tarred,
    "old tar": lambda content: tarred(content, tarfile.GNU_FORMAT),
}


# Its header asks for half a gigabyte. A real one takes as much to write.
LARGE_DICTIONARY = b"]" + (2**29).to_bytes(4, "little") + lzma.compress(ROWS, lzma.FORMAT_ALONE)[5:]


@given(
    layers=st.lists(st.sampled_from(sorted(PACKERS)), max_size=3),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"]),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_one_text_whatever_is_around_it(tmp_path: Path, layers: list[str], encoding: str) -> None:
    """Layers of compression and archives, and an encoding, are recognised by their first bytes."""
    content = ROWS.decode().encode(encoding)
    for layer in layers:
        content = PACKERS[layer](content)
    path = tmp_path / "rows"
    path.write_bytes(content)
    with opened(path) as stream:
        assert stream.read() == ROWS
    assert len(read_pairs(path)) == 60


@pytest.mark.parametrize("program", ["gzip", "bzip2", "xz"])
def test_streams_behind_one_another(tmp_path: Path, program: str) -> None:
    """Concatenated streams, as of `cat a.xz b.xz`, are all unpacked."""
    path = tmp_path / "rows"
    path.write_bytes(PACKERS[program](ROWS) + PACKERS[program](ROWS))
    assert len(read_pairs(path)) == 120


def test_files_of_an_archive_end_their_lines(tmp_path: Path) -> None:
    """The last line of a file is not joined to the first of the next."""
    path = tmp_path / "rows.zip"
    path.write_bytes(
        zipped(b"ann,192.0.2.1", more=b"ben,192.0.2.2\n", others=gzip.compress(b"\xef\xbb\xbfcarl,192.0.2.3"))
    )
    with opened(path) as stream:
        assert stream.read() == b"ann,192.0.2.1\nben,192.0.2.2\ncarl,192.0.2.3\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (bz2.compress(ROWS)[:-20], "is a damaged bzip2 file: it ends too early."),
        (lzma.compress(ROWS)[:-20], "is a damaged xz file: it ends too early."),
        (tarred(ROWS)[:2500], "is a damaged tar file: unexpected end of data."),
        (zipped(ROWS)[:-60], "is a damaged zip file: File is not a zip file."),
        (gzip.compress(ROWS)[:-20],
         "is a damaged gzip file: Compressed file ended before the end-of-stream marker was reached."),
        (LARGE_DICTIONARY,
         "is a damaged lzma file: Memory usage limit exceeded."),
    ],
)  # fmt: skip
def test_damage(tmp_path: Path, content: bytes, reason: str) -> None:
    """Each is one sentence about the file."""
    path = tmp_path / "rows"
    path.write_bytes(content)
    with pytest.raises(ClientError) as caught:
        read_pairs(path)
    assert str(caught.value) == f"{path} {reason}"


def test_workbooks_passwords_and_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be read is refused with a way out."""
    stream, path = io.BytesIO(), tmp_path / "rows"
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("[Content_Types].xml", "<x/>")
    locked = bytearray(zipped(ROWS))
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = -1
        while (start := locked.find(signature, start + 1)) >= 0:
            locked[start + place] |= 1
    deep = ROWS
    for _ in range(6):
        deep = gzip.compress(deep)
    for content, reason in (
        (stream.getvalue(), "it is a workbook. Save the table as CSV first."),
        (bytes(locked), "it has a password. Unpack it first."),
        (deep, "it is packed more than 5 times."),
    ):
        path.write_bytes(content)
        with pytest.raises(ClientError) as caught:
            read_pairs(path)
        assert str(caught.value) == f"{path} cannot be read: {reason}"
    monkeypatch.setattr(decoding, "_zstd", lambda: None)
    path.write_bytes(pa.Codec("zstd").compress(ROWS, asbytes=True))
    with pytest.raises(ClientError) as caught:
        read_pairs(path)
    assert str(caught.value) == (
        f"{path} cannot be read: it is packed with zstd. Install the extra `zstd`, or unpack it first, for example "
        "with `unzstd FILE`."
    )


@pytest.mark.skipif(decoding._zstd() is None, reason="neither Python 3.14 nor backports.zstd")
def test_zstd(tmp_path: Path) -> None:
    """A file packed with zstd is read."""
    path = tmp_path / "rows"
    path.write_bytes(pa.Codec("zstd").compress(ROWS, asbytes=True))
    assert len(read_pairs(path)) == 60


@pytest.mark.parametrize("name", ["cp1252", "utf-16", "UTF-16LE", "utf-32", "utf-8-sig", "shift_jis"])
def test_encodings_of_text(name: str) -> None:
    """Every encoding of text is accepted, also one that begins with a mark."""
    check_encoding(name)


@pytest.mark.parametrize("name", ["nonsense", "", "a\0b", "\udcff", "hex", "rot13", "idna", "undefined"])
def test_names_that_are_no_encoding_of_text(name: str) -> None:
    """Other codecs of Python, and those that cannot decode a file in pieces, are refused."""
    with pytest.raises(ClientError) as caught:
        check_encoding(name)
    assert str(caught.value) == f"Invalid encoding {name!r}: it must be a name such as cp1252 or utf-16."


def test_an_encoding_that_the_file_does_not_have(tmp_path: Path) -> None:
    """UTF-16 without its mark cannot be read by that name. The error says by which it can."""
    path = tmp_path / "rows"
    path.write_bytes(ROWS.decode().encode("utf-16-be"))
    with pytest.raises(ClientError) as caught, opened(path, encoding="utf-16") as stream:
        stream.read()
    assert str(caught.value) == (
        f"{path} cannot be read as utf-16: it does not begin with a byte order mark. Name the order of the bytes, as "
        "in utf-16-le or utf-16-be."
    )

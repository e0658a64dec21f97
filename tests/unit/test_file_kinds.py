"""Files that are not UTF-8 text are recognised by their first bytes in all commands."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import feather, orc, parquet

from ipinsights.data.decoding import check_encoding
from ipinsights.data.file_kinds import kind_of, text_encoding
from ipinsights.data.input_streams import STANDARD_INPUT, line_blocks, opened
from ipinsights.data.pairs import read_pairs
from ipinsights.errors import ClientError, RowsError
from ipinsights.etl.filters import Filters
from ipinsights.etl.pipeline import extract
from ipinsights.etl.records import LogOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from _typeshed import WriteableBuffer

ROWS = "".join(f"user_{number},192.0.2.{number}\n" for number in range(60)).encode()
TABLE = pa.table({"entity": ["ann", "ben"], "ip": ["192.0.2.1", "192.0.2.2"]})


def zipped() -> bytes:
    """Return a zip archive with a file in it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("rows.csv", ROWS)
    return stream.getvalue()


def written(write: Callable[[pa.Table, io.BytesIO], object]) -> bytes:
    """Return what a writer of Arrow makes of a table."""
    stream = io.BytesIO()
    write(TABLE, stream)
    return stream.getvalue()


OTHER_KINDS = {
    "lz4": (
        pa.Codec("lz4").compress(ROWS, asbytes=True),
        "packed with lz4. Unpack it first, for example with `unlz4 FILE`.",
    ),
    "Parquet": (
        written(parquet.write_table),
        "a Parquet file. `ipinsights extract --format parquet --no-timestamps` writes its rows as CSV.",
    ),
    "ORC": (written(orc.write_table), "an ORC file. Write the table as CSV or Parquet first."),
    "Feather": (written(feather.write_feather), "an Arrow file. Write the table as CSV or Parquet first."),
    "Avro": (
        b"Obj\x01\x04\x14avro.codec\x08null",
        "an Avro file. Write the records as JSON Lines, CSV or Parquet first.",
    ),
}
PARAMETERS = pytest.mark.parametrize(("content", "told"), OTHER_KINDS.values(), ids=OTHER_KINDS.keys())


class TestOtherKinds:
    """A file that is packed, an archive or a binary table is named, with a way out."""

    @PARAMETERS
    def test_training_refuses_them(self, tmp_path: Path, content: bytes, told: str) -> None:
        """The error is about the file, not about its rows, so that nobody is sent to clean them."""
        path = tmp_path / "rows.csv"
        path.write_bytes(content)
        with pytest.raises(ClientError) as caught:
            read_pairs(path)
        assert str(caught.value) == f"{path} cannot be read: it is {told}"
        assert not isinstance(caught.value, RowsError)

    @PARAMETERS
    @pytest.mark.parametrize("log_format", ["csv", "jsonl", "apache"])
    def test_extraction_refuses_them(self, tmp_path: Path, content: bytes, told: str, log_format: str) -> None:
        """No format reads them as text, and nothing is written."""
        path, output = tmp_path / "rows.csv", tmp_path / "out.csv"
        path.write_bytes(content)
        with pytest.raises(ClientError) as caught:
            extract([path], output, log_format=log_format, options=LogOptions(no_timestamps=True), filters=Filters())
        assert str(caught.value) == f"{path} cannot be read: it is {told}"
        assert not output.exists()

    def test_parquet_is_no_place_for_others(self, tmp_path: Path) -> None:
        """The reader of Parquet names them, too."""
        path = tmp_path / "rows.parquet"
        path.write_bytes(zipped())
        with pytest.raises(ClientError, match=r"The file cannot be read as Parquet"):
            extract([path], None, log_format="parquet", options=LogOptions(), filters=Filters())

    @pytest.mark.parametrize("text", [b"BZh is a name,192.0.2.1\n", b"ORC,192.0.2.1\n", b"LZIP\t192.0.2.1", b""])
    def test_a_text_may_begin_with_the_same_letters(self, text: bytes) -> None:
        """A text that begins with the letters of a binary kind is read."""
        assert kind_of(text) is None


class TestEncodings:
    """Text in UTF-16 and UTF-32 is read as what it is."""

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "utf-8"])
    @pytest.mark.parametrize("packed", [False, True])
    def test_one_text_whatever_its_encoding(self, tmp_path: Path, encoding: str, packed: bool) -> None:  # noqa: FBT001
        """Every encoding, with or without a mark, packed or not, is read as UTF-8."""
        text = "zoë,192.0.2.7\r\n" + "ann,192.0.2.8\r\n" * 1000
        path = tmp_path / "rows"
        path.write_bytes(gzip.compress(text.encode(encoding)) if packed else text.encode(encoding))
        with opened(path) as stream:
            assert stream.read() == text.encode()

    def test_an_encoding_that_is_named(self, tmp_path: Path) -> None:
        """No first byte shows a code page of Windows."""
        path = tmp_path / "rows"
        path.write_bytes("müller".encode("cp1252"))
        with opened(path, encoding="cp1252") as stream:
            assert stream.read().decode() == "müller"

    @pytest.mark.parametrize("name", ["klingon", "rot13", "", "a\0b"])
    def test_an_encoding_that_does_not_exist(self, name: str) -> None:
        """The error shows the name, and names that exist."""
        with pytest.raises(ClientError) as caught:
            check_encoding(name)
        assert str(caught.value) == f"Invalid encoding {name!r}: it must be a name such as cp1252 or utf-16."

    @given(st.text(st.characters(min_codepoint=1, max_codepoint=255), min_size=8))
    def test_utf_8_is_never_taken_for_utf_16(self, text: str) -> None:
        """Text without NUL characters has no bytes that are zero."""
        assert text_encoding(text.encode()) is None
        assert text_encoding(text.encode("utf-16-le")) == "utf-16-le"

    def test_marks_of_files_that_were_joined(self) -> None:
        """A byte order mark at the beginning of any line is no content."""
        lines = [
            line
            for block in line_blocks(io.BytesIO(b"a\n\xef\xbb\xbfb\nc\xef\xbb\xbf\n"))
            for line in block.to_pylist()
        ]
        assert lines == [b"a", b"b", b"c\xef\xbb\xbf"]


class Trickle(io.RawIOBase):
    """A pipe whose writer is slow: a byte at a time."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        """Return that there is something to read."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read a byte."""
        piece = self._content.read(1)
        memoryview(buffer)[: len(piece)] = piece
        return len(piece)


@pytest.mark.parametrize("content", [ROWS, gzip.compress(ROWS), b"\xef\xbb\xbf" + ROWS, ROWS.decode().encode("utf-16")])
def test_a_slow_pipe_is_recognised(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """The first bytes are waited for."""
    monkeypatch.setattr("ipinsights.data.input_streams._raw", lambda _: io.BufferedReader(Trickle(content)))
    with opened(STANDARD_INPUT) as stream:
        assert stream.read() == ROWS


def test_a_small_parquet_file_ends_well(tmp_path: Path) -> None:
    """A process that reads a small Parquet file always ends with exit code 0.

    No thread of Arrow holds a Python object when the process ends.
    """
    path = tmp_path / "rows.parquet"
    parquet.write_table(TABLE, path)
    command = [sys.executable, "-m", "ipinsights", "extract", "--format", "parquet", "--no-timestamps"]
    for source in (str(path), "-") * 2:
        done = subprocess.run([*command, source], input=path.read_bytes(), capture_output=True, check=False)
        assert (done.returncode, done.stdout) == (0, b"ann,192.0.2.1\nben,192.0.2.2\n")

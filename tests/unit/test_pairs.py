"""CSV files become arrays, or a message that says where and why not."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import csv as csv_of_arrow

from ipinsights.data.csv_errors import TAIL
from ipinsights.data.entity_hash import hash_entities
from ipinsights.data.pairs import _OPTIONS, Pairs, _ArrowInput, read_blocks, read_pairs
from ipinsights.errors import ClientError

from .csv_rows import fault_of, rows_of
from .peak_memory import run_with_peak

if TYPE_CHECKING:
    from pathlib import Path

# Python's writer leaves a lone carriage return unquoted, and a byte order mark at the beginning belongs to no entity.
ENTITIES = st.text(st.characters(codec="utf-8", exclude_characters="\r\0\ufeff"), min_size=1, max_size=6)
IP = "1.2.3.4"
IP_NUMBER = 0x01020304


class TestRead:
    """What a file may look like."""

    @pytest.mark.parametrize(
        ("content", "entities"),
        [
            (b"a,1.2.3.4\nb,1.2.3.4\n", ["a", "b"]),
            (b"a, 1.2.3.4", ["a"]),
            (b"a,\t1.2.3.4 \r\nb,1.2.3.4\r\n", ["a", "b"]),
            (b"a,1.2.3.4\rb,1.2.3.4\r", ["a", "b"]),
            (b"\xef\xbb\xbfa,1.2.3.4\n", ["a"]),
            (b"\n\na,1.2.3.4\n\n\r\nb,1.2.3.4\n\n", ["a", "b"]),
            (b'"a,b",1.2.3.4\n', ["a,b"]),
            (b'"a""b","1.2.3.4"\n', ['a"b']),
            (b'"a\nb\r\nc",1.2.3.4\n', ["a\nb\r\nc"]),
            (b'a"b,1.2.3.4\n', ['a"b']),
            (b'"a"b,1.2.3.4\n', ["ab"]),
            (b" a ,1.2.3.4\n", [" a "]),
            (b"NA,1.2.3.4\nnull,1.2.3.4\n", ["NA", "null"]),
            (b"007,1.2.3.4\n1e5,1.2.3.4\n", ["007", "1e5"]),
            ("\u00fc\U0001f600,1.2.3.4\n".encode(), ["\u00fc\U0001f600"]),
            (b"a\0b,1.2.3.4\n", ["a\0b"]),
            (gzip.compress(b"a,1.2.3.4\n", mtime=0), ["a"]),
            (gzip.compress(b"a,1.2.3.4\n", mtime=0) + gzip.compress(b"b,1.2.3.4\n", mtime=0), ["a", "b"]),
        ],
    )
    def test_rows_are_read(self, content: bytes, entities: list[str]) -> None:
        """Entities are unchanged for any line ends, blanks, quotes, text and gzip compression."""
        assert rows_of(content) == [(entity, IP_NUMBER) for entity in entities]

    def test_short_reads_change_nothing(self) -> None:
        """A stream may give less than it is asked for, before its end."""

        class Trickle(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                return super().read(min(size or 0, 7))

        content = "".join(f'"user\r\n{number}",0.0.0.{number}\r\n' for number in range(200)).encode()
        (block,) = read_blocks(Trickle(content))
        assert block.ips.tolist() == list(range(200))

    def test_long_texts_have_the_hash_of_all_others(self) -> None:
        """Texts of more than 512 bytes have the same hash next to short ones."""
        texts = ["a", "b" * 512, "c" * 513, "\u00fc" * 300]
        content = "".join(f"{text},{IP}\n" for text in texts).encode()
        (block,) = read_blocks(io.BytesIO(content))
        assert block.entities.tolist() == hash_entities(texts).tolist()

    def test_a_large_file_is_read_in_blocks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Rows keep their order across blocks."""
        small = dict(_OPTIONS, read_options=csv_of_arrow.ReadOptions(block_size=64, autogenerate_column_names=True))
        monkeypatch.setattr("ipinsights.data.pairs._OPTIONS", small)
        content = "".join(f'"user\n{number}",0.0.{number >> 8}.{number & 255}\n' for number in range(500))
        assert rows_of(content.encode()) == [(f"user\n{number}", number) for number in range(500)]

    def test_further_columns_are_given_when_asked_for(self) -> None:
        """A file to be scored may carry more than the pair."""
        (block,) = read_blocks(io.BytesIO(b"a,1.2.3.4,x,\nb,1.2.3.4,y,1\n"), name="x.csv", num_columns=None)
        assert [column.to_pylist() for column in block.columns[2:]] == [["x", "y"], ["", "1"]]

    @given(
        st.lists(st.tuples(ENTITIES, st.integers(0, 2**32 - 1)), min_size=1, max_size=30),
        st.sampled_from(["\n", "\r\n"]),
        st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    )
    def test_what_python_writes_is_read(self, rows: list[tuple[str, int]], end: str, quoting: Literal[0, 1]) -> None:
        """Any entities and addresses survive the way through Python's own CSV writer."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator=end, quoting=quoting)
        for entity, ip in rows:
            writer.writerow([entity, ".".join(str((ip >> shift) & 255) for shift in (24, 16, 8, 0))])
        assert rows_of(text.getvalue().encode()) == rows


class TestLimits:
    """The last that is read, and the first that is not."""

    @pytest.mark.parametrize("num_columns", [2, 256])
    def test_columns(self, num_columns: int) -> None:
        """Two to 256 columns are read when any number may be."""
        content = ",".join(["a", IP, *["x"] * (num_columns - 2)]).encode()
        (block,) = read_blocks(io.BytesIO(content), num_columns=None)
        assert len(block.columns) == num_columns
        with pytest.raises(ClientError, match=r"2 to 256 columns"):
            list(read_blocks(io.BytesIO(content + b",x" * 255), num_columns=None))

    def test_fields(self) -> None:
        """A field of 131,072 characters is read, one more is a fault."""
        assert rows_of(b"a" * 131_072 + b",1.2.3.4") == [("a" * 131_072, IP_NUMBER)]
        assert "a field is longer than 131072 characters" in fault_of(b"a" * 131_073 + b",1.2.3.4")

    def test_an_open_quote_in_a_further_column(self) -> None:
        """The last row's quote must close in whatever column it opened."""
        with pytest.raises(ClientError, match="the closing quote of a field is missing"):
            list(read_blocks(io.BytesIO(b'a,1.2.3.4,x\nb,1.2.3.4,"open'), name="x.csv", num_columns=None))

    def test_a_stream_without_a_name(self) -> None:
        """Messages call a stream without a name the input."""
        with pytest.raises(ClientError, match=r"^the input"):
            list(read_blocks(io.BytesIO(b"a,b\n")))


class Dribble(io.BytesIO):
    """A stream that gives less than it is asked for, as sockets and pipes do."""

    def read(self, size: int | None = -1) -> bytes:
        """Return one or two bytes."""
        assert size is not None
        return super().read(min(size, 2))


class TestPieces:
    """What Arrow is handed of a stream, piece by piece."""

    @given(
        st.text("ab\r\n", max_size=30).map(str.encode),
        st.lists(st.integers(2, 9), min_size=1),
        st.sampled_from([io.BytesIO, Dribble]),
    )
    def test_nothing_is_lost(self, content: bytes, sizes: list[int], stream: type[io.BytesIO]) -> None:
        """Pieces of any sizes are the content and the tail; none is too long, and none parts a CRLF."""
        given_to_arrow = _ArrowInput(stream(content))
        pieces = []
        for size in itertools.cycle(sizes):
            pieces.append(given_to_arrow.read(size))
            assert len(pieces[-1]) <= size
            if not pieces[-1]:
                break
        assert b"".join(pieces) == content + TAIL.encode()
        assert not any(one.endswith(b"\r") and next_.startswith(b"\n") for one, next_ in itertools.pairwise(pieces))


class TestChannels:
    """A channel is a file or a folder of them."""

    def test_rows_of_all_files_and_no_more(self, tmp_path: Path) -> None:
        """The room that is made ahead for more rows is given back."""
        for name, num_rows in (("a.csv", 1000), ("b.csv", 1)):
            (tmp_path / name).write_text("a,1.2.3.4\n" * num_rows)
        pairs = read_pairs(tmp_path)
        assert len(pairs.entities) == len(pairs.ips) == 1001
        assert (pairs.ips == IP_NUMBER).all()

    def test_a_missing_path_is_told(self, tmp_path: Path) -> None:
        """The error names the missing path."""
        with pytest.raises(ClientError) as caught:
            read_pairs(tmp_path / "none.csv")
        assert str(caught.value) == f"There is no file or folder {tmp_path}/none.csv."

    def test_faults_of_all_files_are_counted(self, tmp_path: Path) -> None:
        """One message covers the whole channel, so that one mending is enough."""
        (tmp_path / "a.csv").write_text(f"a,{IP}\na,256.1.1.1\n")
        (tmp_path / "b.csv").write_text(f",{IP}\n")
        with pytest.raises(ClientError) as caught:
            read_pairs(tmp_path)
        assert str(caught.value) == (
            "2 rows cannot be used:\n"
            f"  - {tmp_path}/a.csv:2: '256.1.1.1' is no IPv4 address: 256 is more than 255.\n"
            f"  - {tmp_path}/b.csv:1: the entity is empty."
        )

    @pytest.mark.slow
    def test_a_row_costs_at_most_16_bytes(self, tmp_path: Path) -> None:
        """Peak memory grows by at most 16 bytes for each further row, whatever the file's size."""
        path = tmp_path / "rows.csv"
        peaks = []
        for millions in (10, 30):
            with path.open("wb") as stream:
                stream.writelines([b"user_1,10.20.30.40\n" * 1_000_000] * millions)
            peaks.append(peak_memory_of_reading(path))
        assert (peaks[1] - peaks[0]) / 20_000_000 < 16


def peak_memory_of_reading(path: Path) -> int:
    """Return the peak resident bytes of a process that reads a file."""
    code = (
        "import sys; from pathlib import Path; from ipinsights.data.pairs import read_pairs; "
        "read_pairs(Path(sys.argv[1])); print(peak())"
    )
    done = run_with_peak(code, path)
    assert done.returncode == 0, done.stderr
    return 1024 * int(done.stdout)


def test_no_parts() -> None:
    """No parts are no rows, of the types of others."""
    pairs = Pairs.joined([])
    assert (len(pairs), pairs.addresses) == (0, None)
    assert (pairs.entities.dtype.name, pairs.ips.dtype.name) == ("uint64", "uint32")

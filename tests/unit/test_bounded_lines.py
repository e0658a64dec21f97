"""Lines in bounded memory: what is read is what was there, but for lines that are too long."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
from typing import IO, TYPE_CHECKING, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipinsights.data import bounded_lines
from ipinsights.data.bounded_lines import LONG_LINE, WholeLines, whole_lines
from ipinsights.data.csv_errors import Source
from ipinsights.data.pairs import read_pairs
from ipinsights.errors import ClientError

from .peak_memory import run_with_peak
from .small_model import model_file

if TYPE_CHECKING:
    from pathlib import Path

MEGABYTE = 2**20
# Two hundred times the limit of a line, in a file of 200 kB: read whole, it takes 400 MB and more.
LONG_BYTES = 200 * MEGABYTE
# What the commands take for an ordinary file, and half of the line.
MOST_MEGABYTES = 300
SCRIPT = """
import sys; from ipinsights.cli import main
try: main()
finally: print(peak() // 1024, file=sys.stderr)
"""


class Trickle(io.BytesIO):
    """A stream that gives a few bytes at a time."""

    def __init__(self, content: bytes, size: int) -> None:
        super().__init__(content)
        self._size = size

    def read(self, size: int | None = -1) -> bytes:  # noqa: ARG002
        """Return the next few bytes."""
        return super().read(self._size)


def as_text(lines: WholeLines) -> IO[str]:
    """Return the text of lines, as a reader of CSV takes it."""
    return io.TextIOWrapper(cast("IO[bytes]", lines), encoding="utf-8", newline="")


class TestWholeLines:
    """Blocks of lines."""

    @given(
        content=st.text("ab\r\n", max_size=60).map(str.encode),
        size=st.integers(1, 9),
        longest=st.integers(len(LONG_LINE), 8),
    )
    @settings(max_examples=500)
    def test_every_line_is_there(self, content: bytes, size: int, longest: int) -> None:
        """Short lines stay as they are. Long ones are replaced and reported by number."""
        reported: list[int] = []
        blocks = list(whole_lines(Trickle(content, size), longest=longest, when_long=reported.append))
        lines = content.split(b"\n")
        is_long = [len(line) > longest for line in lines]
        expected = [LONG_LINE if long else line for line, long in zip(lines, is_long, strict=True)]
        assert b"".join(blocks) == b"\n".join(expected)
        assert reported == list(itertools.compress(itertools.count(1), is_long))
        assert all(block.endswith(b"\n") for block in blocks[:-1])

    @given(rows=st.lists(st.lists(st.text('ab,"\r\n', max_size=5), min_size=1, max_size=3), max_size=8))
    def test_rows_of_csv_are_read_as_they_were(self, rows: list[list[str]]) -> None:
        """Rows are read as they were written, with line ends inside of quotes."""
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        lines = WholeLines(io.BytesIO(text.getvalue().encode()))
        assert list(csv.reader(as_text(lines))) == list(csv.reader(io.StringIO(text.getvalue(), newline="")))

    def test_carriage_returns_alone_end_lines(self) -> None:
        """Old spreadsheets write them, in files that have no line feed at all."""
        assert WholeLines(io.BytesIO(b"a,1\rb,2\r")).read() == b"a,1\nb,2\n"

    def test_a_row_over_many_lines_ends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each line is short, and the row has no end: it is an error, and the next row is read."""
        monkeypatch.setattr(bounded_lines, "LONGEST_ROW", 100)
        monkeypatch.setattr(bounded_lines, "_BLOCK_BYTES", 40)
        lines = WholeLines(io.BytesIO(b'"\n' + b'",,"\n' * 60))
        rows = csv.reader(as_text(lines))
        with pytest.raises(csv.Error, match="a row has more than 100 bytes"):
            next(rows)


class TestFaults:
    """What the readers of rows say of it."""

    def test_the_line_and_the_limit_are_named(self, tmp_path: Path) -> None:
        """Next to other faults, with the right numbers of lines."""
        path = tmp_path / "rows.csv"
        path.write_bytes(b"a,1.2.3.4\n" + b"x" * (MEGABYTE + 1) + b"\nb,1.2.3.400\n" + b"," * 2 * MEGABYTE)
        with pytest.raises(ClientError) as caught:
            read_pairs(path)
        assert str(caught.value) == (
            "3 rows cannot be used:\n"
            f"  - {path}:2: the line is longer than 1,048,576 bytes.\n"
            f"  - {path}:3: '1.2.3.400' is no IPv4 address: 400 is more than 255.\n"
            f"  - {path}:4: the line is longer than 1,048,576 bytes."
        )

    def test_a_first_row_of_very_many_columns(self, tmp_path: Path) -> None:
        """A first row of too many columns is refused before Arrow allocates them."""
        path = tmp_path / "rows.csv"
        path.write_bytes(b"\n\n" + b"," * MEGABYTE + b"\n")
        with pytest.raises(ClientError) as caught:
            read_pairs(path)
        assert str(caught.value) == (f"{path}:3: a row must have 2 columns (entity,ip), this one has 1048577 columns.")

    def test_commas_inside_of_quotes_are_no_columns(self, tmp_path: Path) -> None:
        """A first entity of hundreds of commas is one field."""
        path = tmp_path / "rows.csv"
        path.write_bytes(b'"' + b"," * 1000 + b'\n",1.2.3.4\n')
        assert len(read_pairs(path)) == 1

    def test_a_pipe_is_named(self) -> None:
        """A source needs to be read twice."""
        assert Source.stream(io.BytesIO(b"x"), "x").name == "x"


@pytest.mark.slow
class TestMemory:
    """Peak memory of whole commands, for a small file with one long line of letters or commas."""

    @pytest.mark.parametrize("content", [b"a", b",", b'"', b"{"])
    @pytest.mark.parametrize(
        "command",
        [
            "score {line} --model-dir {folder}",
            "train --train {line} --model-dir {folder}/new -H num_entity_vectors=10 -H vector_dim=4",
            "extract --format csv {line} -o {folder}/rows.csv",
            "extract --format apache {line} -o {folder}/rows.csv",
            "extract --format jsonl {line} -o {folder}/rows.csv",
            "extract --format cloudtrail {line} -o {folder}/rows.csv",
            "compare {line} {line}",
            "embeddings --entities {line} --model-dir {folder} -o {folder}/vectors.csv",
            "transform {line} --model-dir {folder} --output-dir {folder}/out",
        ],
    )
    def test_one_long_line(self, tmp_path: Path, command: str, content: bytes) -> None:
        """Every command refuses the file in one sentence, in bounded memory."""
        model_file(tmp_path)
        line = tmp_path / "line.csv.gz"
        line.write_bytes(gzip.compress(content * (8 * MEGABYTE), 1) * (LONG_BYTES // (8 * MEGABYTE)))
        words = [word.format(line=line, folder=tmp_path) for word in command.split()]
        done = run_with_peak(SCRIPT, *words)
        *_, report, megabytes = done.stderr.splitlines()
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
        assert "bug" not in report
        assert int(megabytes) < MOST_MEGABYTES

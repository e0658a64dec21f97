"""Logs are read from files and folders, plain and packed, line by line."""

from __future__ import annotations

import gzip
import logging
from typing import TYPE_CHECKING

import pytest

from ipinsights.data import bounded_lines
from ipinsights.errors import ClientError
from ipinsights.etl.filters import Filters
from ipinsights.etl.pipeline import extract
from ipinsights.etl.records import LogOptions
from ipinsights.etl.summary import NothingUsableError

from .log_samples import COMBINED, FRANK, SSHD

if TYPE_CHECKING:
    from pathlib import Path

    from .log_samples import Bench


class TestFiles:
    """Where logs come from."""

    def test_files_and_folders_plain_and_packed(self, bench: Bench) -> None:
        """All are read, in the order of their names; gzip is known by its first bytes."""
        bench.put(COMBINED, "b.log")
        bench.put(gzip.compress(COMBINED.replace("frank", "ann").encode()), "a.log")
        bench.put("", "c.log")
        summary = bench.extract("apache")
        assert [row[0] for row in bench.rows()] == ["ann", "frank"]
        assert str(summary) == (
            "2 records in 2 files: 2 written, 0 skipped.\n"
            "Written: 2 rows of 2 entities on 1 day, from 2000-10-10T20:55:36Z to 2000-10-10T20:55:36Z."
        )

    def test_blocks_end_where_lines_do(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        """A line that goes over blocks is one line, with and without an end of its own."""
        monkeypatch.setattr(bounded_lines, "_BLOCK_BYTES", 50)
        rows, skipped = bench.of("apache", f"{COMBINED}\r\n\n{COMBINED}\n{COMBINED}")
        assert (rows, skipped) == ([FRANK] * 3, {"BLANK": 1})

    def test_a_line_without_end(self, bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
        """A line without an end is counted once, and a warning names the line and the limit.

        The rest of the line is never kept in memory.
        """
        path = bench.put(f"{COMBINED}\n{COMBINED}{'x' * 2**20}\n{COMBINED}\n{'x' * 2**23}")
        with caplog.at_level(logging.WARNING):
            summary = bench.extract("apache")
        assert bench.rows() == [FRANK] * 2
        assert {reason.name: count for reason, count in summary.skipped.items()} == {"MALFORMED": 2}
        assert caplog.messages == [f"{path}:2: the line is longer than 1,048,576 bytes, and is not read."]

    @pytest.mark.parametrize("before", ["\n", "\n\n\n", '"' + "x" * 200_000 + '"\n', "x" * 2**21 + "\n", ""])
    @pytest.mark.parametrize("header", ["entity,ip,timestamp\n", ""])
    def test_rows_before_the_first_that_can_be_used(self, bench: Bench, before: str, header: str) -> None:
        """Blank and unreadable ones are counted, and the next row is the header, if it is one."""
        rows, skipped = bench.of("csv", f"{before}{header}frank,192.0.2.7,2000-10-10T20:55:36Z\n")
        assert rows == [FRANK]
        reason = "BLANK" if not before.strip() else "MALFORMED"
        assert skipped == ({reason: before.count("\n")} if before else {})

    @pytest.mark.parametrize("content", ["x" * 2**21, '"' + "x" * 200_000])
    def test_no_row_can_be_used(self, bench: Bench, content: str) -> None:
        """Then the format is wrong, as where every record is malformed."""
        bench.put(content)
        with pytest.raises(ClientError) as caught:
            bench.extract("csv")
        assert str(caught.value).startswith("None of the ")

    def test_a_long_document(self, bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
        """JSON over several lines is read up to a limit, which a warning names.

        Content after the limit is not kept.
        """
        path = bench.put("[\n" + (" " * 1000 + "\n") * 40_000 + "]")
        with caplog.at_level(logging.WARNING), pytest.raises(NothingUsableError) as caught:
            bench.extract("cloudtrail")
        skipped = caught.value.summary.skipped
        assert {reason.name: count for reason, count in skipped.items()} == {"MALFORMED": 2, "BLANK": 40_000}
        assert caplog.messages == [
            f"{path}: a JSON document over several lines is not read, it has more than 33,554,432 bytes."
        ]

    def test_damaged_gzip(self, bench: Bench) -> None:
        """A file cut off is no reason to guess; nothing is written."""
        path = bench.put(gzip.compress(COMBINED.encode())[:-9])
        with pytest.raises(ClientError) as caught:
            bench.extract("apache")
        assert str(caught.value) == (
            f"{path} is a damaged gzip file: Compressed file ended before the end-of-stream marker was reached."
        )
        assert not bench.output.exists()

    def test_another_format(self, bench: Bench) -> None:
        """If no record is of the format, the format is wrong."""
        bench.put(f"{SSHD}\n{SSHD}\n")
        with pytest.raises(ClientError) as caught:
            bench.extract("apache")
        assert (
            str(caught.value)
            == "None of the 2 records is in the format apache. Name the fields of another format with `line_format`. "
            "See `log_format` for other formats."
        )

    def test_no_such_file(self, tmp_path: Path) -> None:
        """The error names the missing file."""
        with pytest.raises(ClientError) as caught:
            extract([tmp_path / "no.log"], None, log_format="apache", options=LogOptions(), filters=Filters())
        assert str(caught.value) == f"There is no file or folder {tmp_path / 'no.log'}."

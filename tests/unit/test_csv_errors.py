"""What is wrong with a CSV file: file, line, reason, cure."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.errors import ClientError

from .csv_rows import error_of, fault_of, rows_of


class TestFaults:
    """What cannot be used is told with file, line, reason and cure."""

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "x.csv is empty: it must hold at least one row of entity,ip."),
            (b"\n\r\n", "x.csv: there is no row in it; it must hold at least one row of entity,ip."),
            (
                b"user,ip\na,1.2.3.4\n",
                "x.csv:1: 'ip' is no IPv4 address: it must be four numbers from 0 to 255, separated by dots. It looks "
                "like a header: remove it, the file must have none.",
            ),
            (b"a,1.2.3.4\nb,1.2.3.256\n", "x.csv:2: '1.2.3.256' is no IPv4 address: 256 is more than 255."),
            (b"a,1.2.3.4\n\nb,\n", "x.csv:3: '' is no IPv4 address: it is empty."),
            (
                b"a,1.2.3.4,2018-11-04T00:01:17Z\n",
                "x.csv:1: a row must have 2 columns (entity,ip), this one has 3 columns: the third is a time, which "
                "`ipinsights split` takes away and `ipinsights score --keep-columns` keeps.",
            ),
            (
                b"0,a,1.2.3.4\n",
                "x.csv:1: a row must have 2 columns (entity,ip), this one has 3 columns: the address is the third, so "
                "an index may be the first. `ipinsights extract` takes --entity 2 --ip 3.",
            ),
            (
                b'"a", "1.2.3.4"\n',
                "x.csv:1: a blank stands before the quote of the address: remove the blank.",
            ),
            (b"a,1.2.3.4,5\n", "x.csv:1: a row must have 2 columns (entity,ip), this one has 3 columns."),
            (b"a,1.2.3.4\na\n", "x.csv:2: a row must have 2 columns (entity,ip), this one has 1 column."),
            (
                b"a;1.2.3.4\n",
                "x.csv:1: a row must have 2 columns (entity,ip), this one has 1 column, because a semicolon separates "
                "them: it must be a comma.",
            ),
            (
                b"a\t1.2.3.4\n",
                "x.csv:1: a row must have 2 columns (entity,ip), this one has 1 column, because a TAB separates them: "
                "it must be a comma.",
            ),
            (b"1.2.3.4,a\n", "x.csv:1: the address stands first: it must be the second column."),
            (
                "a,1.2.3\n".encode("utf-16"),
                "x.csv:1: '1.2.3' is no IPv4 address: it must be four numbers from 0 to 255, separated by dots.",
            ),
            (
                b"PK\x03\x04...",
                "x.csv is a damaged zip file: File is not a zip file.",
            ),
            (b"a,1.2.3.4\n,1.2.3.4\n", "x.csv:2: the entity is empty."),
            (b'a,1.2.3.4\n"",1.2.3.4\n', "x.csv:2: the entity is empty."),
            (b"a,1.2.3.4\nb\xff,1.2.3.4\n", "x.csv:2: it is not UTF-8 text."),
            (
                b'"a\nb",1.2.3.4\n"c,1.2.3.4\nd,1.2.3.4\n',
                "x.csv:3: the closing quote of a field is missing.",
            ),
            (
                b"a," + b"x" * 100 + b"\nb,1.2.3.4\n",
                f"x.csv:1: '{'x' * 59}...' is no IPv4 address: it must be four numbers from 0 to 255, separated by "
                "dots.",
            ),
            (
                gzip.compress(b"a,1.2.3.4\n" * 999, mtime=0)[:-9],
                "x.csv is a damaged gzip file: Compressed file ended before the end-of-stream marker was reached.",
            ),
        ],
    )
    def test_a_fault_is_told(self, content: bytes, message: str) -> None:
        """Each fault is reported in one sentence."""
        assert fault_of(content) == message

    @pytest.mark.parametrize(
        "name",
        ["ip", "IP", "ip_address", "ipAddress", "sourceIPAddress", "IPv4", "c-ip", "Client IP", "src.ip", "host"],
    )
    def test_a_header(self, name: str) -> None:
        """The name of an address column in the first row has advice to remove the header."""
        assert fault_of(f"user,{name}\na,1.2.3.4\n".encode()).endswith(
            " It looks like a header: remove it, the file must have none."
        )

    @pytest.mark.parametrize(
        "first", ['{"user":"a","ip":"1.2.3.4","at":1}', '[{"user":"a","ip":"1.2.3.4"}]', "{", ' {"ip":"1.2.3.4"}']
    )
    def test_json(self, first: str) -> None:
        """JSON in the first row is named, and not taken for a header."""
        error = error_of(f"{first}\n".encode())
        assert str(error).endswith(". It looks like JSON, and must be CSV.")
        assert "header" not in str(error)
        assert error.is_json

    @pytest.mark.parametrize(
        ("content", "is_json", "has_further_columns"),
        [
            (b"a,1.2.3\n", False, False),
            (b"a\n", False, False),
            (b"a,1.2.3.4,5\n", False, True),
            (b'{"user":"a","ip":"1.2.3.4","at":1}\n', True, True),
            (b"a,1.2.3.4\n{}\n", False, False),
            (b'a,"It looks like JSON, and must be CSV"\n', False, False),
        ],
    )
    def test_an_error_has_what_advice_depends_on(
        self, content: bytes, *, is_json: bool, has_further_columns: bool
    ) -> None:
        """JSON and further columns are attributes of the error, whatever the text of a row says."""
        error = error_of(content)
        assert (error.is_json, error.has_further_columns) == (is_json, has_further_columns)

    def test_an_entity_may_begin_like_json(self) -> None:
        """Rows with an address are valid, whatever their entity looks like."""
        assert fault_of(b"{a,1.2.3.4\na,1.2.3\n").startswith("x.csv:2: '1.2.3' is no IPv4 address: ")

    @pytest.mark.parametrize("field", ["not-an-ip", "-", "unknown", "localhost", "alice", "1.2.3", "", "laptop7"])
    def test_a_row_that_is_not_a_header(self, field: str) -> None:
        """Any other text in the first row is no header."""
        assert "header" not in fault_of(f"user,{field}\na,1.2.3.4\n".encode())

    def test_many_faults_are_counted_and_five_shown(self) -> None:
        """The message stays short however bad the file is."""
        content = b"a,1.2.3.4\n" + b"b,::1\n" * 7
        reason = "'::1' is no IPv4 address: it looks like IPv6; leave such rows out."
        assert fault_of(content) == "\n".join(
            ["7 rows cannot be used; the first 5:", *(f"  - x.csv:{line}: {reason}" for line in range(2, 7))]
        )

    def test_two_faults_are_both_shown(self) -> None:
        """Up to five faults are all shown, without a remark on others."""
        assert fault_of(b",1.2.3.4\n,1.2.3.4\n") == (
            "2 rows cannot be used:\n  - x.csv:1: the entity is empty.\n  - x.csv:2: the entity is empty."
        )

    @given(st.integers(0, 40), st.integers(1, 40), st.sampled_from([b"b", b",1.2.3.4", b"b,1.2.3", b"b,1.2.3.4,c"]))
    def test_the_line_is_the_right_one(self, before: int, after: int, bad: bytes) -> None:
        """Quoted line ends and blank lines before the fault are counted as the lines they are."""
        content = b'"a\nb",1.2.3.4\n\n' * before + bad + b"\n" + b"c,1.2.3.4\n" * after
        assert fault_of(content).startswith(f"x.csv:{3 * before + 1}: ")

    @given(st.binary(max_size=60))
    def test_no_bytes_end_in_a_traceback(self, content: bytes) -> None:
        """Any bytes are read or refused with a ClientError."""
        try:
            rows_of(content)
        except ClientError as error:
            assert str(error).endswith((".", ").")) or "\n" in str(error)  # noqa: PT017

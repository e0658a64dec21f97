"""Columns of text to lines of CSV (RFC 4180), a block at a time, into a file that is there only when it is complete."""

from __future__ import annotations

import contextlib
import sys
from typing import IO, TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from ipinsights.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["csv_lines", "opened_output", "quoted"]

_MUST_BE_QUOTED = '[",\r\n]'


def quoted(texts: pa.StringArray) -> pa.StringArray:
    """Give texts as CSV fields, in quotes where they must be; shape (n,)."""
    special = pc.match_substring_regex(texts, _MUST_BE_QUOTED)
    if not pc.any(special).as_py():
        return texts
    doubled = pc.replace_substring(texts, '"', '""')
    return pc.if_else(special, pc.binary_join_element_wise('"', doubled, '"', ""), texts)


def csv_lines(columns: Sequence[pa.StringArray]) -> memoryview:
    """Give the lines of some columns of fields (n,) each; Arrow keeps strings end to end, which is what a file wants.

    The columns must hold no null.
    """
    lines = pc.binary_join_element_wise(pc.binary_join_element_wise(*columns, ","), "\n", "")
    if len(lines) == 0:
        return memoryview(b"")  # Arrow's buffer is longer than nothing
    return memoryview(lines.buffers()[2])


@contextlib.contextmanager
def opened_output(output: Path | None) -> Iterator[IO[bytes]]:
    """Open a file to write, beside its place until it is complete; standard output for None.

    Raises
    ------
    ClientError
        It cannot be written.
    """
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    beside = output.with_name(f".{output.name}.partial")
    try:
        try:
            with beside.open("wb") as stream:
                yield stream
            beside.replace(output)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise ClientError(f"{output} cannot be written: {error.strerror or error}.") from None

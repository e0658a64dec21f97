"""Columns of text to lines of CSV (RFC 4180), a block at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from ipinsights.data.arrow import contain_any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["csv_lines", "quoted"]

# A byte order mark at the beginning of a file is not a part of its first field, unless that is quoted.
_SPECIAL = '",\r\n\ufeff'
# The first byte of the mark stands for it. Few other characters have that byte.
_SPECIAL_BYTES = b'",\r\n\xef'


def quoted(texts: pa.StringArray) -> pa.StringArray:
    """Return texts as CSV fields, quoted where necessary, shape (n,)."""
    if not contain_any(texts, _SPECIAL_BYTES):
        return texts
    special = pc.match_substring_regex(texts, f"[{_SPECIAL}]")
    doubled = pc.replace_substring(texts, '"', '""')
    return pc.if_else(special, pc.binary_join_element_wise('"', doubled, '"', ""), texts)


def csv_lines(columns: Sequence[pa.StringArray]) -> memoryview:
    """Return the CSV lines of columns of fields, (n,) each, without nulls."""
    table = pa.Table.from_arrays(columns, names=[str(index) for index in range(len(columns))])
    lines = pa.BufferOutputStream()
    try:
        csv.write_csv(
            table, lines, csv.WriteOptions(include_header=False, quoting_style="none", batch_size=max(1, len(table)))
        )
    except pa.ArrowInvalid:
        # A field is in quotes, which Arrow would quote again. To join the texts takes three times as long. Arrow
        # stores them contiguously, which is the layout of the file.
        joined = pc.binary_join_element_wise(pc.binary_join_element_wise(*columns, ","), "\n", "")
        return memoryview(joined.buffers()[2])
    return memoryview(lines.getvalue())

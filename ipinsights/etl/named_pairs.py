"""Files with named columns as files of pairs, for commands that train, score and evaluate."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ipinsights.data.channels import channel_files
from ipinsights.data.input_streams import STANDARD_INPUT, opened
from ipinsights.etl.filters import Filters
from ipinsights.etl.pipeline import extract
from ipinsights.etl.records import LogOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipinsights.etl.records import KeptFields
    from ipinsights.etl.summary import Summary

__all__ = ["named_pairs"]

_PARQUET_MAGIC = b"PAR1"


@contextlib.contextmanager
def named_pairs(
    source: Path, *, entity: tuple[str, ...], ip: tuple[str, ...], kept: KeptFields | None = None
) -> Iterator[tuple[Path, Summary]]:
    """Write the pairs of a table to a temporary headerless CSV file.

    Yield its path and summary. The source is a file, a folder, or ``-`` for standard input, of CSV with a header,
    JSON or Parquet (not on standard input). Each of the names of a column, or paths to one, is used for rows without
    the names before it.
    """
    options = LogOptions(entity, ip, no_timestamps=True)
    with tempfile.TemporaryDirectory(prefix="ipinsights-") as folder:
        pairs = Path(folder) / "pairs.csv"
        log_format = _format_of(source)
        yield pairs, extract([source], pairs, log_format=log_format, options=options, filters=Filters(), kept=kept)


def _format_of(source: Path) -> str:
    """Return the format of a source, by the first bytes of its first file."""
    if source == STANDARD_INPUT:
        return "csv"
    first = channel_files(source)[0]
    with first.open("rb") as raw:
        if raw.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC:
            return "parquet"
    with opened(first) as stream:
        head = stream.read(2**10).lstrip()
    return "jsonl" if head[:1] in (b"{", b"[") else "csv"

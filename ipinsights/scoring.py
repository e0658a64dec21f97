"""Scoring of files: CSV in, CSV out, a line for a line, in bounded memory."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ipinsights.data import read_blocks
from ipinsights.errors import ClientError
from ipinsights.ipv4 import BLANKS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ipinsights.data import Block
    from ipinsights.predictor import Predictor

__all__ = ["score_file"]

_MUST_BE_QUOTED = '[",\r\n]'


def score_file(
    predictor: Predictor, source: Path, output: Path | None, *, extended: bool = False, keep_columns: bool = False
) -> int:
    """Write ``entity,ip,dot_product`` for every row of a CSV file, in its order.

    Parameters
    ----------
    predictor
        What scores.
    source
        Headerless CSV, plain or gzip; ``-`` is standard input.
    output
        Written beside and renamed when complete; None is standard output.
    extended
        Add ``entity_known`` (did training ever touch the entity's row: true or false) and ``probability`` (sigmoid of
        the dot product, 0 to 1).
    keep_columns
        Accept further columns and copy them to the end of each line.

    Returns
    -------
    int
        Number of rows.

    Raises
    ------
    ClientError
        A row cannot be read, or the output cannot be written.
    """
    num_rows = 0
    with _opened_input(source) as given, _opened_output(output) as stream:
        name = None if isinstance(given, Path) else "standard input"
        for block in read_blocks(given, name=name, num_columns=None if keep_columns else 2, progress=True):
            columns = _scored(predictor, block, extended=extended)
            if num_rows == 0:
                stream.write(_header(list(columns), num_kept=len(block.columns) - 2))
            stream.write(_lines([*columns.values(), *map(_quoted, block.columns[2:])]))
            num_rows += len(block)
    return num_rows


def _scored(predictor: Predictor, block: Block, *, extended: bool) -> dict[str, pa.StringArray]:
    """Give the columns of the output as text."""
    scores = predictor.score(block.entities, block.ips)
    columns = {
        "entity": _quoted(block.columns[0]),
        "ip": pc.ascii_trim(block.columns[1], characters=BLANKS),
        "dot_product": _text(scores),
    }
    if extended:
        columns["entity_known"] = _text(predictor.entity_known(block.entities))
        columns["probability"] = _text(1 / (1 + np.exp(-scores.astype(np.float64))))
    return columns


def _text(values: Any) -> pa.StringArray:
    """Give numbers in the fewest digits that read back to the same value."""
    return pa.array(values).cast(pa.string())


def _quoted(texts: pa.StringArray) -> pa.StringArray:
    """Give texts as CSV fields, in quotes where they must be."""
    special = pc.match_substring_regex(texts, _MUST_BE_QUOTED)
    if not pc.any(special).as_py():
        return texts
    doubled = pc.replace_substring(texts, '"', '""')
    return pc.if_else(special, pc.binary_join_element_wise('"', doubled, '"', ""), texts)


def _header(names: Sequence[str], *, num_kept: int) -> bytes:
    return ",".join([*names, *(f"column_{3 + kept}" for kept in range(num_kept))]).encode() + b"\n"


def _lines(columns: Sequence[pa.StringArray]) -> memoryview:
    """Give the CSV lines of some columns; Arrow keeps strings end to end, which is what a file wants."""
    lines = pc.binary_join_element_wise(pc.binary_join_element_wise(*columns, ","), "\n", "")
    return memoryview(lines.buffers()[2])


@contextlib.contextmanager
def _opened_input(source: Path) -> Iterator[Path | IO[bytes]]:
    """Give what to read; standard input goes to a temporary file first, to be read again if something is wrong."""
    if str(source) != "-":
        yield source
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
        yield copy


@contextlib.contextmanager
def _opened_output(output: Path | None) -> Iterator[IO[bytes]]:
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    beside = output.with_name(f".{output.name}.partial")
    try:
        with beside.open("wb") as stream:
            yield stream
        beside.replace(output)
    except OSError as error:
        raise ClientError(f"{output} cannot be written: {error.strerror or error}.") from None
    finally:
        beside.unlink(missing_ok=True)

"""Scoring of files: CSV in, CSV out, a line for a line, in bounded memory."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ipinsights._system import in_order, keep_freed_memory
from ipinsights.data.arrow import number_texts
from ipinsights.data.channels import channel_files
from ipinsights.data.csv_writer import csv_lines, quoted
from ipinsights.data.files import open_output
from ipinsights.data.ipv4 import trim
from ipinsights.data.pairs import read_blocks
from ipinsights.inference.scorers import accepts_ipv6, score_rows, scorer_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ipinsights.data.pairs import Block
    from ipinsights.inference.scorers import Scorer
    from ipinsights.inference.threshold import Threshold

__all__ = ["score_file"]


def score_file(
    scorer: Scorer,
    source: Path,
    output: Path | None,
    *,
    extended: bool = False,
    threshold: Threshold | None = None,
    keep_columns: bool = False,
) -> int:
    """Write entity, address and score of every row of a CSV file, in its order.

    Parameters
    ----------
    scorer
        Scorer of a model. Its name is that of the column of scores: ``dot_product`` or ``history``.
    source
        Headerless CSV, plain or gzip, or a folder of such files; ``-`` is standard input.
    output
        Written beside and renamed when complete; None is standard output.
    extended
        Add ``entity_known`` (did training ever touch the entity's row: true or false) and ``probability`` (sigmoid of
        the score, 0 to 1).
    threshold
        What ``extended`` judges by: ``p_value`` (0 to 1, empty where the entity is unknown) and ``verdict`` are added.
    keep_columns
        Accept further columns and copy them to the end of each line.

    Returns
    -------
    int
        Number of rows.

    Raises
    ------
    ClientError
        A row cannot be read, the output cannot be written, or the threshold was made for another model.
    """
    if threshold is not None:
        threshold.check(scorer)
    keep_freed_memory()
    num_rows = 0
    with _opened_input(source) as given, open_output(output) as stream:
        blocks = _blocks(given, num_columns=None if keep_columns else 2, ipv6=accepts_ipv6(scorer))
        for part in in_order(lambda block: _scored(scorer, block, threshold, extended=extended), blocks):
            if num_rows == 0:
                stream.write(part.header)
            stream.write(part.lines)
            num_rows += part.num_rows
    return num_rows


def _blocks(given: Path | IO[bytes], num_columns: int | None, *, ipv6: bool) -> Iterator[Block]:
    """Yield the rows of a stream, a file, or the files of a folder, which have as many columns as the first one."""
    if not isinstance(given, Path):
        yield from read_blocks(given, name="standard input", num_columns=num_columns, progress=True, ipv6=ipv6)
        return
    for file in channel_files(given):
        for block in read_blocks(file, num_columns=num_columns, progress=True, ipv6=ipv6):
            num_columns = len(block.columns)
            yield block


@dataclass(frozen=True)
class _Part:
    """A block's part of the output, and what the output begins with if it is the first."""

    header: bytes
    lines: memoryview
    num_rows: int


def _scored(scorer: Scorer, block: Block, threshold: Threshold | None, *, extended: bool) -> _Part:
    scores = score_rows(scorer, block)
    columns = {
        "entity": quoted(block.columns[0]),
        "ip": trim(block.columns[1]),
        scorer_name(scorer): number_texts(scores),
    }
    if extended:
        columns.update(_extended(scorer, block, scores, threshold))
    kept = [quoted(column) for column in block.columns[2:]]
    return _Part(_header(list(columns), num_kept=len(kept)), csv_lines([*columns.values(), *kept]), len(block))


def _extended(
    scorer: Scorer, block: Block, scores: NDArray[np.float32], threshold: Threshold | None
) -> dict[str, pa.StringArray]:
    from scipy.special import expit  # np.exp rounds differently from one version of NumPy to the next

    known = scorer.entity_known(block.entities)
    columns = {
        "entity_known": pa.array(known).cast(pa.string()),
        "probability": number_texts(expit(scores.astype(np.float64))),
    }
    if threshold is not None:
        p_values, verdicts = threshold.judge(scores, block, known)
        columns["p_value"] = pc.if_else(known, number_texts(p_values), "")
        columns["verdict"] = pa.array(verdicts, pa.string())
    return columns


def _header(names: Sequence[str], *, num_kept: int) -> bytes:
    return ",".join([*names, *(f"column_{3 + kept}" for kept in range(num_kept))]).encode() + b"\n"


@contextlib.contextmanager
def _opened_input(source: Path) -> Iterator[Path | IO[bytes]]:
    """Give what to read; standard input goes to a temporary file first, to be read again if something is wrong."""
    if str(source) != "-":
        yield source
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
        yield copy

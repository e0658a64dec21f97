"""Scoring of files: CSV in, CSV out, a line for a line, in bounded memory."""

from __future__ import annotations

import contextlib
import csv
import io
import shutil
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ipinsights._system import in_order, keep_freed_memory
from ipinsights.data.arrow import number_texts
from ipinsights.data.bounded_lines import LONGEST_LINE, LONGEST_ROW, whole_lines
from ipinsights.data.channels import channel_files
from ipinsights.data.csv_errors import Source
from ipinsights.data.csv_writer import csv_lines, quoted
from ipinsights.data.files import open_output
from ipinsights.data.ipv4 import trim
from ipinsights.data.live_input import LiveInput
from ipinsights.data.pairs import read_blocks
from ipinsights.errors import ClientError
from ipinsights.inference.scorers import SCORERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from ipinsights.data.pairs import Block
    from ipinsights.inference.scorers import Scorer
    from ipinsights.inference.threshold import Threshold

__all__ = ["score_file"]

_NUMBERS = {*SCORERS, "entity_known", "probability", "p_value"}


def score_file(
    scorer: Scorer,
    source: Path,
    output: Path | None,
    *,
    extended: bool = False,
    threshold: Threshold | None = None,
    keep_columns: bool = False,
    json_lines: bool = False,
    only_suspicious: bool = False,
    kept_names: Sequence[str] = (),
) -> int:
    """Write entity, address and score of every row, in its order, and return the number of rows.

    Parameters
    ----------
    scorer
        Scorer of a model. Its name is that of the column of scores: ``dot_product`` or ``history``.
    source
        Headerless CSV, plain or gzip, or a folder of such files. ``-`` is standard input.
    output
        Replaced when the new file is complete. None is standard output.
    extended
        Add ``entity_known`` (did training ever touch the entity's row: true or false) and ``probability`` (sigmoid of
        the score, 0 to 1).
    threshold
        What ``extended`` judges by: ``p_value`` (0 to 1, empty where the entity is unknown) and ``verdict`` are added.
    keep_columns
        Accept further columns and copy them to the end of each line.
    json_lines
        Write a JSON object a line instead of CSV.
    only_suspicious
        Write only rows whose verdict is ``suspicious``. This needs ``threshold``.
    kept_names
        Names of the further columns. Those without a name are ``column_3`` and so on.
    """
    if threshold is not None:
        threshold.check(scorer)
    keep_freed_memory()
    num_rows = 0
    with _opened_input(source) as given, open_output(output) as stream:
        blocks = _blocks(given, num_columns=None if keep_columns else 2, ipv6=scorer.accepts_ipv6)
        work = partial(
            _scored, scorer, threshold, extended=extended, json_lines=json_lines, only_suspicious=only_suspicious,
            kept_names=kept_names,
        )  # fmt: skip
        # Blocks of a live input come one by one: none waits for the next.
        ordered = map if isinstance(given, LiveInput) else in_order
        for part in ordered(work, blocks):
            if num_rows == 0 and not json_lines:
                stream.write(part.header)
            stream.write(part.lines)
            if isinstance(given, LiveInput):
                stream.flush()
            num_rows += part.num_rows
    return num_rows


def _live_blocks(given: LiveInput, num_columns: int | None, *, ipv6: bool) -> Iterator[Block]:
    """Yield the rows of an input as they come."""
    number, waiting = 1, b""

    def refuse(number: int) -> None:
        raise ClientError(f"standard input:{number}: the line is longer than {LONGEST_LINE:,} bytes.")

    def blocks_of(lines: bytes, first_line: int) -> Iterator[Block]:
        source = Source.stream(io.BytesIO(lines), "standard input", first_line=first_line)
        return read_blocks(source, num_columns=num_columns, ipv6=ipv6)

    for lines in whole_lines(cast("IO[bytes]", given), when_long=refuse):
        waiting += lines
        # A field may continue on the next line. Reading a row that is too long reports it.
        if waiting.count(b'"') % 2 and len(waiting) <= LONGEST_ROW:
            continue
        if waiting.strip():
            for block in blocks_of(waiting, number):
                num_columns = len(block.columns)
                yield block
        number += waiting.count(b"\n")
        waiting = b""
    if waiting or number == 1:
        yield from blocks_of(waiting, number)


def _blocks(given: Path | IO[bytes] | LiveInput, num_columns: int | None, *, ipv6: bool) -> Iterator[Block]:
    """Yield the rows of a stream, a file or a folder, all with as many columns as the first row."""
    if isinstance(given, LiveInput):
        yield from _live_blocks(given, num_columns, ipv6=ipv6)
        return
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


def _scored(
    scorer: Scorer,
    threshold: Threshold | None,
    block: Block,
    *,
    extended: bool,
    json_lines: bool,
    only_suspicious: bool,
    kept_names: Sequence[str],
) -> _Part:
    scores = scorer.score_rows(block)
    columns = {"entity": block.columns[0], "ip": trim(block.columns[1]), scorer.name: number_texts(scores)}
    if extended:
        columns.update(_extended(scorer, block, scores, threshold))
    kept = _further(block, kept_names, columns)
    texts = {**columns, **kept}
    if not json_lines:
        texts.update({name: quoted(texts[name]) for name in ("entity", *kept)})
    if only_suspicious:
        is_suspicious = pc.equal(texts["verdict"], "suspicious")
        texts = {name: column.filter(is_suspicious) for name, column in texts.items()}
    lines = _json_lines(texts) if json_lines else csv_lines([*texts.values()])
    return _Part(_header([*texts]), lines, len(block))


def _further(block: Block, names: Sequence[str], columns: Mapping[str, object]) -> dict[str, pa.StringArray]:
    """Return the further columns of a block by name.

    Names that are taken get an underscore at the end.
    """
    found: dict[str, pa.StringArray] = {}
    for index, column in enumerate(block.columns[2:]):
        name = names[index] if index < len(names) else f"column_{3 + index}"
        while name in columns or name in found:
            name += "_"
        found[name] = column
    return found


def _json_lines(texts: dict[str, pa.StringArray]) -> memoryview:
    """Return rows as objects of JSON. Scores are numbers, and a missing value is null."""
    parts = []
    for name, column in texts.items():
        values = column.to_pylist()
        if name in _NUMBERS:
            parts.append([value or "null" for value in values])
        else:
            parts.append([orjson.dumps(value).decode() for value in values])
    names = [orjson.dumps(name).decode() for name in texts]
    lines = (",".join(map("{}:{}".format, names, row)) for row in zip(*parts, strict=True))
    return memoryview("".join(f"{{{line}}}\n" for line in lines).encode())


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


def _header(names: Sequence[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(names)  # an array of Arrow would load pandas
    return line.getvalue().encode()


@contextlib.contextmanager
def _opened_input(source: Path) -> Iterator[Path | IO[bytes] | LiveInput]:
    """Yield the source to read. A file as standard input is copied, to be read a second time."""
    if str(source) != "-":
        yield source
        return
    live = LiveInput.of_standard_input()
    if live is not None:
        yield live
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
        yield copy

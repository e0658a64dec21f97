"""Embeddings of a list of entities or addresses, as CSV, npz or Parquet."""

from __future__ import annotations

from itertools import count, islice
from typing import IO, TYPE_CHECKING, NoReturn

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from ipinsights.data.bounded_lines import LONGEST_LINE, whole_lines
from ipinsights.data.csv_errors import Source
from ipinsights.data.csv_writer import csv_lines, quoted
from ipinsights.data.entity_hash import hash_entities
from ipinsights.data.files import open_output
from ipinsights.data.ipv4 import BLANKS, explain_ip, parse_ips
from ipinsights.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ipinsights.inference.predictor import Predictor

__all__ = ["export_embeddings"]

_BLOCK_NUMBERS = 2**21


def export_embeddings(predictor: Predictor, source: Path, output: Path, *, ips: bool) -> int:
    """Write the embedding of each line of a list, in its order, and return the number of lines.

    The list is a text file, plain or gzip, with an entity or an address (``ips``) on each line. Blank lines are
    ignored. The output ends in ``.csv`` (a column for each dimension), ``.npz`` or ``.parquet`` (``embedding`` is one
    array or column of vectors). Entities have a column ``entity_known``: whether training updated their row.
    """
    write = _WRITERS.get(output.suffix.lower())
    if write is None:
        raise ClientError(f"{output} must end in {', '.join(_WRITERS)}: that is how its format is chosen.")
    with Source.file(source).open() as lines, open_output(output) as stream:
        return write(_tables(predictor, source, lines, ips=ips), stream)


def _tables(predictor: Predictor, source: Path, lines: IO[bytes], *, ips: bool) -> Iterator[pa.Table]:
    """Yield tables of names and embeddings, block by block."""
    found = False
    for block in _blocks(source, lines, max(1, _BLOCK_NUMBERS // predictor.hyperparameters.vector_dim)):
        found = True
        texts = [_text(source, number, line) for number, line in block]
        yield _ip_table(predictor, source, block, texts) if ips else _entity_table(predictor, texts)
    if not found:
        raise ClientError(f"{source} holds no line: give it one {'address' if ips else 'entity'} a line.")


def _blocks(source: Path, stream: IO[bytes], size: int) -> Iterator[list[tuple[int, bytes]]]:
    """Yield blocks of non-blank lines with their numbers, at most ``size`` lines each.

    A block has a few megabytes at most.
    """

    def refuse(number: int) -> NoReturn:
        raise ClientError(f"{source}:{number}: the line is longer than {LONGEST_LINE:,} bytes.")

    numbers = count(1)
    for text in whole_lines(stream, when_long=refuse):
        # Lines first: where they end, no number is taken.
        lines = zip(text.removesuffix(b"\n").split(b"\n"), numbers, strict=False)
        filled = ((number, line.strip(b"\r")) for line, number in lines if line.strip())
        while block := list(islice(filled, size)):
            yield block


def _text(source: Path, number: int, line: bytes) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError:
        raise ClientError(f"{source}:{number}: it is not UTF-8 text.") from None


def _entity_table(predictor: Predictor, texts: list[str]) -> pa.Table:
    entities = hash_entities(texts)
    known, embeddings = predictor.entity_known(entities), _vectors(predictor.entity_embeddings(entities))
    return pa.table({"entity": pa.array(texts, pa.string()), "entity_known": known, "embedding": embeddings})


def _ip_table(predictor: Predictor, source: Path, block: list[tuple[int, bytes]], texts: list[str]) -> pa.Table:
    column = pa.array([text.strip(BLANKS) for text in texts], pa.string())
    ips, valid = parse_ips(column)
    if not valid.all():
        first = int(np.argmin(valid))
        text = texts[first]
        raise ClientError(f"{source}:{block[first][0]}: {text!r} is no IPv4 address: {explain_ip(text)}.")
    return pa.table({"ip": column, "embedding": _vectors(predictor.ip_embeddings(ips))})


def _vectors(embeddings: np.ndarray[tuple[int, int], np.dtype[np.float32]]) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(embeddings.ravel()), embeddings.shape[1])


def _write_csv(tables: Iterator[pa.Table], stream: IO[bytes]) -> int:
    num_rows = 0
    for table in tables:
        *names, _ = table.column_names
        vectors = table["embedding"].combine_chunks()
        columns = vectors.flatten().to_numpy().reshape(len(table), -1).T
        if num_rows == 0:
            stream.write(",".join([*names, *(f"dim_{index}" for index in range(len(columns)))]).encode() + b"\n")
        texts = [quoted(table[name].combine_chunks().cast(pa.string())) for name in names]
        stream.write(csv_lines([*texts, *(pa.array(column).cast(pa.string()) for column in columns)]))
        num_rows += len(table)
    return num_rows


def _write_npz(tables: Iterator[pa.Table], stream: IO[bytes]) -> int:
    table = pa.concat_tables(tables)
    arrays = {name: table[name].to_numpy() for name in table.column_names[:-1]}
    # Text of a fixed width, which can be read without unpickling.
    arrays = {name: array.astype(str) if array.dtype == object else array for name, array in arrays.items()}
    flat = table["embedding"].combine_chunks().flatten().to_numpy()
    np.savez(stream, **arrays, embedding=flat.reshape(len(table), -1))
    return len(table)


def _write_parquet(tables: Iterator[pa.Table], stream: IO[bytes]) -> int:
    first = next(tables)
    num_rows = len(first)
    with parquet.ParquetWriter(stream, first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)
            num_rows += len(table)
    return num_rows


_WRITERS = {".csv": _write_csv, ".npz": _write_npz, ".parquet": _write_parquet}

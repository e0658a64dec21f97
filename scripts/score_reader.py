"""Files of scores and of labels."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
import orjson
import pandas as pd

from ipinsights.data.bounded_lines import LONGEST_LINE, WholeLines
from ipinsights.data.files import peekable
from ipinsights.data.input_streams import opened
from ipinsights.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Labels", "Scores", "read_labels", "read_scores"]

_SCORE = "dot_product"
_BLANKS = re.compile(r"\s*")
# Bytes of a JSON document, whose objects take some eight times as much. A million predictions have 35 million bytes.
_LONGEST_DOCUMENT = 2**26


@dataclass(frozen=True)
class Scores:
    """Scores in the order of their input.

    Attributes
    ----------
    name
        Where they were read.
    dot_products
        Shape (n,), all finite.
    pairs
        Columns ``entity`` and ``ip`` as text, n rows. None where the file does not hold them.
    """

    name: str
    dot_products: NDArray[np.float64]
    pairs: pd.DataFrame | None = None


@dataclass(frozen=True)
class Labels:
    """Which pairs are attacks, shape (n,), and the pairs themselves where the file holds them."""

    is_attack: NDArray[np.bool_]
    pairs: pd.DataFrame | None = None


def read_scores(path: Path) -> Scores:
    """Read SageMaker's JSON Lines (``.out``) or JSON predictions, or our CSV, plain or gzip.

    Raises
    ------
    ClientError
        The file cannot be read, or holds something else than finite scores.
    """
    with opened(path) as stream:
        buffered = peekable(stream)
        begins_like_json = buffered.peek(16).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in {b"{", b"["}
        text = _lines(buffered, path, longest=_LONGEST_DOCUMENT if begins_like_json else LONGEST_LINE)
        pairs, values = (None, _json_scores(text, path)) if begins_like_json else _csv_scores(text, path)
    if len(values) == 0:
        raise ClientError(f"{path} holds no scores.")
    return Scores(str(path), values, pairs)


def _lines(stream: IO[bytes], path: Path, *, longest: int) -> IO[str]:
    """Return the text of a stream.

    A line of more than ``longest`` bytes raises an error.
    """

    def refuse(number: int) -> None:
        raise ClientError(f"{path}:{number}: the line is longer than {longest:,} bytes.")

    lines = WholeLines(stream, longest=longest, when_long=refuse, has_rows=False)
    return io.TextIOWrapper(cast("IO[bytes]", lines), encoding="utf-8-sig", errors="replace")


def _json_scores(stream: IO[str], path: Path) -> NDArray[np.float64]:
    values: list[float] = []
    for document in _documents(stream, path):
        predictions = document.get("predictions", [document]) if isinstance(document, dict) else document
        try:
            values += [float(prediction[_SCORE]) for prediction in predictions]
        except (TypeError, KeyError, ValueError):
            raise ClientError(
                f"{path}, after {len(values):,} scores: every prediction must be an object with a number '{_SCORE}'."
            ) from None
    return _finite(pd.Series(values, dtype=object), path)


def _documents(stream: IO[str], path: Path) -> Iterator[Any]:
    """Yield JSON documents, one per line or concatenated in any layout."""
    for line in stream:
        if not line.strip():
            continue
        try:
            yield orjson.loads(line)
        except orjson.JSONDecodeError:
            text = line + stream.read(_LONGEST_DOCUMENT)
            if stream.read(1):
                raise ClientError(
                    f"{path} cannot be read: JSON over several lines may have at most {_LONGEST_DOCUMENT:,} bytes. "
                    "Write a document a line."
                ) from None
            yield from _consecutive(text, path)


def _consecutive(text: str, path: Path) -> Iterator[Any]:
    decoder, place = json.JSONDecoder(), 0
    while place < len(text):
        try:
            document, place = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            raise ClientError(f"{path} is no JSON: {error}.") from None
        yield document
        place = cast("re.Match[str]", _BLANKS.match(text, place)).end()


def _csv_scores(stream: IO[str], path: Path) -> tuple[pd.DataFrame | None, NDArray[np.float64]]:
    try:
        table = pd.read_csv(stream, dtype=str, keep_default_na=False)
    except ValueError as error:  # pandas' errors of parsing are such
        raise ClientError(f"{path} is neither JSON nor CSV: {str(error).strip()}.") from None
    if _SCORE not in table:
        raise ClientError(
            f"{path} has no column '{_SCORE}': scores are SageMaker's .out files, its JSON, or what `ipinsights score` "
            "writes."
        )
    values = _finite(table[_SCORE], path)
    return table[["entity", "ip"]] if {"entity", "ip"} <= set(table) else None, values


def _finite(scores: pd.Series[Any], path: Path) -> NDArray[np.float64]:
    values = pd.to_numeric(scores, errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise ClientError(f"{path}, score {bad[0] + 1}: a score must be a finite number, not '{scores.iloc[bad[0]]}'.")
    return values


def read_labels(path: Path) -> Labels:
    """Read a label per row from the last column of a CSV file without header.

    A label is 1 for an attack and 0 for a normal event.

    Raises
    ------
    ClientError
        The file cannot be read, a label is another, or there is only one kind.
    """
    try:
        with opened(path) as stream:
            text = _lines(stream, path, longest=LONGEST_LINE)
            table = pd.read_csv(text, header=None, dtype=str, keep_default_na=False)
    except ValueError as error:
        raise ClientError(f"{path} is no CSV: {str(error).strip()}.") from None
    texts = table.iloc[:, -1].str.strip()
    bad = np.flatnonzero(~texts.isin(["0", "1"]))
    if len(bad):
        raise ClientError(
            f"{path}, row {bad[0] + 1}: a label must be 0 (normal) or 1 (attack), not '{texts.iloc[bad[0]]}'. "
            "The label is the last column, and there is no header."
        )
    is_attack = (texts == "1").to_numpy(np.bool_)
    if is_attack.all() or not is_attack.any():
        raise ClientError(f"{path} must hold both labels, 0 (normal) and 1 (attack).")
    pairs = table.iloc[:, :2].set_axis(["entity", "ip"], axis=1) if table.shape[1] > 2 else None  # noqa: PLR2004
    return Labels(is_attack, pairs)

"""Encoding of scores to response bodies, byte for byte as the original.

The original's JSON is that of Python's ``json.dumps``: float32 values as doubles, ``", "`` and ``": "`` between them.
Its JSON Lines are the same without the blanks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from ipinsights.serving.media_types import JSON, JSON_LINES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from ipinsights.data.pairs import Pairs
    from ipinsights.inference.scorers import Scorer
    from ipinsights.inference.threshold import Threshold
    from ipinsights.serving.media_types import ResponseFormat

__all__ = ["encode", "encode_columns"]

# Numbers of text made at a time: some tens of megabytes.
_BLOCK_NUMBERS = 2**19
# Up to here, one record after the other is faster than a column at a time.
_FEW_NUMBERS = 20
# From here on orjson's shortest text of a double is also Python's, which writes smaller ones with an exponent.
_PLAIN_FROM = 1e-4


@dataclass(frozen=True)
class _Style:
    """The characters around the records, and what gives a record's own."""

    head: str
    between: str
    tail: str
    colon: str
    comma: str
    encoder: json.JSONEncoder


_STYLES = {
    JSON: _Style('{"predictions": [', ", ", "]}", colon=": ", comma=", ", encoder=json.JSONEncoder()),
    JSON_LINES: _Style("", "\n", "\n", colon=":", comma=",", encoder=json.JSONEncoder(separators=(",", ":"))),
}


def encode(
    scorer: Scorer, pairs: Pairs, wanted: ResponseFormat, *, threshold: Threshold | None = None
) -> Iterator[bytes]:
    """Score pairs, at least one, and return the body of the answer in pieces, in bounded memory.

    The name of the scorer is the key of the scores. An extended answer has ``p_value`` and ``verdict`` if there is a
    threshold. A score that is not a number raises an error before the first piece.
    """
    scores = scorer.score_rows(pairs)
    if len(scores) <= _FEW_NUMBERS and not (wanted.verbose or wanted.extended):
        return iter([_few_scores(scorer.name, scores, _STYLES[wanted.media_type])])
    step = max(1, _BLOCK_NUMBERS // (scorer.predictor.hyperparameters.vector_dim if wanted.verbose else 1))
    parts = (slice(start, start + step) for start in range(0, len(pairs), step))
    blocks = (_columns(scorer, pairs[part], scores[part], wanted, threshold) for part in parts)
    return encode_columns(blocks, wanted.media_type)


def encode_columns(blocks: Iterable[Mapping[str, NDArray[Any]]], media_type: str) -> Iterator[bytes]:
    """Yield the body that holds records, block by block.

    Columns are in the order of the keys: numbers or booleans (n,), lists of numbers (n, d), or objects (n,).
    """
    style = _STYLES[media_type]
    before = style.head
    for columns in blocks:
        records = _few_records if sum(values.size for values in columns.values()) <= _FEW_NUMBERS else _many_records
        yield before.encode() + records(columns, style)
        before = style.between
    yield style.tail.encode()


def _columns(
    scorer: Scorer, pairs: Pairs, scores: NDArray[np.float32], wanted: ResponseFormat, threshold: Threshold | None
) -> dict[str, NDArray[Any]]:
    columns: dict[str, NDArray[Any]] = {scorer.name: scores}
    if wanted.verbose:
        columns["ip_embedding"] = scorer.predictor.ip_embeddings(pairs.ips)
        columns["entity_embedding"] = scorer.predictor.entity_embeddings(pairs.entities)
    if wanted.extended:
        from scipy.special import expit

        known = columns["entity_known"] = scorer.entity_known(pairs.entities)
        columns["probability"] = expit(scores.astype(np.float64))
        if threshold is not None:
            p_values, verdicts = threshold.judge(scores, pairs, known)
            # Whose entity is unknown has a score that means nothing.
            columns["p_value"] = p_values.astype(object)
            columns["p_value"][~known] = None
            columns["verdict"] = verdicts
    return columns


def _few_scores(key: str, scores: NDArray[np.float32], style: _Style) -> bytes:
    """Return the body that holds scores (n,) and nothing else, as the original writes it."""
    records = style.between.join([f'{{"{key}"{style.colon}{score!r}}}' for score in scores.tolist()])
    return f"{style.head}{records}{style.tail}".encode()


def _few_records(columns: Mapping[str, NDArray[Any]], style: _Style) -> bytes:
    """Return records as JSON, one after the other, as the original does."""
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    return style.between.join(
        map(style.encoder.encode, (dict(zip(columns, row, strict=True)) for row in rows))
    ).encode()


def _many_records(columns: Mapping[str, NDArray[Any]], style: _Style) -> bytes:
    """Return the same bytes for many records, with all records encoded at once."""
    openings = [f'{style.comma}"{key}"{style.colon}'.encode() for key in columns]
    openings[0] = b"{" + openings[0][len(style.comma) :]
    if len(columns) == 1:
        (scores,) = columns.values()
        between = b"}%b%b" % (style.between.encode(), openings[0])
        return b"%b%b}" % (openings[0], _numbers(scores, between)[1:-1])
    texts = chain.from_iterable(
        (repeat(opening), _texts(columns[key], style)) for opening, key in zip(openings, columns, strict=True)
    )
    return style.between.encode().join(map(b"".join, zip(*texts, repeat(b"}"))))


def _texts(values: NDArray[Any], style: _Style) -> list[bytes]:
    """Return the values of a column as JSON texts."""
    comma = style.comma.encode()
    if values.ndim == 2:  # noqa: PLR2004
        return [b"[%b]" % row for row in _numbers(values, comma)[2:-2].split(b"]%b[" % comma)]
    if values.dtype.kind == "f":
        return _numbers(values, comma)[1:-1].split(comma)
    return [json.dumps(value).encode() for value in values.tolist()]


def _numbers(values: NDArray[Any], comma: bytes) -> bytes:
    """Return numbers (n,) or (n, d) as JSON, with Python's ``repr`` like ``json.dumps``."""
    doubles = values.astype(np.float64, order="C")
    differs = (np.abs(doubles) < _PLAIN_FROM) & (doubles != 0)
    texts = [repr(value).encode() for value in doubles[differs].tolist()]
    doubles[differs] = np.nan
    # There orjson writes null.
    rest = orjson.dumps(doubles, option=orjson.OPT_SERIALIZE_NUMPY).replace(b",", comma).split(b"null")
    return b"".join(chain.from_iterable(zip(rest, [*texts, b""], strict=True)))

"""Scores to bodies of answers, byte for byte as the original writes them, a column of text at a time.

The original's JSON is that of Python's ``json.dumps``: float32 values as doubles, ``", "`` and ``": "`` between them.
Its JSON Lines are the same without the blanks.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import expit

from ipinsights.data import Pairs
from ipinsights.errors import AlgorithmError
from ipinsights.sagemaker.formats import JSON, JSON_LINES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from ipinsights.predictor import Predictor
    from ipinsights.sagemaker.formats import ResponseFormat
    from ipinsights.thresholds import Threshold

__all__ = ["encode", "encode_columns"]

# Numbers of text made at a time: some tens of megabytes.
_BLOCK_NUMBERS = 2**19
# Up to here, one record after the other is faster than a column at a time.
_FEW_NUMBERS = 20
# Where Arrow's shortest text of a double is also Python's.
_PLAIN_FROM, _PLAIN_BELOW = 1e-4, 1e10


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
    predictor: Predictor, pairs: Pairs, wanted: ResponseFormat, *, threshold: Threshold | None = None
) -> Iterator[bytes]:
    """Score pairs and give the body of the answer piece by piece, so that a large one is never in memory as a whole.

    Parameters
    ----------
    predictor
        What scores.
    pairs
        At least one.
    wanted
        What the body looks like.
    threshold
        Tells ``p_value`` and ``verdict`` in an extended answer.

    Raises
    ------
    AlgorithmError
        A score is no number; raised before the first piece.
    """
    scores = predictor.score(pairs.entities, pairs.ips)
    if not np.isfinite(scores).all():
        raise AlgorithmError("The model gives scores that are no numbers: train it anew with a lower learning_rate.")
    step = max(1, _BLOCK_NUMBERS // (predictor.hyperparameters.vector_dim if wanted.verbose else 1))
    parts = (slice(start, start + step) for start in range(0, len(pairs), step))
    blocks = (
        _columns(predictor, Pairs(pairs.entities[part], pairs.ips[part]), scores[part], wanted, threshold)
        for part in parts
    )
    return encode_columns(blocks, wanted.media_type)


def encode_columns(blocks: Iterable[Mapping[str, NDArray[Any]]], media_type: str) -> Iterator[bytes]:
    """Give the body that holds records, block by block.

    Parameters
    ----------
    blocks
        Columns by key, in the order of the keys: numbers or booleans (n,), lists of numbers (n, d), or objects (n,).
    media_type
        ``application/json`` or ``application/jsonlines``.
    """
    style = _STYLES[media_type]
    before = style.head
    for columns in blocks:
        records = _few_records if sum(values.size for values in columns.values()) <= _FEW_NUMBERS else _many_records
        yield before.encode() + records(columns, style)
        before = style.between
    yield style.tail.encode()


def _columns(
    predictor: Predictor,
    pairs: Pairs,
    scores: NDArray[np.float32],
    wanted: ResponseFormat,
    threshold: Threshold | None,
) -> dict[str, NDArray[Any]]:
    columns: dict[str, NDArray[Any]] = {"dot_product": scores}
    if wanted.verbose:
        columns["ip_embedding"] = predictor.ip_embeddings(pairs.ips)
        columns["entity_embedding"] = predictor.entity_embeddings(pairs.entities)
    if wanted.extended:
        known = columns["entity_known"] = predictor.entity_known(pairs.entities)
        columns["probability"] = expit(scores.astype(np.float64))
        if threshold is not None:
            p_values, verdicts = threshold.judge(scores, pairs.ips, known)
            # Whose entity is unknown has a score that means nothing.
            columns["p_value"] = p_values.astype(object)
            columns["p_value"][~known] = None
            columns["verdict"] = verdicts
    return columns


def _few_records(columns: Mapping[str, NDArray[Any]], style: _Style) -> bytes:
    """Give records as the original does, one after the other."""
    rows = zip(*(values.tolist() for values in columns.values()))
    return style.between.join(map(style.encoder.encode, (dict(zip(columns, row)) for row in rows))).encode()


def _many_records(columns: Mapping[str, NDArray[Any]], style: _Style) -> bytes:
    """Give the same, a column at a time."""
    fields: list[Any] = []
    before = f"{style.between}{{"
    for key, values in columns.items():
        fields += [f'{before}"{key}"{style.colon}', _texts(values, style)]
        before = style.comma
    # Arrow keeps strings end to end.
    content = memoryview(pc.binary_join_element_wise(*fields, "}", "").buffers()[2])
    return bytes(content[len(style.between) :])


def _texts(values: NDArray[Any], style: _Style) -> pa.StringArray:
    """Give a column as JSON."""
    if values.ndim == 2:  # noqa: PLR2004
        ends = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
        lists = pa.ListArray.from_arrays(pa.array(ends), _number_texts(values.ravel()))
        return pc.binary_join_element_wise("[", pc.binary_join(lists, style.comma), "]", "")
    if values.dtype == object:
        return pa.array(map(json.dumps, values.tolist()), pa.string())
    if values.dtype == bool:
        return pa.array(values).cast(pa.string())
    return _number_texts(values)


def _number_texts(values: NDArray[Any]) -> pa.StringArray:
    """Give numbers (n,) as Python's ``repr`` does, which is what ``json.dumps`` writes."""
    doubles = values.astype(np.float64)
    texts = pa.array(doubles).cast(pa.string())
    size = np.abs(doubles)
    differs = (size < _PLAIN_FROM) | (size >= _PLAIN_BELOW) | (doubles == np.trunc(doubles))
    if not differs.any():
        return texts
    return pc.replace_with_mask(texts, pa.array(differs), pa.array(map(repr, doubles[differs].tolist()), pa.string()))

"""Scoring of columns for engines such as Spark, Dask, Ray and DuckDB."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.data.arrow import float_column
from ipinsights.data.pair_columns import pair_blocks, refuse_rows
from ipinsights.errors import InvalidValueError
from ipinsights.inference.loaded_models import load_model
from ipinsights.inference.scorers import DOT_PRODUCT, as_scorer

if TYPE_CHECKING:
    import pyarrow as pa


__all__ = ["score_arrow"]

_ERRORS = ("raise", "null")


def score_arrow(
    model: Any, entities: Any, ips: Any, *, errors: str = "raise", scorer: str = DOT_PRODUCT
) -> pa.FloatArray:
    """Return the score of each pair of two columns as a column of Arrow. Higher is more normal.

    The scores are those of ``ipinsights score``, to the bit. No threads are started, and nothing is logged. Several
    threads may call at once. Neither scikit-learn nor MXNet is imported.

    Parameters
    ----------
    model
        Path of a model, or a fitted :class:`~ipinsights.IPInsights`. A process keeps the last few models that it
        loaded, so a path costs next to nothing from the second call on.
    entities, ips
        Columns of Arrow, Series or arrays, of texts or integers, shape (n,): nulls, chunks, dictionaries, large texts
        and text views are taken. IPv6 addresses are valid for a history that knows them.
    errors
        ``raise`` refuses invalid rows. ``null`` scores them as null.
    scorer
        Scorer of a path: ``dot_product`` or ``history``. A fitted model has its own.

    Returns
    -------
    pyarrow.FloatArray
        Scores, shape (n,).

    Raises
    ------
    InvalidValueError
        The columns do not fit together, or ``errors`` is unknown. :class:`~ipinsights.RowsError` names the first five
        invalid rows.
    ClientError
        There is no model at the path, or the model cannot be used.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from ipinsights import IPInsights, score_arrow
    >>> model = IPInsights(vector_dim=8, progress=False).fit([("alice", "192.0.2.1"), ("bob", "203.0.113.9")])
    >>> scores = score_arrow(model, pa.array(["alice", None]), pa.array(["192.0.2.1", "192.0.2.1"]), errors="null")
    >>> scores.type, scores.is_null().to_pylist()
    (DataType(float), [False, True])
    """
    if errors not in _ERRORS:
        raise InvalidValueError(f"errors must be 'raise' or 'null'. Got {errors!r}.")
    chosen = load_model(Path(model), scorer).scorer(scorer) if isinstance(model, (str, Path)) else as_scorer(model)
    size, ipv6 = len(entities), chosen.accepts_ipv6
    scores, is_valid = np.zeros(size, dtype=np.float32), np.ones(size, dtype=bool)
    for block in pair_blocks(entities, ips, ipv6=ipv6):
        is_valid[block.part] = block.is_valid
        if block.is_valid.all():
            scores[block.part] = chosen.score_rows(block.pairs)
        elif errors == "null" and block.is_valid.any():
            scores[block.part][block.is_valid] = chosen.score_rows(block.pairs[block.is_valid])
    if errors == "raise":
        refuse_rows((entities, ips), None, "the columns", np.flatnonzero(~is_valid).tolist(), ipv6=ipv6)
    return float_column(scores, is_valid)

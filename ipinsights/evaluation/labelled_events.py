"""Test events with optional labels: 1 for a known attack, 0 for an ordinary event."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from ipinsights.data.arrow import mask
from ipinsights.data.both_families import split_families
from ipinsights.data.channels import channel_files
from ipinsights.data.frames import read_rows
from ipinsights.data.pairs import Pairs, read_blocks
from ipinsights.data.remote import staged
from ipinsights.errors import ClientError, InvalidValueError
from ipinsights.evaluation.results import TestSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from ipinsights.data.pairs import Block

    LabelledBlock = tuple[Block, NDArray[np.bool_]]

__all__ = ["as_test_set", "join_blocks", "read_labelled_blocks"]

_LABEL_OR_TIME = r"^(?:[01]|\d{4}-\d{2}-\d{2}T\S*)$"
_LABEL = "label"
# Columns of rows with labels.
_WIDTH = 3


def as_test_set(test: Any, *, ipv6: bool = False) -> TestSet:
    """Return ordinary events and attacks of a DataFrame, a list or a path.

    A third column, or a column ``label`` of a DataFrame, holds 0 or 1.
    """
    if isinstance(test, TestSet):
        return test
    if isinstance(test, (str, os.PathLike)):
        with staged(test) as path:
            return join_blocks(read_labelled_blocks(path, ipv6=ipv6), path)
    rows, labels = _split_labels(test)
    pairs = read_rows(rows, name="test", ipv6=ipv6).pairs
    if labels is None:
        return TestSet(*split_families(pairs))
    texts = [str(label.item() if hasattr(label, "item") else label) for label in labels]
    wrong = next((at for at, text in enumerate(texts) if text not in ("0", "1", "False", "True")), None)
    if wrong is not None:
        raise InvalidValueError(
            f"The label in row {wrong} of test must be 0, or 1 for an attack. Got {list(labels)[wrong]!r}."
        )
    return _by_family(pairs, np.array([text in ("1", "True") for text in texts], dtype=bool), "test")


def _split_labels(test: Any) -> tuple[Any, Any]:
    """Return rows of two columns, and their labels or None."""
    if hasattr(test, "columns") and hasattr(test, "iloc"):
        if _LABEL in test.columns:
            return test.drop(columns=_LABEL), test[_LABEL]
        if test.shape[1] == _WIDTH and not {"entity", "ip"} <= set(test.columns):
            return test.iloc[:, :2], test.iloc[:, 2]
        return test, None
    if isinstance(test, np.ndarray) and test.ndim == 2 and test.shape[1] == _WIDTH:  # noqa: PLR2004
        return test[:, :2], test[:, 2]
    if isinstance(test, list) and test and all(isinstance(row, (list, tuple)) and len(row) == _WIDTH for row in test):
        return [row[:2] for row in test], [row[2] for row in test]
    return test, None


def join_blocks(parts: Iterable[LabelledBlock], source: object) -> TestSet:
    """Return the events of :func:`read_labelled_blocks`. ``source`` names them in messages."""
    parts = list(parts)
    is_attack = np.concatenate([np.zeros(0, dtype=bool), *(attack for _, attack in parts)])
    return _by_family(Pairs.joined([block for block, _ in parts]), is_attack, source)


def read_labelled_blocks(path: Path, *, ipv6: bool = False) -> Iterator[LabelledBlock]:
    """Yield blocks of rows with their text, and a mask of attacks (n,).

    Rows of a CSV file or folder are ``entity,ip``, or have a third column: a label, 1 for an attack, or a time
    (ISO 8601).
    """
    for file in channel_files(path):
        first_row = 1
        for block in read_blocks(file, num_columns=None, progress=True, ipv6=ipv6):
            yield block, _is_attack(block, file, first_row)
            first_row += len(block)


def _by_family(pairs: Pairs, is_attack: NDArray[np.bool_], source: object) -> TestSet:
    """Return attacks and ordinary events of each address family."""
    if is_attack.all():
        raise ClientError(
            f"{source} holds no ordinary events: give rows of entity,ip, or of entity,ip,label with label 0."
        )
    return TestSet(*split_families(pairs[~is_attack]), *split_families(pairs[is_attack]))


def _is_attack(block: Block, file: Path, first_row: int) -> NDArray[np.bool_]:
    if len(block.columns) == 2:  # noqa: PLR2004 - no labels
        return np.zeros(len(block), dtype=bool)
    if len(block.columns) > 3:  # noqa: PLR2004
        raise ClientError(f"{file} has {len(block.columns)} columns: a test has entity,ip or entity,ip,label.")
    wrong = np.flatnonzero(~mask(pc.match_substring_regex(block.columns[2], _LABEL_OR_TIME)))
    if len(wrong):
        raise ClientError(
            f"{file}: the label of row {first_row + wrong[0]} must be 0, or 1 for an attack. "
            f"Got '{block.columns[2][int(wrong[0])]}'."
        )
    return mask(pc.equal(block.columns[2], "1"))

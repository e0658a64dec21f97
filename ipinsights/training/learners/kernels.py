"""Compiled loops of a training step on a CPU.

Each loop is a formula of ``docs/explanation/performance.md``.

All arrays are C-contiguous, and outputs are written in place. ``table`` has what each octet value of the batch adds to
an embedding, and ``index`` the row of it for each of the 1,024 rows of the octet table. An entity is three rows of
``entities``: its vector, and the running means of the gradient and of its square.

Every sum has one order, so results depend neither on threads nor on the number of cores. Import this module by
:func:`ipinsights.training.learners.compilation.load_kernels`, which sees to the cache.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

__all__ = ["KERNELS", "adam", "embed", "find_octets", "group", "learn", "learn_embedded", "spread"]

# Sums may be reassociated when they are compiled. Infinities and NaN are kept, because a run that diverges shows them.
_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "arcp", "nsz"},
}
_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)
# MXNet's defaults, which are those of Kingma and Ba.
_BETA1, _BETA2, _EPSILON = np.float32(0.9), np.float32(0.999), np.float32(1e-8)
_REST1, _REST2 = np.float32(1 - 0.9), np.float32(1 - 0.999)

_INTS, _FLOATS, _MATRIX = "int32[::1]", "float32[::1]", "float32[:, ::1]"
_GROUPS = f"{_INTS}, {_INTS}, {_INTS}"


@njit(inline="always", **{**_OPTIONS, "cache": False})
def _octet_row(ip: Any, place: int) -> Any:
    """Return the row of the octet table for one octet of an address."""
    return np.uint32(256 * place) + ((ip >> np.uint32(24 - 8 * place)) & np.uint32(255))


@njit(inline="always", **{**_OPTIONS, "cache": False})
def _error(score: Any, label: Any) -> Any:
    """Return sigmoid(score) - label, without the cancellation for a pair that is fitted well."""
    sign = _ONE - _TWO * label
    return sign / (_ONE + math.exp(-sign * score))


@njit(inline="always", **{**_OPTIONS, "cache": False})
def _adam(values: Any, means: Any, variances: Any, gradients: Any, rate: Any, decay: Any) -> None:
    """Take Adam's step on one row of numbers, (width,) each."""
    for j in range(len(values)):
        gradient = gradients[j] + decay * values[j]
        mean = _BETA1 * means[j] + _REST1 * gradient
        variance = _BETA2 * variances[j] + _REST2 * gradient * gradient
        values[j] -= rate * mean / (np.sqrt(variance) + _EPSILON)
        means[j] = mean
        variances[j] = variance


@njit(f"void({_FLOATS}, {_FLOATS}, {_FLOATS}, {_FLOATS}, float32, float32)", **_OPTIONS)
def adam(values: Any, means: Any, variances: Any, gradients: Any, rate: Any, decay: Any) -> None:
    """Take a dense step of Adam, with weight decay as L2, on numbers (n,) and their moments.

    Source: MXNet 1.9.1, ``adam_update`` (``src/operator/optimizer_op-inl.h``). The bias correction is in the rate.
    """
    _adam(values, means, variances, gradients, rate, decay)


@njit(f"int64({_INTS}, {_INTS}, {_GROUPS}, {_INTS})", **_OPTIONS)
def group(rows: Any, numbers: Any, order: Any, distinct: Any, starts: Any, bounds: Any) -> Any:
    """Order the records of a batch by entity, and return the number of distinct entities.

    Parameters
    ----------
    rows
        Row of the entity table of each record, (batch,).
    numbers
        Scratch memory, -1 for every entity, and again afterwards, (num_entity_vectors,).
    order
        Output: records by entity, (batch,).
    distinct, starts
        Output: entities in the order of their first records, and where the records of each begin in `order`.
    bounds
        Output: the first distinct entity of each piece, (pieces + 1,). Pieces have about equally many records.
    """
    num_distinct = 0
    for row in rows:
        if numbers[row] < 0:
            numbers[row] = num_distinct
            distinct[num_distinct] = row
            starts[num_distinct + 1] = 0
            num_distinct += 1
        starts[numbers[row] + 1] += 1
    starts[0] = 0
    num_pieces = len(bounds) - 1
    piece = 0
    for c in range(num_distinct):
        while piece < num_pieces and starts[c] * num_pieces >= piece * len(rows):
            bounds[piece] = c
            piece += 1
        starts[c + 1] += starts[c]
        numbers[distinct[c]] = starts[c]
    bounds[piece:] = num_distinct
    for i in range(len(rows)):
        order[numbers[rows[i]]] = i
        numbers[rows[i]] += 1
    for c in range(num_distinct):
        numbers[distinct[c]] = -1
    return num_distinct


@njit(f"void(uint32[::1], {_MATRIX}, boolean, {_INTS}, {_INTS}, {_INTS}, {_MATRIX})", **_OPTIONS)
def find_octets(ips: Any, octets: Any, has_layer: Any, index: Any, used: Any, bounds: Any, inputs: Any) -> None:
    """Find the octet values that occur in a batch, and take out their embeddings.

    Parameters
    ----------
    ips
        Addresses, (batch,).
    octets
        Octet table, (1024, width).
    has_layer
        Whether a relu follows.
    index
        Output: number of each row of the octet table among those that occur, -1 for the others, (1024,).
    used, bounds
        Output: rows that occur, ascending, and where those of each place begin among them, (5,).
    inputs
        Output: embeddings of the rows that occur, behind the relu, (1024, width).
    """
    index[:] = -1
    for ip in ips:
        for place in range(4):
            index[_octet_row(ip, place)] = 0
    num_used = 0
    for row in range(len(index)):
        if row % 256 == 0:
            bounds[row // 256] = num_used
        if index[row] < 0:
            continue
        for j in range(octets.shape[1]):
            inputs[num_used, j] = max(octets[row, j], _ZERO) if has_layer else octets[row, j]
        index[row] = num_used
        used[num_used] = row
        num_used += 1
    bounds[4] = num_used


@njit(
    f"void(int64, int64, {_GROUPS}, uint32[::1], {_FLOATS}, {_INTS}, {_MATRIX}, float32[:, :, ::1], float32, {_MATRIX},"
    f" {_FLOATS})",
    **_OPTIONS,
)
def learn(
    first: int, last: int, order: Any, distinct: Any, starts: Any, ips: Any, labels: Any, index: Any, table: Any,
    entities: Any, rate: Any, table_gradient: Any, scores: Any,
) -> None:  # fmt: skip
    """Score the records of some entities, update the entities, and sum the table's gradient.

    Parameters
    ----------
    first, last
        The part of the distinct entities.
    order, distinct, starts
        Records by entity, see :func:`group`.
    ips, labels
        Address and label of each record, (batch,).
    index, table
        Sums of four rows of the table are embeddings of addresses.
    entities
        Entity table with its moments, (num_entity_vectors, 3, dim).
    rate
        Adam's rate for this step.
    table_gradient
        Output: gradient of the table from these records, (rows, dim).
    scores
        Output: scores before the step, (batch,).
    """
    dim = table.shape[1]
    x, gradient = np.empty(dim, np.float32), np.zeros(dim, np.float32)
    share = _ONE / np.float32(len(labels))
    table_gradient[:] = _ZERO
    for c in range(first, last):
        entity = entities[distinct[c]]
        vector = entity[0]
        for at in range(starts[c], starts[c + 1]):
            i = order[at]
            ip = ips[i]
            a, b = index[_octet_row(ip, 0)], index[_octet_row(ip, 1)]
            p, q = index[_octet_row(ip, 2)], index[_octet_row(ip, 3)]
            score = _ZERO
            for j in range(dim):
                x[j] = table[a, j] + table[b, j] + table[p, j] + table[q, j]
                score += x[j] * vector[j]
            scores[i] = score
            error = share * _error(score, labels[i])
            for j in range(dim):
                gradient[j] += error * x[j]
            for j in range(dim):
                change = error * vector[j]
                table_gradient[a, j] += change
                table_gradient[b, j] += change
                table_gradient[p, j] += change
                table_gradient[q, j] += change
        _adam(vector, entity[1], entity[2], gradient, rate, _ZERO)
        gradient[:] = _ZERO


@njit(f"void(uint32[::1], {_INTS}, {_MATRIX}, {_MATRIX})", **_OPTIONS)
def embed(ips: Any, index: Any, table: Any, embeddings: Any) -> None:
    """Write the sum of four rows of the table for each address (n,) into `embeddings` (n, dim)."""
    for i in range(len(ips)):
        ip = ips[i]
        a, b = index[_octet_row(ip, 0)], index[_octet_row(ip, 1)]
        p, q = index[_octet_row(ip, 2)], index[_octet_row(ip, 3)]
        for j in range(table.shape[1]):
            embeddings[i, j] = table[a, j] + table[b, j] + table[p, j] + table[q, j]


@njit(f"void(int64, int64, {_GROUPS}, {_FLOATS}, {_MATRIX}, float32[:, :, ::1], float32, {_FLOATS})", **_OPTIONS)
def learn_embedded(
    first: int, last: int, order: Any, distinct: Any, starts: Any, labels: Any, embeddings: Any, entities: Any,
    rate: Any, scores: Any,
) -> None:  # fmt: skip
    """Score the records of some entities, update the entities, and compute embedding gradients.

    The gradients replace the embeddings.

    Parameters
    ----------
    embeddings
        Embedding of each record's address, replaced by its gradient, (batch, dim).
    first, last, order, distinct, starts, labels, entities, rate, scores
        As in :func:`learn`.
    """
    dim = embeddings.shape[1]
    gradient = np.zeros(dim, np.float32)
    share = _ONE / np.float32(len(labels))
    for c in range(first, last):
        entity = entities[distinct[c]]
        vector = entity[0]
        for at in range(starts[c], starts[c + 1]):
            i = order[at]
            x = embeddings[i]
            score = _ZERO
            for j in range(dim):
                score += x[j] * vector[j]
            scores[i] = score
            error = share * _error(score, labels[i])
            for j in range(dim):
                gradient[j] += error * x[j]
                x[j] = error * vector[j]
        _adam(vector, entity[1], entity[2], gradient, rate, _ZERO)
        gradient[:] = _ZERO


@njit(f"void(uint32[::1], {_INTS}, {_MATRIX}, {_MATRIX})", **_OPTIONS)
def spread(ips: Any, index: Any, embedding_gradients: Any, table_gradient: Any) -> None:
    """Add the gradient of each embedding (n, dim) to the four table rows that it sums."""
    table_gradient[:] = _ZERO
    for i in range(len(ips)):
        for place in range(4):
            row = index[_octet_row(ips[i], place)]
            for j in range(embedding_gradients.shape[1]):
                table_gradient[row, j] += embedding_gradients[i, j]


@njit(
    f"void({_MATRIX}, {_INTS}, {_MATRIX}, boolean, {_MATRIX}, {_MATRIX}, {_MATRIX}, float32, float32, int64)",
    **_OPTIONS,
)
def update_octets(
    products: Any, used: Any, inputs: Any, has_layer: Any, octets: Any, means: Any, variances: Any, rate: Any,
    decay: Any, begin: int,
) -> None:  # fmt: skip
    """Take a dense step of Adam on the octet table of one octet position.

    Rows that do not occur in the batch have a gradient of 0.

    Parameters
    ----------
    products
        Gradient of the embeddings of the octet values that occur, in front of the relu's, (n, columns of the place).
    used
        Their rows of the whole table, ascending, (n,).
    inputs
        What :func:`find_octets` took out for them, (n, width).
    has_layer
        Whether a relu follows.
    octets, means, variances
        The place's part of the table and of its moments, (256, width).
    rate, decay
        Adam's rate for this step, and the weight decay.
    begin
        First row of the place in the whole table.
    """
    gradient = np.zeros(octets.shape[1], np.float32)
    n = 0
    for row in range(len(octets)):
        gradient[:] = _ZERO
        if n < len(used) and used[n] == begin + row:
            for j in range(products.shape[1]):
                gradient[j] = _ZERO if has_layer and inputs[n, j] <= _ZERO else products[n, j]
            n += 1
        _adam(octets[row], means[row], variances[row], gradient, rate, decay)


KERNELS = (adam, embed, find_octets, group, learn, learn_embedded, spread, update_octets)
"""All of them, for the count of those that were compiled."""

"""Compiled loops of a training step on a CPU.

Each loop is a formula of ``docs/explanation/performance.md``.

All arrays are C-contiguous, and outputs are written in place. ``table`` has what each octet value of the batch adds to
an embedding, and ``index`` the row of it for each of the 1,024 rows of the octet table. An entity is three rows of
``entities``: its vector, and the running means of the gradient and of its square.

Every sum has one order, so results depend neither on threads nor on the number of cores. Import this module by
:func:`ipinsights.training.learners.compilation.load_kernels`, which sees to the cache. What kernels call is in the same
file: Numba compiles a kernel anew when its own file changes, and does not look at others.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401, whose products Numba calls
from numba import njit

from ipinsights.training.learners.prefetch import prefetch

__all__ = [
    "KERNELS", "adam", "differentiate", "embed", "find_octets", "group", "learn", "learn_embedded", "spread",
    "tabulate", "update",
]  # fmt: skip

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

# Entities between the one that is computed with and the one that is prefetched.
_AHEAD = 2

_INTS, _FLOATS, _MATRIX, _CUBE = "int32[::1]", "float32[::1]", "float32[:, ::1]", "float32[:, :, ::1]"
_GROUPS = _PLACES = f"{_INTS}, {_INTS}, {_INTS}"


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


@njit(f"void({_CUBE}, {_MATRIX}, int64, int64, float32, float32)", **_OPTIONS)
def adam(state: Any, gradients: Any, first: int, last: int, rate: Any, decay: Any) -> None:
    """Take a dense step of Adam, with weight decay as L2, on some rows of a parameter.

    Source: MXNet 1.9.1, ``adam_update`` (``src/operator/optimizer_op-inl.h``). The bias correction is in the rate.

    Parameters
    ----------
    state
        The parameter, and the running means of its gradient and of the square, (3, rows, width).
    gradients
        Gradient of the parameter, (rows, width).
    first, last
        The rows.
    rate, decay
        Adam's rate for this step, and the weight decay.
    """
    for row in range(first, last):
        _adam(state[0, row], state[1, row], state[2, row], gradients[row], rate, decay)


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


@njit(f"void(uint32[::1], {_INTS}, {_INTS}, {_INTS})", **_OPTIONS)
def find_octets(ips: Any, index: Any, used: Any, bounds: Any) -> None:
    """Find the octet values that occur in a batch.

    Parameters
    ----------
    ips
        Addresses, (batch,).
    index
        Output: number of each row of the octet table among those that occur, -1 for the others, (1024,).
    used, bounds
        Output: rows that occur, ascending, and where those of each place begin among them, (5,).
    """
    index[:] = -1
    for ip in ips:
        for place in range(4):
            index[_octet_row(ip, place)] = 0
    num_used = 0
    for row in range(len(index)):
        if row % 256 == 0:
            bounds[row // 256] = num_used
        if index[row] == 0:
            index[row] = num_used
            used[num_used] = row
            num_used += 1
    bounds[4] = num_used


@njit(inline="always", **{**_OPTIONS, "cache": False})
def _inputs(octets: Any, rows: Any, width: Any) -> Any:
    """Return the outputs of the relu for some rows of the octet table, (rows, width)."""
    inputs = np.empty((len(rows), width), np.float32)
    for n in range(len(rows)):
        octet = octets[rows[n]]
        for j in range(width):
            inputs[n, j] = max(octet[j], _ZERO)
    return inputs


@njit(f"void(int64, int64, {_PLACES}, {_CUBE}, {_CUBE}, {_CUBE}, {_MATRIX})", **_OPTIONS)
def tabulate(
    first: int, last: int, columns: Any, used: Any, bounds: Any, octets: Any, weight: Any, bias: Any, table: Any
) -> None:
    """Compute what the octet values of some places add to an embedding.

    The first place adds the bias.

    Parameters
    ----------
    first, last
        The places, positions of an octet, 0 to 4.
    columns
        Where the columns of each place begin in the concatenation of an address's octet embeddings, (5,).
    used, bounds
        Octet values that occur, see :func:`find_octets`.
    octets
        Octet table and its moments, (3, 1024, width).
    weight, bias
        First layer and its moments, (3, dim, dim) as input by output, and (3, 1, dim). Empty without a layer.
    table
        Output: the rows of the places, (1024, dim).
    """
    for place in range(first, last):
        begin, end = columns[place], columns[place + 1]
        rows, out = used[bounds[place] : bounds[place + 1]], table[bounds[place] : bounds[place + 1]]
        if weight.size == 0:
            out[:] = _ZERO
            for n in range(len(rows)):
                out[n, begin:end] = octets[0, rows[n], : end - begin]
        else:
            np.dot(_inputs(octets[0], rows, end - begin), weight[0, begin:end], out)
        if weight.size != 0 and place == 0:
            out += bias[0]


@njit(f"void(int64, int64, {_PLACES}, {_CUBE}, {_CUBE}, {_CUBE}, {_MATRIX}, {_MATRIX}, {_MATRIX})", **_OPTIONS)
def differentiate(
    first: int, last: int, columns: Any, used: Any, bounds: Any, octets: Any, weight: Any, table_gradients: Any,
    octet_gradient: Any, weight_gradient: Any, bias_gradient: Any,
) -> None:  # fmt: skip
    """Compute the gradients of the parameters of some places from those of the table.

    Parameters
    ----------
    table_gradients
        Gradients of the table, whose sum is taken, (pieces, 1024, dim). The first one is overwritten.
    octet_gradient
        Output: rows of the places, which are 0 for octet values that do not occur, (1024, width).
    weight_gradient
        Output: rows of the places' columns, (dim, dim). Empty without a layer.
    bias_gradient
        Output of the first place: every address has one octet there, (1, dim). Empty without a layer.
    first, last, columns, used, bounds, octets, weight
        As in :func:`tabulate`.
    """
    for place in range(first, last):
        begin, end, start, stop = columns[place], columns[place + 1], bounds[place], bounds[place + 1]
        rows, width, gradient = used[start:stop], end - begin, table_gradients[0, start:stop]
        for piece in range(1, len(table_gradients)):
            gradient += table_gradients[piece, start:stop]
        octet_gradient[256 * place : 256 * (place + 1)] = _ZERO
        if weight.size == 0:
            for n in range(len(rows)):
                octet_gradient[rows[n], :width] = gradient[n, begin:end]
            continue
        inputs = _inputs(octets[0], rows, width)
        np.dot(inputs.T, gradient, weight_gradient[begin:end])
        product = np.dot(gradient, weight[0, begin:end].T)
        for n in range(len(rows)):
            row = octet_gradient[rows[n]]
            for j in range(width):
                row[j] = product[n, j] if inputs[n, j] > _ZERO else _ZERO
        if place == 0:
            bias_gradient[:] = _ZERO
            for n in range(len(rows)):
                bias_gradient[0] += gradient[n]


@njit(
    f"void(int64, int64, {_PLACES}, {_CUBE}, {_CUBE}, {_CUBE}, {_CUBE}, {_MATRIX}, {_MATRIX}, {_MATRIX}, float32,"
    " float32)",
    **_OPTIONS,
)
def update(
    first: int, last: int, columns: Any, used: Any, bounds: Any, octets: Any, weight: Any, bias: Any,
    table_gradients: Any, octet_gradient: Any, weight_gradient: Any, bias_gradient: Any, rate: Any, decay: Any,
) -> None:  # fmt: skip
    """Take Adam's step on the parameters of some places.

    See :func:`differentiate` and :func:`adam`.
    """
    differentiate(
        first, last, columns, used, bounds, octets, weight, table_gradients, octet_gradient, weight_gradient,
        bias_gradient,
    )  # fmt: skip
    adam(octets, octet_gradient, 256 * first, 256 * last, rate, decay)
    if weight.size != 0:
        adam(weight, weight_gradient, columns[first], columns[last], rate, decay)
        adam(bias, bias_gradient, 0, 1 if first == 0 else 0, rate, decay)


@njit(
    f"void(int64, int64, {_GROUPS}, uint32[::1], {_FLOATS}, {_INTS}, {_MATRIX}, {_CUBE}, float32, {_MATRIX},"
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
        if c + _AHEAD < last:
            prefetch(entities, distinct[c + _AHEAD])
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


@njit(f"void(int64, int64, {_GROUPS}, {_FLOATS}, {_MATRIX}, {_CUBE}, float32, {_FLOATS})", **_OPTIONS)
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
        if c + _AHEAD < last:
            prefetch(entities, distinct[c + _AHEAD])
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


KERNELS = (adam, differentiate, embed, find_octets, group, learn, learn_embedded, spread, tabulate, update)
"""All of them, for the count of those that were compiled."""

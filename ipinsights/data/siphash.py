"""SipHash-2-4 of many texts at once, vectorized with NumPy without Python objects.

The hash is that of ``pandas.util.hash_array`` for texts, with the same key and the same finalizer. Here several
cores can share the work, and pandas need not be loaded.

Sources: Aumasson and Bernstein (2012), "SipHash: a fast short-input PRF". Steele, Lea and Flood (2014), "Fast
splittable pseudorandom number generators", for the finalizer.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.data.arrow import text_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["LONGEST_HASHED", "hash_column", "hash_objects"]

LONGEST_HASHED = 512
"""Bytes of a text up to which this is the fast way: each eight of them are a pass, if only for a single text."""

# The key of pandas, folded into the constants of the algorithm.
_KEY = "0123456789123456"
_KEYS = np.frombuffer(_KEY.encode(), dtype="<u8")
_BEGINNINGS = [
    int(key) ^ constant
    for key, constant in zip(
        np.tile(_KEYS, 2), (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573), strict=True
    )
]
_WORD, _ALL_BITS = 8, 2**64 - 1
# Up to here, numbers of Python's are faster than an array.
_FEW = 20
# Four words of state and a spare one stay in the processor's cache.
_TEXTS_AT_A_TIME = 8192


def hash_column(texts: pa.StringArray) -> NDArray[np.uint64]:
    """Return the hash of the UTF-8 bytes of each text, shape (n,).

    The texts have no nulls, and none is longer than :data:`LONGEST_HASHED`.
    """
    starts, content = text_bytes(texts)
    # Words are read whole, also the one in which the last text ends.
    data = np.concatenate([content, np.zeros(_WORD, dtype=np.uint8)])
    # The eight bytes from each offset on.
    words: NDArray[np.uint64] = np.ndarray(len(data) - _WORD + 1, "<u8", data, strides=(1,))
    hashes = np.empty(len(texts), dtype=np.uint64)
    for begin in range(0, len(texts), _TEXTS_AT_A_TIME):
        end = min(begin + _TEXTS_AT_A_TIME, len(texts))
        hashes[begin:end] = _hash(words, starts[begin:end], np.diff(starts[begin : end + 1]))
    return hashes


def hash_objects(texts: NDArray[np.object_]) -> NDArray[np.uint64]:
    """Return the same hashes for texts of any length, by the function of pandas, shape (n,)."""
    hashes: NDArray[np.uint64] = _pandas_hash()(texts, _KEY, "utf8")
    if len(hashes) > _FEW:
        return _stirred(hashes)  # type: ignore[no-any-return]
    return np.array([_stirred(each) for each in hashes.tolist()], dtype=np.uint64)


@cache
def _pandas_hash() -> Callable[[NDArray[np.object_], str, str], NDArray[np.uint64]]:
    """Return the hash function of pandas.

    The import takes a third of a command's start time, and hashing of files does not need it.
    """
    from pandas._libs.hashing import hash_object_array

    return hash_object_array  # type: ignore[no-any-return]


def _hash(words: NDArray[np.uint64], starts: NDArray[np.intp], lengths: NDArray[np.intp]) -> NDArray[np.uint64]:
    """Return the hashes of texts of any lengths."""
    # Texts with more whole words come first, so that the texts that still have words are a slice.
    whole_words = lengths // _WORD
    order = np.argsort(-whole_words, kind="stable")
    starts, lengths, whole_words = starts[order], lengths[order], whole_words[order]
    state = np.empty((4, len(starts)), dtype=np.uint64)
    state[:] = np.array(_BEGINNINGS, dtype=np.uint64)[:, np.newaxis]
    first_words = np.arange(whole_words[0] if len(starts) else 0)
    for word, num_left in enumerate(np.searchsorted(-whole_words, -first_words).tolist()):
        _mix_in(state[:, :num_left], words[starts[:num_left] + _WORD * word])
    _mix_in(state, _last_words(words, starts + _WORD * whole_words, lengths))
    state[2] ^= np.uint64(0xFF)
    for _ in range(4):
        _round(*state)
    hashes = np.empty(len(starts), dtype=np.uint64)
    hashes[order] = _stirred(state[0] ^ state[1] ^ state[2] ^ state[3])
    return hashes


def _last_words(words: NDArray[np.uint64], starts: NDArray[np.intp], lengths: NDArray[np.intp]) -> NDArray[np.uint64]:
    """Return the last bytes of each text, fewer than eight, with its length in the highest byte."""
    bits = (8 * (lengths % _WORD)).astype(np.uint64)
    rest: NDArray[np.uint64] = words[starts] & ((np.uint64(1) << bits) - np.uint64(1))
    rest |= lengths.astype(np.uint64) << np.uint64(56)
    return rest


def _mix_in(state: NDArray[np.uint64], words: NDArray[np.uint64]) -> None:
    """Take the next word of each text into its state, (4, n)."""
    state[3] ^= words
    _round(*state)
    _round(*state)
    state[0] ^= words


def _round(v0: NDArray[np.uint64], v1: NDArray[np.uint64], v2: NDArray[np.uint64], v3: NDArray[np.uint64]) -> None:
    """Do the algorithm's SipRound, in place."""
    v0 += v1
    _rotate(v1, 13)
    v1 ^= v0
    _rotate(v0, 32)
    v2 += v3
    _rotate(v3, 16)
    v3 ^= v2
    v0 += v3
    _rotate(v3, 21)
    v3 ^= v0
    v2 += v1
    _rotate(v1, 17)
    v1 ^= v2
    _rotate(v2, 32)


def _rotate(words: NDArray[np.uint64], bits: int) -> None:
    """Rotate each word to the left, in place."""
    low = words >> np.uint64(64 - bits)
    words <<= np.uint64(bits)
    words |= low


def _stirred(hashes: Any) -> Any:
    """Return the 64-bit finalizer hash of a number or of each number of an array."""
    hashes = (hashes ^ hashes >> 30) * 0xBF58476D1CE4E5B9 & _ALL_BITS
    hashes = (hashes ^ hashes >> 27) * 0x94D049BB133111EB & _ALL_BITS
    return hashes ^ hashes >> 31

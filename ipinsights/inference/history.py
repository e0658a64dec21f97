"""Histories that engines such as Spark, Dask or DuckDB build in parts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ipinsights.data.both_families import split_families
from ipinsights.data.pair_columns import pair_blocks, refuse_rows
from ipinsights.errors import ClientError, InvalidValueError
from ipinsights.inference.history_update import merge_history
from ipinsights.model import artifact
from ipinsights.model.pair_counting import LARGEST_COUNT
from ipinsights.model.pair_history import PairHistory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from ipinsights.data.pairs import Pairs
    from ipinsights.model.pair_counting import CountedPairs
    from ipinsights.model.pair_history import FamilyRows

__all__ = ["History"]

_COLUMNS = ("entity", "family", "address", "count")
_FAMILIES = (4, 6)
_LARGEST_IPV4 = 2**32 - 1


@dataclass(frozen=True, eq=False)
class History:
    """Counts of pairs: which entity was seen at which address, and how often.

    Histories of parts of the data merge, in any order, to the history of all. A history is personal data: entities are
    hashes under a fixed key, addresses are in clear. It pickles.

    Attributes
    ----------
    pairs
        Distinct pairs with their counts.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from ipinsights import History
    >>> one = History.from_pairs(pa.array(["alice", "bob"]), pa.array(["192.0.2.1", "192.0.2.2"]))
    >>> other = History.from_pairs(pa.array(["alice"]), pa.array(["192.0.2.1"]), [5])
    >>> both = History.merge([one, other])
    >>> both.num_pairs, both.num_events
    (2, 7)
    >>> History.from_arrow(both.to_arrow()) == both == History.merge([other, one])
    True
    """

    pairs: PairHistory

    @classmethod
    def from_pairs(
        cls, entities: Any, ips: Any, counts: Any = None, *, errors: str = "raise", ipv6: bool = False
    ) -> History:
        """Count the pairs of two columns of texts.

        Parameters
        ----------
        entities, ips
            Columns of Arrow, Series or arrays, as for :func:`ipinsights.score_arrow`, shape (n,).
        counts
            How often each row occurred, at least 1, shape (n,). None for once each.
        errors
            ``raise`` refuses invalid rows. ``skip`` leaves them out.
        ipv6
            Whether IPv6 addresses are valid, for a model whose history knows them.

        Raises
        ------
        InvalidValueError
            The columns do not fit together, or counts or ``errors`` are invalid. :class:`~ipinsights.RowsError` names
            the first five invalid rows.
        """
        if errors not in ("raise", "skip"):
            raise InvalidValueError(f"errors must be 'raise' or 'skip'. Got {errors!r}.")
        numbers = None if counts is None else _counts(counts, len(entities))
        parts, faulty = [cls._empty(ipv6=ipv6)], []
        for block in pair_blocks(entities, ips, ipv6=ipv6):
            valid, pairs = block.is_valid, block.pairs
            faulty += (block.part.start + np.flatnonzero(~valid)).tolist()
            weights = None if numbers is None else numbers[block.part][valid]
            parts.append(_counted(pairs[valid], weights))
        if errors == "raise":
            refuse_rows((entities, ips), None, "the columns", faulty, ipv6=ipv6)
        return cls(parts[0].merge(*parts[1:]))

    @classmethod
    def from_counts(cls, entities: Any, ips: Any, counts: Any) -> History:
        """Return the history of counted IPv4 pairs, in any order.

        The counts of equal pairs are added.

        Parameters
        ----------
        entities
            Hashes of entities as 64 bits, signed or unsigned, shape (n,).
        ips
            Addresses as numbers from 0 to 2^32 - 1, shape (n,).
        counts
            How often each pair occurred, at least 1, shape (n,).

        Raises
        ------
        InvalidValueError
            A column does not hold such numbers, or the columns differ in size.

        Examples
        --------
        >>> History.from_counts([7, -1, 7], [1, 2, 1], [3, 1, 4]).pairs.ipv4.counts
        array([7, 1], dtype=uint32)
        """
        size = len(entities)
        return cls(PairHistory.from_counts((_hashes(entities), _ipv4(ips, size), _counts(counts, size))))

    @classmethod
    def from_arrow(cls, table: Any) -> History:
        """Return the history that :meth:`to_arrow` wrote, or the rows of several, in any order.

        Parameters
        ----------
        table
            Table or record batch with the columns ``entity``, ``family``, ``address`` and ``count``. A history without
            an IPv6 row is one of IPv4 only.

        Raises
        ------
        InvalidValueError
            A column is missing, or holds other values.
        """
        missing = [name for name in _COLUMNS if name not in table.schema.names]
        if missing:
            raise InvalidValueError(f"A history must have the columns {', '.join(_COLUMNS)}. {missing[0]} is missing.")
        entities, families, addresses, counts = (table[name] for name in _COLUMNS)
        hashes, numbers, size = _hashes(entities), _integers(families, "family"), len(entities)
        if not np.isin(numbers, _FAMILIES).all():
            raise InvalidValueError("The column family of a history must hold 4 and 6 only.")
        is_ipv6, counted = numbers == _FAMILIES[1], _counts(counts, size)
        halves = _integers(addresses, "address").view(np.uint64)
        ipv4 = (hashes[~is_ipv6], _ipv4(halves[~is_ipv6]), counted[~is_ipv6])
        ipv6 = (hashes[is_ipv6], halves[is_ipv6], counted[is_ipv6])
        return cls(PairHistory.from_counts(ipv4, ipv6 if is_ipv6.any() else None))

    @classmethod
    def of_model(cls, path: str | Path) -> History:
        """Return the history of a model on disk.

        Raises
        ------
        ClientError
            There is no model at the path, or the model has no history.
        """
        history = artifact.load(Path(path)).history
        if history is None:
            raise ClientError("This model has no history. Train it with keep_history to have one.")
        return cls(history)

    @classmethod
    def merge(cls, histories: Iterable[History]) -> History:
        """Return the history of all rows of some histories.

        The order of the histories does not matter.
        """
        return cls(cls._empty(ipv6=False).merge(*(history.pairs for history in histories)))

    @property
    def num_pairs(self) -> int:
        """Number of distinct pairs."""
        return self.pairs.num_rows

    @property
    def num_events(self) -> int:
        """Number of events that the pairs stand for."""
        return self.pairs.num_events

    def to_arrow(self) -> pa.Table:
        """Return the counted pairs as a table, sorted by family, hash and address.

        Returns
        -------
        pyarrow.Table
            ``entity``: the 64 bits of the hash, signed, because engines such as Spark have no unsigned numbers.
            ``family``: 4 or 6. ``address``: an IPv4 address as a number, or the upper 64 bits of an IPv6 address,
            signed. ``count``: how often the pair occurred.
        """
        families = (self.pairs.ipv4, self.pairs.ipv6)
        tables = [
            self._rows(rows, number) for rows, number in zip(families, _FAMILIES, strict=True) if rows is not None
        ]
        return pa.concat_tables(tables)

    def add_to(self, path: str | Path, *, force: bool = False) -> str:
        """Merge the history into that of a model on disk, and return the record of the update.

        Parameters
        ----------
        path
            Model directory or ``model_algo-1`` file. An atomic write: the old file stays until the new one is complete.
        force
            Whether a history that was merged before is merged again.

        Raises
        ------
        ClientError
            The model has no history, does not accept IPv6, is being updated, or cannot be read or written; or the
            history was merged before.
        """
        return merge_history(Path(path), self.pairs, force=force).text()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, History) and self.to_arrow().equals(other.to_arrow())

    def __hash__(self) -> int:
        return hash((self.num_pairs, self.num_events))

    @staticmethod
    def _empty(*, ipv6: bool) -> PairHistory:
        hashes, ips = np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.uint32)
        return PairHistory.from_pairs(hashes, ips, (hashes, hashes) if ipv6 else None)

    def _rows(self, rows: FamilyRows, family: int) -> pa.Table:
        hashes, addresses, counts = self.pairs.counted(rows)
        assert counts is not None
        columns = (hashes.view(np.int64), np.full(len(rows), family, dtype=np.int8))
        further = (addresses.astype(np.uint64).view(np.int64), counts.astype(np.int64))
        return pa.table(dict(zip(_COLUMNS, map(pa.array, (*columns, *further)), strict=True)))


def _counted(pairs: Pairs, counts: NDArray[np.int64] | None) -> PairHistory:
    """Return the history of valid pairs with counts, or of once each."""
    if pairs.addresses is None:
        return PairHistory.from_counts((pairs.entities, pairs.ips, counts))
    is_ipv6 = pairs.addresses.is_ipv6
    ipv4, ipv6 = split_families(pairs)
    of_ipv4: CountedPairs = (ipv4.entities, ipv4.ips, None if counts is None else counts[~is_ipv6])
    of_ipv6: CountedPairs = (ipv6.entities, ipv6.upper, None if counts is None else counts[is_ipv6])
    return PairHistory.from_counts(of_ipv4, of_ipv6)


def _hashes(values: Any) -> NDArray[np.uint64]:
    return _integers(values, "entity").view(np.uint64)


def _ipv4(values: Any, size: int | None = None) -> NDArray[np.uint32]:
    numbers = _integers(values, "address", size).view(np.uint64)
    if (numbers > _LARGEST_IPV4).any():
        raise InvalidValueError("The IPv4 addresses of a history must be numbers from 0 to 2^32 - 1.")
    return numbers.astype(np.uint32)


def _counts(values: Any, size: int) -> NDArray[np.int64]:
    numbers = _integers(values, "count", size)
    if (numbers < 1).any():
        raise InvalidValueError(f"The counts of a history must be at least 1. Got {numbers.min()}.")
    return np.minimum(numbers, LARGEST_COUNT)  # sums of these do not overflow


def _integers(values: Any, name: str, size: int | None = None) -> NDArray[np.int64]:
    """Return a column of integers as 64 bits, signed; larger unsigned ones become negative."""
    column = values if isinstance(values, (pa.Array, pa.ChunkedArray)) else pa.array(values, from_pandas=True)
    column = pa.chunked_array([column]) if isinstance(column, pa.Array) else column
    if column.null_count or not (pa.types.is_integer(column.type) or pa.types.is_decimal(column.type)):
        if len(column):
            raise InvalidValueError(f"The column {name} of a history must hold integers without nulls.")
        column = column.cast(pa.int64())
    if size not in (None, len(column)):
        raise InvalidValueError(f"The column {name} of a history must have {size:,} rows. Got {len(column):,}.")
    try:  # sums of DuckDB are decimals
        whole = column if pa.types.is_uint64(column.type) else column.cast(pa.int64())
    except pa.ArrowInvalid:
        raise InvalidValueError(f"The column {name} of a history must hold integers of 64 bits.") from None
    numbers: NDArray[np.int64] = whole.to_numpy().view(np.int64)
    return numbers

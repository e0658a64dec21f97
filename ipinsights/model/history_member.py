"""The history in an artifact: members of the file, and their meta data in ``meta.json``.

``meta.json`` has ``history``: the scorer and its constants, whether there are IPv6 rows, the limit of rows per entity,
and the sources. A source has ``kind`` (``training`` or ``update``), ``num_rows``, ``num_entities``, the ``fingerprint``
of its rows, and for an update ``merged_on`` and ``days``, the first and the last day of its rows if they have times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ipinsights.model import ndarray_archive
from ipinsights.model.history_settings import SCORER, settings
from ipinsights.model.pair_history import PairHistory, column_types

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = [
    "FORMAT_VERSION", "HISTORY", "HISTORY_FORMAT_VERSION", "HistoryRecord", "check_version", "history_columns",
    "history_options", "map_history", "sizes", "with_history",
]  # fmt: skip

FORMAT_VERSION = 1
HISTORY_FORMAT_VERSION = 2
"""Format version of a model with a history. A version of ipinsights that knows no histories refuses it."""

HISTORY = "history"
_SOURCE_TYPES = {"kind": str, "num_rows": int, "fingerprint": str}


@dataclass(frozen=True)
class HistoryRecord:
    """How a history was built."""

    sources: Sequence[Mapping[str, Any]] = ()  # what is recorded of each part that was merged, in their order
    # Largest number of distinct addresses of an entity, by address family. None for no limit.
    rows_per_entity: int | None = None

    @classmethod
    def read(cls, meta: Mapping[str, Any]) -> HistoryRecord:
        """Return the record of a model that has a history, from its meta data."""
        return cls(meta[HISTORY]["sources"], meta[HISTORY].get("rows_per_entity"))

    @property
    def fingerprints(self) -> frozenset[str]:
        """Fingerprints of all sources."""
        return frozenset(source["fingerprint"] for source in self.sources)


def with_history(meta: Mapping[str, Any], history: PairHistory | None, record: HistoryRecord | None) -> dict[str, Any]:
    """Return the meta data of a model with this history and how it was built, or without any."""
    rest = {name: value for name, value in meta.items() if name != HISTORY}
    if history is None or record is None:
        return {**rest, "format_version": FORMAT_VERSION}
    described = {
        "scorer": SCORER,
        "settings": settings(),
        "has_ipv6": history.ipv6 is not None,
        "rows_per_entity": record.rows_per_entity,
        "sources": [dict(source) for source in record.sources],
    }
    return {**rest, "format_version": HISTORY_FORMAT_VERSION, HISTORY: described}


def history_options(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the hyperparameters of a model's history, by name, empty without a history."""
    if HISTORY not in meta:
        return {}
    limit = meta[HISTORY].get("rows_per_entity")
    bound = {} if limit is None else {"history_rows_per_entity": limit}
    return {"keep_history": True, **bound, "ipv6": meta[HISTORY]["has_ipv6"]}


def sizes(history: PairHistory) -> dict[str, int]:
    """Return the sizes of a history by name."""
    return {
        "num_rows": history.num_rows,
        "num_events": history.num_events,
        "num_entities": len(history.entities),
        "num_bytes": history.nbytes,
    }


def check_version(meta: Mapping[str, Any]) -> None:
    """Raise a ValueError if this version of ipinsights cannot read a model with this meta data."""
    version = meta.get("format_version")
    if version not in (FORMAT_VERSION, HISTORY_FORMAT_VERSION):
        known = f"{FORMAT_VERSION} and {HISTORY_FORMAT_VERSION}"
        raise ValueError(f"its format is version {version}, this ipinsights reads versions {known}")
    if (version == HISTORY_FORMAT_VERSION) != _is_sound(meta.get(HISTORY)):
        raise ValueError("its meta.json does not fit the history of its format")


def history_columns(history: PairHistory) -> dict[str, NDArray[Any]]:
    """Return the arrays of a history by the names of their members."""
    return {f"{HISTORY}/{name}": array for name, array in history.arrays.items()}


def map_history(path: Path, archive: zipfile.ZipFile, meta: Mapping[str, Any]) -> PairHistory | None:
    """Map the history of a model into memory, None if it has none. Damage is a ValueError."""
    if HISTORY not in meta:
        return None
    types = column_types(has_ipv6=meta[HISTORY]["has_ipv6"])
    columns = ndarray_archive.map_columns(path, archive, {f"{HISTORY}/{name}": type_ for name, type_ in types.items()})
    return PairHistory.from_arrays({name.removeprefix(f"{HISTORY}/"): column for name, column in columns.items()})


def _is_sound(described: Any) -> bool:
    if not isinstance(described, dict) or not isinstance(described.get("has_ipv6"), bool):
        return False
    limit, sources = described.get("rows_per_entity"), described.get("sources")
    if limit is not None and not (isinstance(limit, int) and limit > 0):
        return False
    return isinstance(sources, list) and all(
        isinstance(source, dict) and all(isinstance(source.get(name), kind) for name, kind in _SOURCE_TYPES.items())
        for source in sources
    )

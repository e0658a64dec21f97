"""Updates of a model's history without training: merge new events, and forget entities."""

from __future__ import annotations

import contextlib
import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from ipinsights.data.arrow import mask
from ipinsights.data.both_families import by_family, split_families
from ipinsights.data.channels import channel_files
from ipinsights.data.entity_hash import hash_entities
from ipinsights.data.files import locked
from ipinsights.data.pair_columns import entity_text
from ipinsights.data.pairs import Pairs, fingerprint, read_blocks
from ipinsights.errors import ClientError
from ipinsights.inference.history_scorer import HistoryScorer
from ipinsights.inference.scorers import HISTORY
from ipinsights.inference.threshold import SUSPICIOUS
from ipinsights.inference.threshold_files import find_threshold
from ipinsights.model import artifact
from ipinsights.model.history_member import HistoryRecord
from ipinsights.model.pair_history import PairHistory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ipinsights.data.pairs import Block
    from ipinsights.model.artifact import Artifact

__all__ = ["Updated", "merge_history", "strip_history", "update_history"]

_TIME = r"^\d{4}-\d{2}-\d{2}(?:[T ]\S*)?$"
_DAY_CHARACTERS = 10


@dataclass(frozen=True)
class Updated:
    """Outcome of an update of a history."""

    num_merged: int  # events that were merged
    num_rejected: int  # events that were rejected because they are suspicious
    forgotten: dict[str, int]  # entities that were forgotten, with the number of their distinct pairs
    num_rows: int  # size of the new history
    num_entities: int

    def text(self) -> str:
        """Return the outcome for a terminal."""
        rejected = f", {self.num_rejected:,} rejected as suspicious" if self.num_rejected else ""
        merged = f"Merged {self.num_merged:,} events{rejected}."
        lines = [merged] if self.num_merged or self.num_rejected or not self.forgotten else []
        lines += [f"Forgotten: '{entity}' with {number:,} pairs." for entity, number in self.forgotten.items()]
        if self.forgotten:
            lines.append(
                "The network's trained row of the entity and its bit in known_entities stay until the next training."
            )
        return "\n".join([*lines, f"The history has {self.num_rows:,} pairs of {self.num_entities:,} entities."])


def update_history(
    path: Path,
    source: Path | None,
    *,
    forget: Sequence[str] = (),
    normal_only: bool = False,
    threshold_file: Path | None = None,
    force: bool = False,
) -> Updated:
    """Merge new events into the history of a model, and delete forgotten entities after that.

    The network does not change. The write is atomic: the old file stays until the new one is complete.

    ``source`` is a CSV file or folder of ``entity,ip`` or ``entity,ip,time``, or None to only forget. ``normal_only``
    rejects events that are suspicious by ``threshold_file``, by default that of the model directory. An attack that is
    accepted makes its network known. ``force`` merges events again that were merged before.
    """
    with _updating(path) as opened:
        model, history, record = opened
        num_merged = num_rejected = 0
        if source is not None:
            events, days = _read(source, ipv6=history.ipv6 is not None)
            _check_not_merged(events.fingerprint, record, str(source), force=force)
            pairs = events[_normal(model, path, events, threshold_file)] if normal_only else events
            num_merged, num_rejected = len(pairs), len(events) - len(pairs)
            ipv4, ipv6 = split_families(pairs)
            of_ipv6 = None if history.ipv6 is None else (ipv6.entities, ipv6.upper)
            history = history.merge(PairHistory.from_pairs(ipv4.entities, ipv4.ips, of_ipv6))
            num_entities = len(np.unique(events.entities))
            record = _with_source(record, events.fingerprint, num_merged, num_entities, days)
        hashes = {entity: int(hash_entities([entity_text(entity)])[0]) for entity in forget}
        forgotten = {entity: history.num_rows_of(number) for entity, number in hashes.items()}
        for entity in forget:
            if not history.num_rows_of(hashes[entity]):
                raise ClientError(f"The history has no entity '{entity}', so nothing was changed.")
            history = history.forget(hashes[entity])
        history = _replace(path, model, history, _without_fingerprints_of_one(record) if forget else record)
    return Updated(num_merged, num_rejected, forgotten, history.num_rows, len(history.entities))


def merge_history(path: Path, new: PairHistory, *, force: bool) -> Updated:
    """Merge a history that was built elsewhere into that of a model. The network stays as it is.

    ``force`` merges a history again that was merged before.
    """
    with _updating(path) as opened:
        model, history, record = opened
        if history.ipv6 is None and new.ipv6 is not None:
            if len(new.ipv6):
                raise ClientError("The history has IPv6 rows, and the model was trained without ipv6. Leave them out.")
            new = PairHistory.from_counts(new.counted(new.ipv4))
        digest = fingerprint(*new.arrays.values())
        _check_not_merged(digest, record, "The history", force=force)
        record = _with_source(record, digest, new.num_events, len(new.entities))
        history = _replace(path, model, history.merge(new), record)
    return Updated(new.num_events, 0, {}, history.num_rows, len(history.entities))


def strip_history(path: Path) -> int:
    """Remove the history from a model, and return the number of pairs that it had.

    The file is then the same as if the model had been trained without a history.
    """
    with _updating(path) as (model, history, _):
        artifact.replace_history(path, model, None)
        return history.num_rows


@contextlib.contextmanager
def _updating(path: Path) -> Iterator[tuple[Artifact, PairHistory, HistoryRecord]]:
    """Yield a model with its history, locked against a concurrent update, which would lose rows."""
    file = artifact.find(path)
    try:
        with locked(file.parent, wait=False):
            model = artifact.load(path)
            if model.history is None:
                raise ClientError("This model has no history. Train it with keep_history to have one.")
            yield model, model.history, HistoryRecord.read(model.meta)
    except BlockingIOError:
        raise ClientError(f"{file} is being updated by another process. Wait for its end.") from None


def _replace(path: Path, model: Artifact, history: PairHistory, record: HistoryRecord) -> PairHistory:
    """Write a model with another history, and return the history as it was bounded."""
    if record.rows_per_entity is not None:
        history = history.bounded(record.rows_per_entity)
    artifact.replace_history(path, model, history, record)
    return history


def _read(source: Path, *, ipv6: bool) -> tuple[Pairs, str | None]:
    """Return new events, and the first and the last day of those that have times."""
    files = channel_files(source)
    blocks = [block for file in files for block in read_blocks(file, num_columns=None, progress=True, ipv6=ipv6)]
    days = sorted(day for block in blocks for day in _days(block, source))
    return by_family(Pairs.joined(blocks)), f"{days[0]} to {days[-1]}" if days else None


def _days(block: Block, source: Path) -> tuple[str, ...]:
    """Return the first and the last day of a block whose third column is a time."""
    if len(block.columns) == 2:  # noqa: PLR2004 - no times
        return ()
    times = block.columns[2]
    if len(block.columns) > 3 or not mask(pc.match_substring_regex(times, _TIME)).all():  # noqa: PLR2004
        raise ClientError(f"{source} must have the columns entity,ip or entity,ip,time, with times as 2026-01-31.")
    return tuple(pc.min_max(times)[end].as_py()[:_DAY_CHARACTERS] for end in ("min", "max"))


def _check_not_merged(fingerprint: str, record: HistoryRecord, source: str, *, force: bool) -> None:
    if not force and fingerprint in record.fingerprints:
        raise ClientError(f"{source} was merged into this history before. Merge it again only with `force`.")


def _normal(model: Artifact, path: Path, pairs: Pairs, threshold_file: Path | None) -> NDArray[np.bool_]:
    """Return a mask of the events (n,) that are not suspicious. New entities are accepted."""
    threshold = find_threshold(path, threshold_file, HISTORY)
    if threshold is None:
        raise ClientError(
            f"{path} has no threshold of the scorer 'history' to judge by. Make one with `ipinsights threshold "
            "--scorer history`."
        )
    scorer = HistoryScorer(model)
    threshold.check(scorer)
    verdicts = threshold.verdicts(scorer.score_rows(pairs), pairs, scorer.entity_known(pairs.entities))
    normal: NDArray[np.bool_] = verdicts != SUSPICIOUS
    return normal


def _with_source(
    record: HistoryRecord, fingerprint: str, num_merged: int, num_entities: int, days: str | None = None
) -> HistoryRecord:
    source: dict[str, Any] = {
        "kind": "update",
        "num_rows": num_merged,
        "num_entities": num_entities,
        "fingerprint": fingerprint,
        "merged_on": dt.datetime.now(dt.timezone.utc).date().isoformat(),
        "days": days,
    }
    return HistoryRecord([*record.sources, source], record.rows_per_entity)


def _without_fingerprints_of_one(record: HistoryRecord) -> HistoryRecord:
    """Return the record without fingerprints of single-entity sources.

    Such a fingerprint could prove who the entity was.
    """
    sources = [
        {**source, "fingerprint": "removed"} if source.get("num_entities") == 1 else source for source in record.sources
    ]
    return HistoryRecord(sources, record.rows_per_entity)

"""The history in a trained model: the pairs of all hosts and those of the initial model."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ipinsights.data.both_families import join_families
from ipinsights.model.history_member import HistoryRecord
from ipinsights.model.pair_history import PairHistory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.data.ipv6 import Ipv6Pairs
    from ipinsights.data.pairs import Pairs
    from ipinsights.model.artifact import Artifact
    from ipinsights.training.collectives import ProcessGroup

__all__ = ["KeptHistory"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeptHistory:
    """A history, and what the artifact records of it. Both are None if the job keeps none."""

    history: PairHistory | None = None
    record: HistoryRecord | None = None

    @classmethod
    def gather(
        cls,
        hyperparameters: Hyperparameters,
        group: ProcessGroup,
        train: Pairs,
        ipv6: Ipv6Pairs | None,
        *,
        num_seen: int,
        initial: Artifact | None = None,
        whole_fingerprint: str | None = None,
    ) -> KeptHistory:
        """Return the history of a job from the rows of all its hosts, which all call this.

        Training has seen ``num_seen`` of the IPv4 rows ``train``. ``ipv6`` is None for a model of IPv4 only. The
        history of the initial model is kept, too. ``whole_fingerprint`` is that of the rows of all hosts, where each
        host reads all of them.
        """
        if not hyperparameters.keep_history:
            if initial is not None and initial.history is not None:
                _logger.warning("The history of the initial model is not kept: set _keep_history to true to keep it.")
            return cls()
        own = PairHistory.from_pairs(
            train.entities[:num_seen], train.ips[:num_seen], None if ipv6 is None else (ipv6.entities, ipv6.upper)
        )
        facts = {
            "num_rows": len(train) + (0 if ipv6 is None else len(ipv6)),
            "num_entities": len(own.entities),
            "fingerprint": join_families(train, ipv6).fingerprint,
        }
        gathered, history = group.gather(facts), _across(group, own)
        sources = [{"kind": "training", **each} for each in _joined(gathered, history, whole_fingerprint)]
        history, sources = _after(initial, history, sources)
        limit = hyperparameters.history_rows_per_entity
        return cls(history if limit is None else history.bounded(limit), HistoryRecord(sources, limit))


def _joined(
    gathered: Sequence[Mapping[str, Any]], history: PairHistory, whole_fingerprint: str | None
) -> Sequence[Mapping[str, Any]]:
    """Return the facts of all hosts as one source if the fingerprint of all rows is known."""
    if whole_fingerprint is None or len(gathered) == 1:
        return gathered
    num_rows = sum(facts["num_rows"] for facts in gathered)
    return [{"num_rows": num_rows, "num_entities": len(history.entities), "fingerprint": whole_fingerprint}]


def _across(group: ProcessGroup, own: PairHistory) -> PairHistory:
    """Return the history of the rows of all hosts."""
    if group.size == 1:
        return own
    parts = {name: group.all_parts(array) for name, array in own.arrays.items()}
    histories = [
        PairHistory.from_arrays({name: arrays[rank] for name, arrays in parts.items()}) for rank in range(group.size)
    ]
    return histories[0].merge(*histories[1:])


def _after(
    initial: Artifact | None, history: PairHistory, sources: list[dict[str, Any]]
) -> tuple[PairHistory, list[dict[str, Any]]]:
    """Return a history merged into that of an initial model, which may know these rows already."""
    if initial is None or initial.history is None:
        return history, sources
    record = HistoryRecord.read(initial.meta)
    earlier, known = [dict(source) for source in record.sources], record.fingerprints
    if all(source["fingerprint"] in known for source in sources):
        return initial.history.merge(history.empty()), earlier
    return initial.history.merge(history), [*earlier, *sources]

"""What is reported of all records."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from ipinsights.etl.records import Reason
from ipinsights.etl.summary import Summary

from .log_samples import COMBINED

if TYPE_CHECKING:
    from .log_samples import Bench


class TestSummary:
    """What became of all records."""

    def test_for_people(self, bench: Bench) -> None:
        """Reasons in the order in which they are looked for, then the period."""
        path = bench.put(
            f"{COMBINED}\n\nx\x1b[2J\n{COMBINED.replace('frank', '-')}\n{COMBINED.replace('2000', '2001')}\n"
        )
        assert str(bench.extract("apache")) == (
            "5 records in 1 file: 2 written, 3 skipped.\n"
            "               1  blank\n"
            "               1  malformed, not of this format\n"
            f"                  for example {path}: 'x\\x1b[2J'\n"
            "               1  no entity\n"
            "Warning: 1 of 5 records (20%) cannot be used.\n"
            "Written: 2 rows of 1 entity on 366 days, from 2000-10-10T20:55:36Z to 2001-10-10T20:55:36Z."
        )


def test_summaries_add_up(bench: Bench) -> None:
    """The sum of those of two parts is that of both, whatever is in them.

    Nothing changes a summary.
    """
    texts = [f"{COMBINED}\n\nx\n", f"y\n{COMBINED.replace('frank', '-')}\n{COMBINED.replace('2000', '2001')}\n"]
    parts = []
    for text in texts:
        bench.put(text)
        parts.append(bench.extract("apache"))
    for name, text in zip(("log", "log2"), texts, strict=True):
        bench.put(text, name)
    both = bench.extract("apache")
    found = sum(parts, Summary())
    assert found == replace(both, examples=found.examples)
    assert found.examples.keys() == both.examples.keys()
    assert found + Summary() == Summary() + found == found
    assert found.counts == {"written": 2, "blank": 1, "malformed": 2, "no_user": 1}


def test_outcomes_are_named() -> None:
    """The counts of a record of each reason have the names of `OUTCOMES`, in their order."""
    skipped = Counter[Reason](reason for reason in Reason if reason)
    assert tuple(Summary(num_written=1, skipped=skipped).counts) == Summary.OUTCOMES


def test_a_sum_counts_a_million_entities() -> None:
    """More are not kept, as in one pass."""
    full = Summary(entities=set(range(1_000_000)))
    assert len((full + Summary(entities={-1})).entities) == 1_000_000

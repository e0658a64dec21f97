"""What is reported of all records."""

from __future__ import annotations

from typing import TYPE_CHECKING

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

"""A comparison of scores as a report for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from ipinsights.reporting.report import Report, Section, number, signed

if TYPE_CHECKING:
    from score_comparison import ScoreComparison

__all__ = ["score_report"]


def score_report(comparison: ScoreComparison, limit: int) -> Report:
    """Return a report of agreement, distributions and detection.

    The report lists at most ``limit`` pairs that only one of the files flags.
    """
    sections = [
        Section("Agreement", _two_columns(comparison.agreement(), 4)),
        Section("Distribution", _side_by_side(comparison.distribution(), 3)),
        Section(f"Flagged below {_thresholds(comparison)}", _two_columns(comparison.flags(), 0)),
    ]
    detection = comparison.detection()
    if detection is not None:
        sections.append(Section("Attacks found", _side_by_side(detection, 4)))
    disagreements = comparison.disagreements(limit)
    if len(disagreements):
        sections.append(Section("Pairs that one flags and the other does not", _disagreement_table(disagreements)))
    rank = comparison.agreement()["rank correlation (Spearman)"]
    headline = f"{len(comparison.first.dot_products):,} pairs, rank correlation {number(rank, 4)}"
    names = f"first {comparison.first.name}, second {comparison.second.name}"
    return Report(f"{headline}: {names}.", tuple(sections))


def _thresholds(comparison: ScoreComparison) -> str:
    first, second = comparison.thresholds
    return f"{first:g}" if first == second else f"{first:.4g} (first) and {second:.4g} (second)"


def _two_columns(values: dict[str, float] | dict[str, int], digits: int) -> pd.DataFrame:
    return pd.DataFrame({"": list(values), "value": [number(float(value), digits) for value in values.values()]})


def _side_by_side(table: pd.DataFrame, digits: int) -> pd.DataFrame:
    first, second = table.iloc[:, 0], table.iloc[:, 1]
    return pd.DataFrame({
        "": table.index,
        "first": [number(value, digits) for value in first],
        "second": [number(value, digits) for value in second],
        "difference": [signed(value, digits) for value in second - first],
    })  # fmt: skip


def _disagreement_table(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(**{name: [number(value, 3) for value in rows[name]] for name in ("first", "second")})

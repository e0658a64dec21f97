"""Comparisons and histories of training runs as reports for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ipinsights.reporting.plain_text import counted
from ipinsights.reporting.report import Report, Section, number, signed
from ipinsights.runs.criteria import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ipinsights.runs.run import RunLog
    from ipinsights.runs.run_comparison import Judgement, RunComparison
    from ipinsights.runs.run_history import RunHistory

__all__ = ["comparison_report", "history_report", "judgement_table", "verdict_line"]

_DIGITS = {metric.name: metric.digits for metric in METRICS}
# Points of a learning curve that show its shape. JSON and the plot have all points.
_MOST_POINTS = 8
_MOST_NOTES = 3


def verdict_line(comparison: RunComparison) -> str:
    """Return the verdict as a sentence."""
    if not comparison.regressions and not comparison.is_judged:
        return f"NOT JUDGED: {comparison.candidate.name} and {comparison.baseline.name} have no comparable metric."
    if not comparison.regressions:
        return f"OK: {comparison.candidate.name} is not worse than {comparison.baseline.name}."
    names = ", ".join(judgement.name for judgement in comparison.regressions)
    return f"REGRESSION: {comparison.candidate.name} is worse than {comparison.baseline.name} in {names}."


def comparison_report(comparison: RunComparison) -> Report:
    """Return a report of two logs, side by side."""
    return _report(
        verdict_line(comparison),
        Section("Judged by the last epoch", judgement_table(comparison.judgements)),
        _configuration_section(comparison),
        Section("Epoch by epoch", _metric_table(comparison.epochs())),
        _within_section(comparison),
        Section("Counters and timings", _counter_table(comparison.counters())),
        Section("Notes", remarks=(*_data_notes(comparison), *_run_notes((comparison.baseline, comparison.candidate)))),
    )


def _report(headline: str, *sections: Section) -> Report:
    """Return a report without empty sections."""
    return Report(headline, tuple(section for section in sections if section.table is not None or section.remarks))


def judgement_table(judgements: Iterable[Judgement]) -> pd.DataFrame:
    """Return a row for each judgement, as texts."""
    rows = [
        {
            "metric": judgement.name,
            "baseline": number(judgement.baseline, judgement.digits),
            "candidate": number(judgement.candidate, judgement.digits),
            "difference": signed(judgement.difference, judgement.digits),
            "may be worse by": number(judgement.allowed, judgement.digits),
            "verdict": judgement.verdict.value + (f" ({judgement.reason})" if judgement.reason else ""),
        }
        for judgement in judgements
    ]
    return pd.DataFrame(rows)


def _configuration_section(comparison: RunComparison) -> Section:
    table = comparison.configuration()
    if table.empty:
        return Section("Configuration", remarks=("No hyperparameter differs.",))
    return Section("Configuration: what differs", table.fillna("-").reset_index())


def _metric_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row per metric and epoch, or per metric, epoch and batch, as texts."""
    digits = [_DIGITS[name] for name in rows.index.get_level_values("metric")]
    index = {str(level): rows.index.get_level_values(str(level)).astype(str) for level in rows.index.names}
    return pd.DataFrame({**index, **_side_by_side(rows, digits)})


def _side_by_side(rows: pd.DataFrame, digits: list[int]) -> dict[str, list[str]]:
    """Return both values of each row and their difference as texts."""
    difference = rows["candidate"] - rows["baseline"]
    return {
        "baseline": list(map(number, rows["baseline"], digits)),
        "candidate": list(map(number, rows["candidate"], digits)),
        "difference": list(map(signed, difference, digits)),
    }


def _within_section(comparison: RunComparison) -> Section:
    title, rows = "Inside epochs", comparison.within_epochs()
    if not comparison.has_same_batches:
        return Section(title, remarks=("Not lined up: mini_batch_size differs, so batches are not the same records.",))
    if rows.empty:
        return Section(title, remarks=("The logs tell of no batch in common.",))
    tables, remarks = [], []
    for name in rows.index.unique("metric"):
        metric = rows[rows.index.get_level_values("metric") == name]
        remarks.append(f"{name}: {len(metric)} points in common, {_largest_difference(metric)}.")
        tables.append(metric.iloc[np.unique(np.linspace(0, len(metric) - 1, _MOST_POINTS).round().astype(int))])
    return Section(title, _metric_table(pd.concat(tables)), tuple(remarks))


def _largest_difference(metric: pd.DataFrame) -> str:
    """Return the largest difference of two curves as text, if possible not at a batch 0."""
    epochs, batches = (metric.index.get_level_values(level).to_numpy() for level in ("epoch", "batch"))
    differences = metric["difference"].to_numpy()
    index = int(np.argmax(np.abs(differences) * (batches > 0)))
    difference = signed(float(differences[index]), _DIGITS[metric.index[0][0]])
    return f"largest difference {difference} at epoch {epochs[index]}, batch {batches[index]}"


def _counter_table(counters: pd.DataFrame) -> pd.DataFrame:
    digits = [1 if name.endswith("(ms)") else 0 for name in counters.index]
    return pd.DataFrame({"counter": counters.index, **_side_by_side(counters, digits)})


def _data_notes(comparison: RunComparison) -> list[str]:
    records = [run.last("Max Records Seen Between Resets") for run in (comparison.baseline, comparison.candidate)]
    if None in records or records[0] == records[1]:
        return []
    return [f"The runs did not train on the same data: {number(records[0], 0)} and {number(records[1], 0)} records an "
            "epoch."]  # fmt: skip


def _run_notes(runs: Iterable[RunLog]) -> list[str]:
    notes = []
    for run in runs:
        if not run.configuration:
            notes.append(f"{run.name} does not tell its configuration.")
        if run.num_starts > 1:
            notes.append(f"{run.name} tells of {run.num_starts} starts; the last one is shown.")
        if run.num_epochs_before:
            notes.append(
                f"{run.name} resumes from a checkpoint after {run.num_epochs_before} epochs that it does not contain."
            )
        if len(run.hosts) > 1:
            notes.append(f"{run.name} is of {len(run.hosts)} hosts: metrics are averaged, records and speeds added.")
        notes += [f"{run.name}, line {note.number}, an error: {note.text}" for note in run.errors[:_MOST_NOTES]]
        notes += [f"{run.name}, line {note.number}, not understood: {note.text}" for note in run.unknown[:_MOST_NOTES]]
        if len(run.unknown) > _MOST_NOTES:
            notes.append(f"{run.name}: {len(run.unknown):,} lines are not understood in all.")
    return notes


def history_report(history: RunHistory) -> Report:
    """Return a report with a row per run."""
    table = history.table().reset_index()
    for name, digits in {**_DIGITS, "seconds": 1}.items():
        table[name] = [number(value, digits) for value in table[name].astype(float)]
    text = table.astype(object).where(table.notna(), "-")
    return _report(
        f"{counted(len(history.runs), 'run')} read, {counted(len(history.unreadable), 'file')} not.",
        Section("Runs", text),
        Section("Notes", remarks=tuple(_run_notes(history.runs))),
        Section("Not read", remarks=tuple(reason for _, reason in history.unreadable)),
    )

"""The command ``ipinsights compare``: judge two logs, or list a folder or several logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipinsights.data.files import is_folder, write_file
from ipinsights.errors import ClientError
from ipinsights.reporting.report import json_text
from ipinsights.runs.comparison_report import comparison_report, history_report
from ipinsights.runs.criteria import METRICS, parse_tolerances
from ipinsights.runs.reader import read_run
from ipinsights.runs.run_comparison import compare
from ipinsights.runs.run_history import log_files, read_history

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ipinsights.runs.run import RunLog

__all__ = ["check_metrics", "compare_logs"]


def compare_logs(
    paths: Sequence[Path],
    *,
    tolerances: Sequence[str] = (),
    ignored: Sequence[str] = (),
    markdown: Path | None = None,
    json: Path | None = None,
    plot: Path | None = None,
    width: int | None = None,
    echo: Callable[[str], object] = print,
) -> bool:
    """Show two logs side by side, or many as a table, and write what is wanted.

    Return whether the second of two is worse than the first. Two runs without a comparable metric are a ClientError.
    """
    allowed = parse_tolerances(tolerances)
    check_metrics(ignored)
    if len(paths) == 2 and not any(map(is_folder, paths)):  # noqa: PLR2004
        comparison = compare(*map(read_run, paths), tolerances=allowed, ignored=ignored)
        report, content = comparison_report(comparison), comparison.to_json()
        runs: tuple[RunLog, ...] = (comparison.baseline, comparison.candidate)
        is_regression, is_judged = bool(comparison.regressions), comparison.is_judged
    else:
        history = read_history([file for path in paths for file in log_files(path)])
        report, content = history_report(history), history.to_json()
        runs, is_regression, is_judged = history.runs, False, True
    echo(report.text(width))
    if markdown:
        write_file(markdown, report.markdown())
    if json:
        write_file(json, json_text(content))
    if plot:
        from ipinsights.reporting.plot_style import png
        from ipinsights.runs.learning_curves import draw_runs

        write_file(plot, png(draw_runs(runs, [run.name for run in runs])))
    if not is_regression and not is_judged:
        raise ClientError(
            "There is nothing to judge: the runs have no comparable metric. Give both runs validation data or the same "
            "sampling rates."
        )
    return is_regression


def check_metrics(names: Sequence[str]) -> None:
    """Raise an error for a name that is not a metric's."""
    known = sorted(metric.name for metric in METRICS)
    for name in names:
        if name not in known:
            raise ClientError(f"'{name}' is no metric to ignore: it must be one of {', '.join(known)}.")

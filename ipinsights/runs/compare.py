"""The command ``ipinsights compare``: judge two logs, or list a folder or several logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ipinsights.data.files import write_file
from ipinsights.errors import ClientError
from ipinsights.reporting.report import Report, json_text
from ipinsights.runs.comparison_report import comparison_report, history_report
from ipinsights.runs.criteria import METRICS, parse_tolerances
from ipinsights.runs.reader import read_run
from ipinsights.runs.run_comparison import compare
from ipinsights.runs.run_history import log_files, read_history

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from ipinsights.runs.criteria import Tolerance
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

    Returns
    -------
    bool
        Is the second of two worse than the first?

    Raises
    ------
    ClientError
        A log cannot be read or holds no metrics, an option is wrong, or a file cannot be written.
    """
    allowed = parse_tolerances(tolerances)
    check_metrics(ignored)
    if len(paths) == 2 and not any(path.is_dir() for path in paths):  # noqa: PLR2004
        outcome = _judge_two(paths[0], paths[1], allowed, ignored)
    else:
        outcome = _list_many(paths)
    echo(outcome.report.text(width))
    if markdown:
        write_file(markdown, outcome.report.markdown())
    if json:
        write_file(json, json_text(outcome.content))
    if plot:
        from ipinsights.reporting.plot_style import png
        from ipinsights.runs.learning_curves import draw_runs

        write_file(plot, png(draw_runs(outcome.runs, [run.name for run in outcome.runs])))
    return outcome.is_regression


@dataclass(frozen=True)
class _Outcome:
    """What there is to show and to write."""

    report: Report
    content: dict[str, Any]
    runs: tuple[RunLog, ...]
    is_regression: bool = False


def _judge_two(
    baseline: Path, candidate: Path, tolerances: Mapping[str, Tolerance], ignored: Sequence[str]
) -> _Outcome:
    comparison = compare(read_run(baseline), read_run(candidate), tolerances=tolerances, ignored=ignored)
    return _Outcome(
        report=comparison_report(comparison),
        content=comparison.to_json(),
        runs=(comparison.baseline, comparison.candidate),
        is_regression=bool(comparison.regressions),
    )


def _list_many(paths: Sequence[Path]) -> _Outcome:
    history = read_history([file for path in paths for file in log_files(path)])
    return _Outcome(report=history_report(history), content=history.to_json(), runs=history.runs)


def check_metrics(names: Sequence[str]) -> None:
    """Refuse names that are no metrics'.

    Raises
    ------
    ClientError
        There is one.
    """
    known = sorted(metric.name for metric in METRICS)
    for name in names:
        if name not in known:
            raise ClientError(f"'{name}' is no metric to ignore: it must be one of {', '.join(known)}.")

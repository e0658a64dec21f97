"""Several training runs as one table, with a row for each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pandas as pd

from ipinsights.data.files import is_folder
from ipinsights.errors import ClientError
from ipinsights.runs.criteria import METRICS
from ipinsights.runs.reader import read_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ipinsights.runs.run import RunLog

__all__ = ["RunHistory", "log_files", "read_history"]

_SUFFIXES = {".log", ".txt", ".json", ".jsonl", ".csv", ".ipynb", ".gz"}


@dataclass(frozen=True)
class RunHistory:
    """Runs by start time, and the files that could not be read, with the reason."""

    runs: tuple[RunLog, ...]
    unreadable: tuple[tuple[str, str], ...]

    def table(self) -> pd.DataFrame:
        """Return a row per run, with the hyperparameters that differ between the runs."""
        index = pd.Index([run.name for run in self.runs], name="run")
        settings = pd.DataFrame([run.configuration for run in self.runs], index=list(index), dtype=str)
        differing = settings[[name for name in settings if name != "epochs" and len(set(settings[name])) > 1]]
        return pd.DataFrame([_row(run) for run in self.runs], index=index).join(differing.reindex(index))

    def to_json(self) -> dict[str, Any]:
        """Return all runs as values for JSON."""
        return {"runs": self.table().reset_index().to_dict("records"), "unreadable": dict(self.unreadable)}


def _row(run: RunLog) -> dict[str, Any]:
    start = None if run.start is None else datetime.fromtimestamp(run.start, timezone.utc)
    total = run.timings.get("totaltime")
    trained = "complete" if run.is_complete else f"{run.num_epochs} of {run.wanted_epochs or '?'} epochs"
    return {
        "start": None if start is None else f"{start:%Y-%m-%d %H:%M}",
        "state": "failed" if run.errors else trained,
        "epochs": run.num_epochs,
        **{metric.name: metric.of(run) for metric in METRICS},
        "seconds": None if total is None else total / 1000,
    }


def log_files(path: Path) -> list[Path]:
    """Return the log files of a folder by name, or the file itself."""
    if not is_folder(path):
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES and not file.name.startswith("."))
    if not found:
        raise ClientError(f"{path} holds no logs: their names must end in {', '.join(sorted(_SUFFIXES))}.")
    return found


def read_history(paths: Sequence[Path]) -> RunHistory:
    """Read many logs. One that cannot be read does not hide the others."""
    runs, unreadable = [], []
    for path in paths:
        try:
            runs.append(read_run(path))
        except ClientError as error:
            unreadable.append((str(path), str(error)))
    if not runs:
        raise ClientError(unreadable[0][1])
    return RunHistory(tuple(sorted(runs, key=lambda run: (run.start or 0.0, run.name))), tuple(unreadable))

"""Training logs of SageMaker and ours that several tests read."""

from __future__ import annotations

import html
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ipinsights.runs.reader import read_run

if TYPE_CHECKING:
    from ipinsights.runs.run import RunLog

LOGS = Path(__file__).parents[1] / "data" / "logs"

PREFIX = "[03/04/2022 05:06:07 INFO 140000000000001] "

TEXT = (LOGS / "sagemaker-python3.7.log").read_text(encoding="utf-8")

LINES = TEXT.splitlines()


def read_text(folder: Path, text: str | bytes) -> RunLog:
    """Read a log of this text."""
    path = folder / "run.log"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_run(path)


def same(one: RunLog, other: RunLog) -> bool:
    """Whether two logs tell the same."""
    pd.testing.assert_frame_equal(one.epochs, other.epochs, check_like=True)
    pd.testing.assert_frame_equal(one.batches, other.batches, check_like=True)
    return (one.configuration, one.timings, one.start) == (other.configuration, other.timings, other.start)


def as_page(opening: str) -> str:
    """Return the page that nbconvert makes of a notebook."""
    lines = "\n".join(f'<span class="ansi-blue-fg">{html.escape(line)}</span>' for line in LINES)
    return f'{opening}\n<meta charset="utf-8"/></head>\n<body><div>\n<pre>{lines}\n</pre>\n</div></body></html>\n'


def with_metric(run: RunLog, key: str, value: float | None) -> RunLog:
    """Return the same run with another value in all epochs, or without the metric."""
    epochs = run.epochs.drop(columns=key) if value is None else run.epochs.assign(**{key: value})
    return replace(run, name="candidate.log", epochs=epochs)

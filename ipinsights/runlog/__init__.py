"""Training logs read back: ours and SageMaker's, of every generation, whatever they are wrapped in.

``sources`` takes the wrapping off, ``lines`` says what one line is, ``reader`` gathers the lines of a job
into the one value of ``run``.
"""

from __future__ import annotations

from ipinsights.runlog.reader import read_run
from ipinsights.runlog.run import Note, RunLog

__all__ = ["Note", "RunLog", "read_run"]

"""What `train` prints and leaves, but for the values of parameters and metrics."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from .artifacts import described
from .golden import decoded, transcript
from .masking import masked, without_values
from .training_cases import JOBS, STEPS, TRIAL

if TYPE_CHECKING:
    from .builds import Build, Case, Outcome
    from .golden import Golden

pytestmark = pytest.mark.slow


def shown(outcome: Outcome) -> str:
    """Return log, exit code, files and meta data of a job, independent of the processor."""
    (done,) = outcome.done
    name, *others = outcome.case.outputs
    model = outcome.output(name)
    assert model is not None, done.stderr
    folder = (outcome.folder / name).parent
    parts = [
        f"$ ipinsights {done.command}\nexit code {done.code}",
        *([f"==> standard error\n{decoded(done.stderr)}"] if done.stderr else []),
        f"==> {folder.name}\n{' '.join(sorted(path.name for path in folder.iterdir()))}",
        *(f"==> {other}\n{decoded(outcome.output(other) or b'(no such file)')}" for other in others),
        f"==> standard output\n{without_values(masked(decoded(done.stdout)))}",
        f"==> {name}\n{described(model, values=False)}",
    ]
    return "\n".join(parts)


@pytest.mark.parametrize("given", JOBS, ids=str)
def test_log_and_meta_data_are_the_golden_file_s(given: Case, head: Build, golden: Golden) -> None:
    """A job prints the lines of the golden file, and its model has the same members and shapes."""
    golden.check(f"train/{given}", shown(head.run(given)))


def test_names_of_checkpoints_are_the_golden_file_s(head: Build, golden: Golden) -> None:
    """A job with checkpoints leaves files of the same names."""
    names = sorted(path.name for path in (head.run(STEPS).folder / "saved").iterdir())
    golden.check("train/names-of-checkpoints", "\n".join([*names, ""]))


def test_a_trial_of_a_search_is_the_golden_file_s(head: Build, golden: Golden) -> None:
    """A trial is told on standard error, the best map on standard output."""
    golden.check("train/one-trial", re.sub(r"AUC [\d.]+", "AUC #", transcript(head.run(TRIAL))))

"""Trained parameters, to the bit: of the base commit, a second run and a resumed run.

A change of initial parameters or of the order of floating point operations may change these bytes, and no others. Such
a change moves `BASE` in `builds.py`, writes the golden files anew, and says so.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from .artifacts import described, members, parameters
from .builds import case
from .masking import masked
from .training_cases import EARLY_STOPPING, JOBS, PLAIN, SEARCH, STEPS

if TYPE_CHECKING:
    from .builds import Build, Case, Outcome
    from .golden import Golden

pytestmark = pytest.mark.slow

# How long the last of them lasts depends on its metrics, and so does its log.
ALL_JOBS = (*JOBS, EARLY_STOPPING)


def model_of(outcome: Outcome) -> bytes:
    """Return the artifact that a job left."""
    content = outcome.output(outcome.case.outputs[0])
    assert content is not None, outcome.done
    return content


@pytest.mark.parametrize("given", ALL_JOBS, ids=str)
def test_parameters_are_close_to_the_golden_file_s(given: Case, head: Build, golden: Golden) -> None:
    """A job trains the parameters it always did, up to the last digits."""
    golden.check(f"parameters/{given}", described(model_of(head.run(given)), values=True), close=True)


@pytest.mark.parametrize("given", ALL_JOBS, ids=str)
def test_members_are_the_base_s(given: Case, head: Build, base: Build) -> None:
    """A job leaves the artifact that the base commit leaves, member by member."""
    assert members(model_of(head.run(given))) == members(model_of(base.run(given)))


@pytest.mark.parametrize("given", ALL_JOBS, ids=str)
def test_metrics_are_the_base_s(given: Case, head: Build, base: Build) -> None:
    """A job logs the values that the base commit logs, digit by digit."""
    found, expected = (masked(build.run(given).done[-1].stdout.decode()) for build in (head, base))
    assert found == expected


def test_two_runs_of_one_seed_are_equal(head: Build) -> None:
    """The same job gives the same file."""
    again = case("again", *PLAIN.commands, outputs=PLAIN.outputs[0])
    assert model_of(head.run(again)) == model_of(head.run(PLAIN))


def test_another_seed_is_another_model(head: Build) -> None:
    """The comparison of parameters can tell two models apart."""
    other = next(job for job in JOBS if job.name == "seed")
    one, two = (parameters(model_of(head.run(job))) for job in (PLAIN, other))
    assert list(one) == list(two)
    assert all((one[name] != two[name]).any() for name in one)


@pytest.mark.parametrize("kept", [1, 4])
def test_a_resumed_job_is_equal(kept: int, head: Build) -> None:
    """A job resumed from an early checkpoint has the file of an uninterrupted job."""
    assert resumed(head, head.run(STEPS), kept) == model_of(head.run(STEPS))


def test_a_job_of_the_base_is_resumed(head: Build, base: Build) -> None:
    """A checkpoint of the base commit is resumed, and gives the base's parameters."""
    model = resumed(head, base.run(STEPS), 2)
    assert members(model) == members(model_of(base.run(STEPS)))


def test_a_search_is_the_base_s(head: Build, base: Build) -> None:
    """A study that is continued tries and finds what the base commit tries and finds."""
    found, expected = head.run(SEARCH), base.run(SEARCH)
    assert [done.code for done in found.done] == [0, 0]
    assert found.done == expected.done
    assert found.output("best.json") == expected.output("best.json")


def resumed(build: Build, whole: Outcome, kept: int) -> bytes:
    """Return the model of a job that resumes from the last of another job's oldest checkpoints."""
    folder = build.new_folder()
    shutil.copytree(whole.folder / "saved", folder / "saved")
    checkpoints = sorted((folder / "saved").glob("checkpoint-*"))
    assert len(checkpoints) > kept
    for later in checkpoints[kept:]:
        later.unlink()
    (done,) = build.run_in(folder, *STEPS.commands)
    assert b"Resuming from checkpoint" in done.stdout
    return (folder / STEPS.outputs[0]).read_bytes()

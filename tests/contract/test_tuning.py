"""What a search of hyperparameters prints and writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .builds import case
from .golden import transcript

if TYPE_CHECKING:
    from .builds import Build
    from .golden import Golden

pytestmark = pytest.mark.slow

SEARCH = (
    "tune --train train.csv --validation validation.csv --study study.db --tune epochs=1:3 --tune learning_rate"
    " -H num_entity_vectors=60 -H vector_dim=8 -H mini_batch_size=100 --seed 1"
)
TWO_TRIALS = case("two-trials", f"{SEARCH} --trials 1", f"{SEARCH} --trials 2 -o best.json", outputs="best.json")
FIXED = case("one-trial", f"{SEARCH.replace('1:3', '2:2').replace(' --tune learning_rate', '')} --trials 1")


def test_the_best_map_is_the_base_s(head: Build, base: Build) -> None:
    """A study that is continued tries and finds what the base commit tries and finds."""
    found, expected = head.run(TWO_TRIALS), base.run(TWO_TRIALS)
    assert [done.code for done in found.done] == [0, 0]
    assert found.done == expected.done
    assert found.output("best.json") == expected.output("best.json")


def test_a_trial_is_close_to_the_golden_file_s(head: Build, golden: Golden) -> None:
    """A trial is told on standard error, the best map on standard output."""
    golden.check("tune/one-trial", transcript(head.run(FIXED)), close=True)

"""Searches on planted data, where a useful learning rate is known to beat a useless one."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ipinsights.errors import ClientError
from ipinsights.testing import PlantedNetworks
from ipinsights.tuning.search_range import SearchRange
from ipinsights.tuning.study import Tuner

if TYPE_CHECKING:
    from pathlib import Path

FIXED = {"num_entity_vectors": "40", "vector_dim": "8", "mini_batch_size": "100"}
_RNG = np.random.default_rng(5)
_PLANTED = PlantedNetworks.draw(20, rng=_RNG)
TRAIN, VALIDATION = _PLANTED.pairs(2000, rng=_RNG), _PLANTED.pairs(500, rng=_RNG)


def tuner(study: Path, *ranges: str, **options: Any) -> Tuner:
    """Return a tuner on planted data."""
    epochs = {} if any(text.startswith("epochs") for text in ranges) else {"epochs": "2"}
    settings = {"fixed": {**FIXED, **epochs}, "train": TRAIN, "validation": VALIDATION, **options}
    return Tuner(study, ranges=[SearchRange.parse(text) for text in ranges], **settings)


class TestTuner:
    """Searches and their files."""

    def test_finds_what_learns(self, tmp_path: Path) -> None:
        """The best map has the rate that learns, the highest AUC and the fixed values."""
        search = tuner(tmp_path / "s.db", "learning_rate=0.000001:0.1")
        outcomes = list(search.run(6))
        assert [outcome.number for outcome in outcomes] == [1, 2, 3, 4, 5, 6]
        winner = max(outcomes, key=lambda outcome: outcome.auc or 0)
        assert search.best() == {**FIXED, "epochs": "2", **winner.values}
        assert float(search.best()["learning_rate"]) > 1e-3
        assert winner.auc is not None
        assert winner.auc > 0.9

    @pytest.mark.slow
    def test_goes_on_as_if_never_interrupted(self, tmp_path: Path) -> None:
        """An interrupted study has the same trials as a single run, to the last digit.

        A trial was killed between the two runs.
        """
        whole = list(tuner(tmp_path / "whole.db", "epochs=1:3", "learning_rate").run(7))
        halves = list(islice(tuner(tmp_path / "halves.db", "epochs=1:3", "learning_rate").run(7), 3))
        interrupted = tuner(tmp_path / "halves.db", "epochs=1:3", "learning_rate")
        interrupted._study.ask()
        again = tuner(tmp_path / "halves.db", "epochs=1:3", "learning_rate")
        halves += again.run(7)
        assert halves == whole
        assert again.outcomes() == whole
        assert list(again.run(7)) == []

    @pytest.mark.parametrize(
        ("changes", "different"),
        [({"seed": 1}, "seed"), ({"fixed": {**FIXED, "mini_batch_size": "50"}}, "fixed"),
         ({"train": VALIDATION, "stop_early": True}, "data, stop_early")],
    )  # fmt: skip
    def test_study_of_another_search(self, tmp_path: Path, changes: dict[str, Any], different: str) -> None:
        """A study resumes only with its data, ranges and settings, and any difference is named."""
        tuner(tmp_path / "s.db", "learning_rate")
        message = f"{tmp_path / 's.db'} is the study of another search, with other: {different}. Give another file."
        with pytest.raises(ClientError, match=f"^{re.escape(message)}$"):
            tuner(tmp_path / "s.db", "learning_rate", **changes)

    @pytest.mark.parametrize(
        ("content", "reason"), [(b"no database at all" * 100, "file is not a database"), (None, "unable to open")]
    )
    def test_file_that_is_no_study(self, tmp_path: Path, content: bytes | None, reason: str) -> None:
        """A file that is no database, or cannot be made, is refused in one sentence."""
        path = tmp_path / "missing" / "s.db" if content is None else tmp_path / "s.db"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ClientError, match=f"^{re.escape(str(path))} cannot be used as a study: {reason}"):
            tuner(path, "learning_rate")

    def test_impossible_trial_is_told_and_passed_over(self, tmp_path: Path) -> None:
        """A trial with contradictory values fails with the reason, and the search continues.

        The failed trial is not the best.
        """
        ranges = ("random_negative_sampling_rate=0:1", "shuffled_negative_sampling_rate=0:1")
        search = tuner(tmp_path / "s.db", *ranges)
        outcomes = list(search.run(8))
        failed = [outcome for outcome in outcomes if set(outcome.values.values()) == {"0"}]
        assert failed
        for outcome in failed:
            assert outcome.auc is None
            assert outcome.note == (
                "random_negative_sampling_rate + shuffled_negative_sampling_rate must be from 1 to 500; it is 0 + 0."
            )
        assert all(outcome.auc is not None for outcome in outcomes if outcome not in failed)
        assert set(search.best().values()) != {"0"}

    def test_no_trial_yet(self, tmp_path: Path) -> None:
        """A search without a trial that was trained to its end has no best map, and says so."""
        message = "No trial was trained to its end, so there is no best one. Their notes say why."
        with pytest.raises(ClientError, match=f"^{re.escape(message)}$"):
            tuner(tmp_path / "s.db", "learning_rate").best()

    def test_stops_what_is_behind(self, tmp_path: Path) -> None:
        """With early stopping, a trial below the median ends early and never is the best."""
        search = tuner(tmp_path / "s.db", "learning_rate=0.000001:0.1", stop_early=True)
        outcomes = list(search.run(10))
        stopped = [outcome for outcome in outcomes if outcome.note]
        assert {outcome.note for outcome in stopped} == {"stopped early, after epoch 1"}
        assert search.best()["learning_rate"] not in {outcome.values["learning_rate"] for outcome in stopped}


class TestRefusals:
    """What no trial could be made of."""

    @pytest.mark.parametrize(
        ("ranges", "message"),
        [((), "There is nothing to tune: name at least one hyperparameter."),
         (("epochs", "epochs=1:2"), "'epochs' is given more than once: tune it, or fix it."),
         (("vector_dim",), "'vector_dim' is given more than once: tune it, or fix it.")],
    )  # fmt: skip
    def test_ranges(self, tmp_path: Path, ranges: tuple[str, ...], message: str) -> None:
        """No range, repeated ranges and ranges of fixed values are refused before the study exists."""
        with pytest.raises(ClientError, match=f"^{re.escape(message)}$"):
            tuner(tmp_path / "s.db", *ranges)
        assert not (tmp_path / "s.db").exists()

    def test_fixed(self, tmp_path: Path) -> None:
        """A fixed hyperparameter that is wrong is refused before the study is made."""
        with pytest.raises(ClientError, match=r"^Hyperparameter 'epochs' must be an integer, at least 1; it is '0'\.$"):
            tuner(tmp_path / "s.db", "learning_rate", fixed={**FIXED, "epochs": "0"})
        assert not (tmp_path / "s.db").exists()

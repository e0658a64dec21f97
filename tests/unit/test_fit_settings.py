"""Parameters of the estimator as settings of a fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ipinsights import Callback, InvalidValueError, IPInsights
from ipinsights.data.pairs import Pairs
from ipinsights.training.fit_settings import (
    HYPERPARAMETERS,
    check_history,
    checked_callbacks,
    choose_hyperparameters,
    draw_seed,
    num_threads,
)

TRAIN = Pairs((np.arange(300) % 7).astype(np.uint64), np.arange(300, dtype=np.uint32))


def parameters(**given: Any) -> dict[str, Any]:
    """Return the parameters of an estimator, with their defaults."""
    found: dict[str, Any] = IPInsights(**given).get_params(deep=False)
    return found


def test_hyperparameters_are_parameters() -> None:
    """The estimator has a parameter for each hyperparameter."""
    assert set(HYPERPARAMETERS) <= set(parameters())


def test_sizes_follow_from_the_data() -> None:
    """A size that is None is chosen, and a given one is kept."""
    found = choose_hyperparameters(parameters(epochs=3, vector_dim=np.int64(8)), TRAIN)
    assert (found.num_entity_vectors, found.vector_dim, found.mini_batch_size, found.epochs) == (14, 8, 32, 3)


def test_the_history_is_a_hyperparameter() -> None:
    """The three parameters of the history are hyperparameters of the job."""
    found = choose_hyperparameters(parameters(keep_history=True, ipv6=True, history_rows_per_entity=5), TRAIN)
    assert (found.keep_history, found.ipv6, found.history_rows_per_entity) == (True, True, 5)
    assert not choose_hyperparameters(parameters(), TRAIN).keep_history


def test_invalid_hyperparameters_are_value_errors() -> None:
    """The message is that of a job."""
    with pytest.raises(InvalidValueError) as caught:
        choose_hyperparameters(parameters(vector_dim=2), TRAIN)
    assert str(caught.value) == "Hyperparameter 'vector_dim' must be an integer from 4 to 4096; it is 2."


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ipv6": 1}, "ipv6 must be True or False. Got 1."),
        ({"history_rows_per_entity": 0}, "history_rows_per_entity must be a positive integer or None. Got 0."),
        (
            {"history_rows_per_entity": 5},
            "history_rows_per_entity needs a history: set keep_history to True, or leave it out.",
        ),
    ],
)
def test_parameters_of_the_history_are_checked(given: dict[str, Any], message: str) -> None:
    """The message names the parameter, the rule and the value."""
    with pytest.raises(InvalidValueError) as caught:
        check_history(parameters(**given))
    assert str(caught.value) == message


@pytest.mark.parametrize("make", [np.random.RandomState, np.random.default_rng])
def test_a_generator_draws_the_seed(make: Any) -> None:
    """Equal generators draw equal seeds, and the next seed is another one."""
    generator = make(5)
    assert draw_seed(make(5)) == draw_seed(generator) != draw_seed(generator)


def test_a_negative_seed_is_refused() -> None:
    """The message has the rule and the value."""
    with pytest.raises(InvalidValueError) as caught:
        draw_seed(-1)
    assert str(caught.value) == "random_state must be an integer of at least 0. Got -1."


def test_threads_are_all_or_a_number() -> None:
    """None and -1 are all cores available, and 0 is refused."""
    assert [num_threads(jobs) for jobs in (None, -1, 3)] == [None, None, 3]


@pytest.mark.parametrize("jobs", [0, -2, "2", 1.5])
def test_invalid_numbers_of_threads_are_refused(jobs: Any) -> None:
    """n_jobs is an integer, as scikit-learn has it, but not one that leaves out processors."""
    with pytest.raises(InvalidValueError) as caught:
        num_threads(jobs)
    assert str(caught.value) == f"n_jobs must be a positive integer, -1 or None. Got {jobs!r}."


@pytest.mark.parametrize("callbacks", [None, 1, ["x"]])
def test_callbacks_that_are_none_are_refused_before_training(callbacks: Any) -> None:
    """Callbacks are a list of objects of one class."""
    with pytest.raises(InvalidValueError) as caught:
        checked_callbacks(callbacks)
    assert str(caught.value) == f"callbacks must be a list of objects of ipinsights.Callback. Got {callbacks!r}."


def test_callbacks_are_kept_in_their_order() -> None:
    """The order of callbacks is that of their calls."""
    given = [Callback(), Callback()]
    assert checked_callbacks(iter(given)) == tuple(given)

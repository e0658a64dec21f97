"""Settings of a fit in memory, from the parameters of an estimator in scikit-learn's style."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.errors import ClientError, InvalidValueError
from ipinsights.model.history_settings import SCORER
from ipinsights.training.automatic_sizes import SIZES, SizeChoice
from ipinsights.training.callbacks import Callback

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ipinsights.data.pairs import Pairs

__all__ = [
    "HYPERPARAMETERS", "check_history", "checked_callbacks", "choose_hyperparameters", "draw_seed", "invalid_value",
    "num_threads",
]  # fmt: skip

HYPERPARAMETERS = (
    "num_entity_vectors", "vector_dim", "batch_metrics_publish_interval", "epochs", "learning_rate", "mini_batch_size",
    "num_ip_encoder_layers", "random_negative_sampling_rate", "shuffled_negative_sampling_rate", "weight_decay",
)  # fmt: skip
"""Parameters that are SageMaker's hyperparameters."""

_LARGEST_SEED = 2**31 - 1


def check_history(parameters: Mapping[str, Any]) -> None:
    """Check the parameters about the history before anything is read."""
    for name in ("keep_history", "ipv6"):
        if not isinstance(parameters[name], (bool, np.bool_)):
            raise InvalidValueError(f"{name} must be True or False. Got {parameters[name]!r}.")
    limit = parameters["history_rows_per_entity"]
    if limit is not None and not (isinstance(limit, (int, np.integer)) and limit > 0):
        raise InvalidValueError(f"history_rows_per_entity must be a positive integer or None. Got {limit!r}.")
    given = {
        "ipv6": parameters["ipv6"],
        "history_rows_per_entity": limit is not None,
        "scorer 'history'": parameters["scorer"] == SCORER,
    }
    needless = [name for name, is_given in given.items() if is_given]
    if needless and not parameters["keep_history"]:
        raise InvalidValueError(f"{needless[0]} needs a history: set keep_history to True, or leave it out.")


def choose_hyperparameters(parameters: Mapping[str, Any], train: Pairs) -> Hyperparameters:
    """Return checked hyperparameters, with sizes from the data where the parameter is None."""
    values = {name: parameters[name] for name in HYPERPARAMETERS}
    values["_history_rows_per_entity"] = parameters["history_rows_per_entity"]
    # Numbers of NumPy become those of Python.
    given = {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in values.items()
        if value is not None
    }
    given |= {f"_{name}": "true" for name in ("keep_history", "ipv6") if parameters[name]}
    choice = SizeChoice(given, tuple(name for name in SIZES if name not in given))
    with invalid_value():
        choice.check()  # before any value follows from an invalid one
        return Hyperparameters.parse(choice.complete(train))


def draw_seed(random_state: Any) -> int:
    """Return the seed of a fit: an integer itself, or one drawn from a generator.

    >>> draw_seed(7)
    7
    """
    from sklearn.utils import check_random_state

    if isinstance(random_state, (int, np.integer)):
        if random_state < 0:
            raise InvalidValueError(f"random_state must be an integer of at least 0. Got {random_state}.")
        return int(random_state)
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(_LARGEST_SEED))
    return int(check_random_state(random_state).randint(_LARGEST_SEED))


def num_threads(n_jobs: Any) -> int | None:
    """Return the number of threads that train, None for all cores available."""
    if n_jobs is None or n_jobs == -1:
        return None
    if not isinstance(n_jobs, (int, np.integer)) or n_jobs < 1:
        raise InvalidValueError(f"n_jobs must be a positive integer, -1 or None. Got {n_jobs!r}.")
    return int(n_jobs)


def checked_callbacks(callbacks: Any) -> tuple[Callback, ...]:
    """Return callbacks as they are called, or raise an InvalidValueError for other objects."""
    found = tuple(callbacks) if isinstance(callbacks, Iterable) else None
    if found is None or not all(isinstance(callback, Callback) for callback in found):
        raise InvalidValueError(f"callbacks must be a list of objects of ipinsights.Callback. Got {callbacks!r}.")
    return found


@contextlib.contextmanager
def invalid_value() -> Iterator[None]:
    """Raise errors of hyperparameters as scikit-learn expects them, as a ValueError."""
    try:
        yield
    except ClientError as error:
        raise InvalidValueError(str(error)) from None

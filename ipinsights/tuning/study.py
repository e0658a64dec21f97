"""Tuning: search for the hyperparameters with the best validation, as SageMaker's jobs do.

The study is stored in a file, and resumes when it is run again: what a trial draws follows from the seed and
from the trials that ended before it, so that a search that was interrupted ends as one that was not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.data.pairs import fingerprint
from ipinsights.errors import ClientError, missing_package_reported
from ipinsights.training.callbacks import Callback

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import optuna

    from ipinsights.data.pairs import Pairs
    from ipinsights.training.trainer import Trainer
    from ipinsights.tuning.search_range import SearchRange

__all__ = ["OBJECTIVE", "Outcome", "Tuner"]

OBJECTIVE = "validation:discriminator_auc"
"""What is maximised: the only objective that the original documents."""

_SETTINGS = "settings"
_VALUES = "hyperparameters"
_NOTE = "note"


@dataclass(frozen=True)
class Outcome:
    """What came of one trial."""

    # From 1.
    number: int
    # The hyperparameters that were searched, by name.
    values: Mapping[str, str]
    # Validation AUC after the last epoch that was trained, or None.
    auc: float | None
    # Why the trial failed or ended early, empty when it was trained to its end.
    note: str


class Tuner:
    """A search in a file, SQLite, which is made when it does not exist.

    ``fixed`` are the hyperparameters that all trials share. The ``seed`` is that of the search and of every training.
    ``stop_early`` ends a trial after an epoch in which it is behind the median of the trials before it at that epoch.
    It is a ClientError if optuna is not installed, or the file is no study or that of another search.
    """

    def __init__(
        self,
        study: Path,
        *,
        ranges: Sequence[SearchRange],
        fixed: Mapping[str, Any],
        train: Pairs,
        validation: Pairs,
        seed: int = 0,
        stop_early: bool = False,
    ) -> None:
        self._ranges = tuple(ranges)
        self._fixed = dict(fixed)
        self._train, self._validation = train, validation
        self._seed = seed
        self._check_ranges()
        self._study = _open_study(study, stop_early=stop_early)
        _claim(self._study, self._settings(stop_early=stop_early), study)

    def run(self, num_trials: int) -> Iterator[Outcome]:
        """Yield the outcome of each trial as it ends, up to ``num_trials`` with earlier runs."""
        while (num_finished := len(self.outcomes())) < num_trials:
            self._study.sampler = _sampler(self._seed, num_finished)
            self._try(self._study.ask())
            yield self.outcomes()[-1]

    def outcomes(self) -> list[Outcome]:
        """Return the outcomes of all finished trials, including those of earlier runs, in order."""
        finished = (trial for trial in self._study.trials if trial.state.is_finished())
        return [_outcome(number, trial) for number, trial in enumerate(finished, start=1)]

    def best(self) -> dict[str, str]:
        """Return all hyperparameters of the best trial for ``ipinsights train --hyperparameters``."""
        complete = [outcome for outcome in self.outcomes() if outcome.auc is not None and not outcome.note]
        if not complete:
            raise ClientError("No trial was trained to its end, so there is no best one. Their notes say why.")
        winner = max(complete, key=lambda outcome: outcome.auc or 0.0)
        return {**{name: str(value) for name, value in self._fixed.items()}, **winner.values}

    def _check_ranges(self) -> None:
        """Refuse what no trial could be made of, before any is begun."""
        names = [bounds.row.name for bounds in self._ranges]
        twice = [name for name in names if names.count(name) > 1 or name in self._fixed]
        if not names:
            raise ClientError("There is nothing to tune: name at least one hyperparameter.")
        if twice:
            raise ClientError(f"'{twice[0]}' is given more than once: tune it, or fix it.")
        Hyperparameters.parse({**self._fixed, **{bounds.row.name: bounds.high for bounds in self._ranges}})

    def _settings(self, *, stop_early: bool) -> dict[str, Any]:
        """Return the settings that must be equal for comparable trials of one study."""
        data = [array for pairs in (self._train, self._validation) for array in (pairs.entities, pairs.ips)]
        return {
            "ranges": {bounds.row.name: [bounds.low, bounds.high] for bounds in self._ranges},
            "fixed": {name: str(value) for name, value in self._fixed.items()},
            "data": fingerprint(*data),
            "seed": self._seed,
            "stop_early": stop_early,
        }

    def _try(self, trial: optuna.Trial) -> None:
        """Train with a trial's hyperparameters and tell the study what came of it."""
        from optuna.trial import TrialState

        values = {bounds.row.name: bounds.suggest(trial) for bounds in self._ranges}
        trial.set_user_attr(_VALUES, values)
        try:
            auc, stopped = self._train_with(values, trial)
        except ClientError as error:
            trial.set_user_attr(_NOTE, str(error))
            self._study.tell(trial, state=TrialState.FAIL)
            return
        if stopped:
            trial.set_user_attr(_NOTE, f"stopped early, after epoch {stopped}")
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, auc)

    def _train_with(self, values: Mapping[str, str], trial: optuna.Trial) -> tuple[float, int]:
        """Train. Return the AUC and the epoch after which the trial was stopped, 0 if it was not."""
        from ipinsights.training.trainer import Trainer

        watcher = _MedianWatcher(trial)
        hyperparameters = Hyperparameters.parse({**self._fixed, **values})
        trainer = Trainer(hyperparameters, seed=self._seed, callbacks=(watcher,))
        trainer.fit(self._train, self._validation)
        assert trainer.state.validation_auc is not None
        return trainer.state.validation_auc, watcher.stopped_after


class _MedianWatcher(Callback):
    """Report each epoch's AUC to the study, and stop a trainer that the study prunes."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial
        self.stopped_after = 0

    def on_epoch_end(self, trainer: Trainer) -> None:
        """Report an epoch. The last epoch is not stopped any more."""
        state = trainer.state
        assert state.validation_auc is not None
        self._trial.report(state.validation_auc, state.epoch)
        if state.epoch + 1 < trainer.hyperparameters.epochs and self._trial.should_prune():
            self.stopped_after = state.epoch + 1
            state.stop = True


def _open_study(path: Path, *, stop_early: bool) -> optuna.Study:
    with missing_package_reported("Tuning needs optuna", "optuna"):
        import optuna
    from sqlalchemy.exc import DatabaseError
    from sqlalchemy.pool import NullPool

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=3) if stop_early else optuna.pruners.NopPruner()
    try:
        # Without a pool, no connection to the file stays open between two calls.
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}", engine_kwargs={"poolclass": NullPool})
        return optuna.create_study(
            storage=storage, study_name="ipinsights", direction="maximize", load_if_exists=True, pruner=pruner
        )
    except DatabaseError as error:
        raise ClientError(f"{path} cannot be used as a study: {error.orig}.") from None


def _claim(study: optuna.Study, settings: dict[str, Any], path: Path) -> None:
    """Mark a new study as this search's, or check that an old one is."""
    found = study.user_attrs.get(_SETTINGS)
    if found is None:
        study.set_user_attr(_SETTINGS, settings)
    elif found != settings:
        different = ", ".join(name for name in settings if found.get(name) != settings[name])
        raise ClientError(f"{path} is the study of another search, with other: {different}. Give another file.")


def _sampler(seed: int, num_finished: int) -> optuna.samplers.BaseSampler:
    import optuna

    own_seed = int(np.random.SeedSequence([seed, num_finished]).generate_state(1)[0])
    return optuna.samplers.TPESampler(seed=own_seed, n_startup_trials=5)


def _outcome(number: int, trial: optuna.trial.FrozenTrial) -> Outcome:
    note = trial.user_attrs.get(_NOTE, "")
    epochs = trial.intermediate_values
    return Outcome(number, trial.user_attrs[_VALUES], epochs[max(epochs)] if epochs else None, note)

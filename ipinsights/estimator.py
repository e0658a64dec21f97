"""The Python interface: an outlier detector in the style of scikit-learn."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.data.frames import read_rows
from ipinsights.errors import ClientError, InvalidValueError
from ipinsights.inference.detector import Detector
from ipinsights.inference.predictor import Predictor
from ipinsights.inference.threshold import THRESHOLD_FILE, Threshold
from ipinsights.model import artifact
from ipinsights.model.model_reference import ModelReference
from ipinsights.training.automatic_sizes import choose_sizes
from ipinsights.training.epoch_records import EpochRecorder, RunBar
from ipinsights.training.in_memory import train_in_memory
from ipinsights.training.signals import stopped_by_interrupt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from typing_extensions import Self

    from ipinsights.data.pairs import Pairs
    from ipinsights.model.artifact import Artifact
    from ipinsights.training.callbacks import Callback

__all__ = ["IPInsights"]

_HYPERPARAMETERS = (
    "num_entity_vectors", "vector_dim", "batch_metrics_publish_interval", "epochs", "learning_rate", "mini_batch_size",
    "num_ip_encoder_layers", "random_negative_sampling_rate", "shuffled_negative_sampling_rate", "weight_decay",
)  # fmt: skip
_SIZES = ("num_entity_vectors", "vector_dim", "mini_batch_size", "epochs")
_LARGEST_SEED = 2**31 - 1


class IPInsights(Detector, OutlierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Detector of unusual pairs of an entity and an IPv4 address.

    It learns which addresses are normal for an entity, such as a user, and scores pairs that it never saw. Data are
    DataFrames with two columns, or with columns ``entity`` and ``ip`` among others, arrays of shape (n, 2), lists of
    pairs, or paths of CSV files. Results for a DataFrame are Series with its index.

    Parameters
    ----------
    num_entity_vectors
        Rows of the table that entities are hashed into. If None, twice the number of entities, and more where the hash
        would collide often.
    vector_dim
        Width of the embeddings of entities and addresses. If None, 128.
    batch_metrics_publish_interval
        Interval of the log's metrics in batches. It is stored with the model and changes nothing else.
    epochs
        Passes over the training data. If None, enough for 3,000 optimizer steps, from 10 to 100.
    learning_rate
        Step size of the Adam optimizer, default 0.001.
    mini_batch_size
        Records of one optimizer step. If None, a hundredth of the rows, from 32 to 10,000.
    num_ip_encoder_layers
        Fully connected layers that encode an address, default 1.
    random_negative_sampling_rate
        Negatives with a random address for each row, default 1.
    shuffled_negative_sampling_rate
        Negatives with the address of another row of the batch for each row, default 1.
    weight_decay
        L2 regularization of all parameters but the embeddings of entities, default 0.00001.
    random_state
        Seed of every random draw, the ``--seed`` of the command line, default 0. A generator of NumPy gives a seed.
        None gives another seed to each fit.
    n_jobs
        Number of threads that train. None or -1 uses all processors of the process.
    callbacks
        Callbacks of training, see :class:`ipinsights.Callback`.
    progress
        Whether a progress bar is shown. None shows it on a terminal and in a notebook.

    Attributes
    ----------
    num_entity_vectors_, vector_dim_, mini_batch_size_, epochs_
        Sizes that were given or chosen.
    hyperparameters_
        All hyperparameters of the model as SageMaker's map of strings.
    offset_
        Score below which a pair is an outlier: 0, or the threshold after :meth:`calibrate`.
    threshold_
        Threshold of :meth:`calibrate`, None before.
    history_
        DataFrame with the metrics of each epoch: ``epoch``, ``accuracy``, ``cross_entropy``, ``validation_auc``,
        ``seconds``. It is empty after :meth:`load`.
    n_features_in_
        Number of columns: 2.
    seed_
        Seed that the model was trained with.

    Examples
    --------
    >>> import pandas as pd
    >>> from ipinsights import IPInsights
    >>> logins = pd.DataFrame({"user": ["alice", "bob"] * 50, "address": ["192.0.2.1", "203.0.113.9"] * 50})
    >>> model = IPInsights(vector_dim=8, learning_rate=0.01, progress=False).fit(logins)
    >>> model.predict(pd.DataFrame({"user": ["alice", "alice"], "address": ["192.0.2.1", "203.0.113.9"]}))
    0    1
    1   -1
    Name: prediction, dtype: int64
    """

    def __init__(
        self,
        *,
        num_entity_vectors: int | None = None,
        vector_dim: int | None = None,
        batch_metrics_publish_interval: int = 1000,
        epochs: int | None = None,
        learning_rate: float = 0.001,
        mini_batch_size: int | None = None,
        num_ip_encoder_layers: int = 1,
        random_negative_sampling_rate: int = 1,
        shuffled_negative_sampling_rate: int = 1,
        weight_decay: float = 0.00001,
        random_state: int | np.random.RandomState | None = 0,
        n_jobs: int | None = None,
        callbacks: Sequence[Callback] = (),
        progress: bool | None = None,
    ) -> None:
        self.num_entity_vectors = num_entity_vectors
        self.vector_dim = vector_dim
        self.batch_metrics_publish_interval = batch_metrics_publish_interval
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.mini_batch_size = mini_batch_size
        self.num_ip_encoder_layers = num_ip_encoder_layers
        self.random_negative_sampling_rate = random_negative_sampling_rate
        self.shuffled_negative_sampling_rate = shuffled_negative_sampling_rate
        self.weight_decay = weight_decay
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.callbacks = callbacks
        self.progress = progress

    @classmethod
    def from_sagemaker(cls, hyperparameters: Mapping[str, Any], **parameters: Any) -> Self:
        """Return an estimator with the hyperparameters of a SageMaker job.

        Sizes are required and other defaults are SageMaker's: nothing is chosen from the data.

        Parameters
        ----------
        hyperparameters
            Map of strings, as a training job has it.
        parameters
            Parameters that SageMaker has not, such as ``random_state``.

        Raises
        ------
        InvalidValueError
            Hyperparameters are unknown, missing or invalid. All of them are named.

        Examples
        --------
        >>> IPInsights.from_sagemaker({"num_entity_vectors": "20000", "vector_dim": "128"}).epochs
        10
        """
        values = _parse(hyperparameters)
        return cls(**{name: getattr(values, name) for name in _HYPERPARAMETERS}, **parameters)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Return the estimator of a model that was saved here, by ``ipinsights train`` or by SageMaker's job.

        Parameters
        ----------
        path
            Model directory, ``model_algo-1`` file or ``model.tar.gz``. Its tables are memory-mapped. A threshold in
            the directory sets ``offset_``.

        Raises
        ------
        ClientError
            There is no model at the path, or the file is damaged.
        """
        path = Path(path)
        model, reference = artifact.load(path), ModelReference.of(path)
        values = {name: getattr(model.hyperparameters, name) for name in _HYPERPARAMETERS}
        estimator = cls(**values, random_state=model.meta["training"].get("seed", 0))
        estimator._adopt(model, reference=reference)
        if (path / THRESHOLD_FILE).is_file():
            estimator._use_threshold(path / THRESHOLD_FILE)
        return estimator

    def fit(self, X: Any, y: Any = None, *, validation: Any = None) -> Self:  # noqa: ARG002, N803 - scikit-learn's names
        """Train on pairs, in their order.

        Ctrl-C ends training after the current batch: the model is what was trained until then, and a warning says so.

        Parameters
        ----------
        X
            Pairs: a DataFrame, an array of shape (n, 2), a list or a path. Negatives are drawn among neighbouring
            rows, so rows that are sorted by entity must be shuffled first.
        y
            Ignored.
        validation
            Later pairs to measure ``validation_auc`` on after each epoch. None for no validation.

        Raises
        ------
        ClientError
            Parameters or rows are invalid, memory is missing, or training diverged.
        """
        progress = self.progress is not False
        train = read_rows(X, can_be_empty=False, progress=progress).pairs
        held_out = None
        if validation is not None:
            held_out = read_rows(validation, name="validation", can_be_empty=False, progress=progress).pairs
        hyperparameters, seed, recorder = self._choose(train), self._draw_seed(), EpochRecorder()
        model = train_in_memory(
            hyperparameters,
            train,
            held_out,
            seed=seed,
            num_threads=self._num_threads(),
            callbacks=(recorder, RunBar(is_shown=self.progress), *self.callbacks),
            stopped_by=stopped_by_interrupt,
        )
        self._adopt(model, train=train, records=recorder.records)
        return self

    def save(self, path: str | Path) -> Path:
        """Write the model into a directory, and its threshold if there is one, and return the model file.

        The file has the same bytes as that of ``ipinsights train`` with the same settings, data and seed.

        Raises
        ------
        ClientError
            The directory cannot be written, or the disk is full.
        """
        check_is_fitted(self)
        directory = Path(path)
        file = artifact.write(directory, self._model)
        # A threshold of the model that was there before would be refused.
        if self.threshold_ is None:
            (directory / THRESHOLD_FILE).unlink(missing_ok=True)
        else:
            self.threshold_.save(directory / THRESHOLD_FILE)
        self._reference = ModelReference.of(file)
        return file

    def clone(self) -> Self:
        """Return an estimator with the same parameters that is not fitted."""
        copied: Self = clone(self)
        return copied

    @property
    def predictor_(self) -> Predictor:
        """Predictor of the fitted model."""
        check_is_fitted(self)
        return self._predictor

    @property
    def history_(self) -> pd.DataFrame:
        """Metrics of each epoch."""
        import pandas as pd

        check_is_fitted(self)
        return pd.DataFrame(self._records, columns=["epoch", "accuracy", "cross_entropy", "validation_auc", "seconds"])

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_model")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.two_d_array = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for pickle: a reference in place of a model whose file is still there."""
        state = {**super().__getstate__(), "_train": None, "_predictor": None}
        if "_model" in state and state["_reference"] is not None and state["_reference"].is_current():
            state["_model"] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self.__sklearn_is_fitted__():
            if self._model is None:
                self._model = self._reference.load()
            self._predictor = Predictor(self._model)

    def _choose(self, train: Pairs) -> Hyperparameters:
        """Return checked hyperparameters, with sizes from the data where none are given."""
        values = {name: _plain(getattr(self, name)) for name in _HYPERPARAMETERS}
        given = {name: value for name, value in values.items() if value is not None}
        # Invalid values are refused before any follows from them.
        checked = _parse({"num_entity_vectors": 1, "vector_dim": 4, **given})
        sizes = choose_sizes(
            train.entities,
            records_per_row=checked.records_per_row,
            **{name: getattr(checked, name) if name in given else None for name in _SIZES},
        )
        return _parse({**given, **vars(sizes)})

    def _draw_seed(self) -> int:
        if isinstance(self.random_state, (int, np.integer)) and not isinstance(self.random_state, bool):
            if self.random_state < 0:
                raise InvalidValueError(f"random_state must be an integer of at least 0. Got {self.random_state}.")
            return int(self.random_state)
        if isinstance(self.random_state, np.random.Generator):
            return int(self.random_state.integers(_LARGEST_SEED))
        return int(check_random_state(self.random_state).randint(_LARGEST_SEED))

    def _num_threads(self) -> int | None:
        if self.n_jobs is None or self.n_jobs == -1:
            return None
        if not isinstance(self.n_jobs, (int, np.integer)) or self.n_jobs < 1:
            raise InvalidValueError(f"n_jobs must be a positive integer, -1 or None. Got {self.n_jobs!r}.")
        return int(self.n_jobs)

    def _adopt(
        self,
        model: Artifact,
        *,
        train: Pairs | None = None,
        records: Sequence[Mapping[str, float]] = (),
        reference: ModelReference | None = None,
    ) -> None:
        """Take over a model, as a fit does."""
        hyperparameters = model.hyperparameters
        for name in _SIZES:
            setattr(self, f"{name}_", getattr(hyperparameters, name))
        self.hyperparameters_ = hyperparameters.to_strings()
        self.n_features_in_ = 2
        self.seed_ = model.meta["training"].get("seed", 0)
        self.offset_, self.threshold_ = 0.0, None
        self._model, self._predictor, self._reference = model, Predictor(model), reference
        self._train, self._records = train, list(records)

    def _use_threshold(self, path: Path) -> None:
        threshold = Threshold.load(path)
        if threshold.fits(self._predictor):
            self.threshold_, self.offset_ = threshold, threshold.score
        else:
            warnings.warn(
                f"{path} was made for another model, and is not used. Call calibrate for a new threshold.", stacklevel=3
            )


def _parse(values: Mapping[str, Any]) -> Hyperparameters:
    try:
        return Hyperparameters.parse(values)
    except ClientError as error:
        raise InvalidValueError(str(error)) from None


def _plain(value: Any) -> Any:
    """Return a number of NumPy as one of Python."""
    return value.item() if isinstance(value, np.generic) else value

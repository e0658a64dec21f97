"""The Python interface: an outlier detector in the style of scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.base import OutlierMixin, clone

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.data.both_families import split_families
from ipinsights.data.frames import read_rows
from ipinsights.data.remote import staged
from ipinsights.data.remote_names import is_remote
from ipinsights.inference.detector import Detector
from ipinsights.inference.loaded_models import load_model
from ipinsights.inference.scorers import check_scorer, make_scorer
from ipinsights.model import artifact
from ipinsights.model.history_member import history_options
from ipinsights.training import fit_settings as settings
from ipinsights.training.epoch_records import EpochRecorder, RunBar
from ipinsights.training.in_memory import train_in_memory
from ipinsights.training.signals import stopped_by_interrupt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from typing_extensions import Self

    from ipinsights.data.ipv6 import Ipv6Pairs
    from ipinsights.data.pairs import Pairs
    from ipinsights.training.callbacks import Callback

__all__ = ["IPInsights"]

_HISTORY = ("keep_history", "history_rows_per_entity", "ipv6")


class IPInsights(OutlierMixin, Detector):
    """Detector of unusual pairs of an entity and an IP address.

    The detector learns which addresses are normal for an entity, such as a user, and scores pairs that it never saw.
    Higher scores are more normal. IPv6 addresses require a model that keeps a history.

    Data are DataFrames with two columns, or with columns ``entity`` and ``ip`` among others, arrays of shape (n, 2),
    lists of pairs, or paths of CSV files. Results for a DataFrame are Series with its index.

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
    keep_history
        Whether the model keeps the pairs of the training data, which the scorer ``history`` needs. They are personal
        data, and are in what is saved and pickled. Default False.
    history_rows_per_entity
        Number of most frequent addresses of each entity that the history keeps. None for no limit.
    ipv6
        Whether IPv6 rows are accepted and kept in the history. The network is trained on the IPv4 rows. Default False.
    scorer
        Scorer of a fitted model: ``dot_product``, the default, for that of SageMaker, or ``history`` for a likelihood
        ratio that catches more attacks. To change the scorer, save the model and load it with the other one.
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
        keep_history: bool = False,
        history_rows_per_entity: int | None = None,
        ipv6: bool = False,
        scorer: str = "dot_product",
        random_state: int | np.random.RandomState | np.random.Generator | None = 0,
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
        self.keep_history = keep_history
        self.history_rows_per_entity = history_rows_per_entity
        self.ipv6 = ipv6
        self.scorer = scorer
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
        with settings.invalid_value():
            values = Hyperparameters.parse(hyperparameters)
        given = {name: getattr(values, name) for name in (*settings.HYPERPARAMETERS, *_HISTORY)}
        return cls(**{**given, **parameters})

    @classmethod
    def load(cls, path: str | Path, *, scorer: str = "dot_product") -> Self:
        """Return the estimator of a model on disk, trained by any front end.

        Estimators of the same file share its tables. A process keeps the last four models that it loaded.

        Parameters
        ----------
        path
            Model directory, ``model_algo-1`` file or ``model.tar.gz``, or the URL of one, which is downloaded. Its
            tables are memory-mapped. A threshold in the directory sets ``offset_``.
        scorer
            Scorer of the model: ``dot_product``, or ``history`` if it keeps one.

        Raises
        ------
        ClientError
            There is no model at the path, the file is damaged, or it has no history and the scorer needs one.
        """
        with staged(path, "model") as local:
            return cls._load(local, scorer, is_copy=is_remote(path))

    @classmethod
    def _load(cls, path: Path, scorer: str, *, is_copy: bool) -> Self:
        # A downloaded copy is removed, and neither kept nor referred to.
        loaded = None if is_copy else load_model(path, scorer)
        model = artifact.load(path) if loaded is None else loaded.model
        values = {name: getattr(model.hyperparameters, name) for name in settings.HYPERPARAMETERS}
        values |= history_options(model.meta)
        estimator = cls(**values, scorer=scorer, random_state=model.meta["training"].get("seed", 0))
        if loaded is None:
            estimator._adopt(model, make_scorer(model, scorer))
        else:
            estimator._adopt(model, loaded.scorer(scorer), reference=loaded.reference)
        estimator._find_threshold(path)
        return estimator

    def fit(self, X: Any, y: Any = None, *, validation: Any = None) -> Self:  # noqa: ARG002 - scikit-learn's names
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
        check_scorer(self.scorer)
        parameters = self.get_params(deep=False)
        settings.check_history(parameters)
        callbacks = settings.checked_callbacks(self.callbacks)
        train, ipv6 = self._read_training(X, "X")
        held_out = None if validation is None else self._read_training(validation, "validation")[0]
        hyperparameters = settings.choose_hyperparameters(parameters, train)
        seed, recorder = settings.draw_seed(self.random_state), EpochRecorder()
        model = train_in_memory(
            hyperparameters,
            train,
            held_out,
            seed=seed,
            num_threads=settings.num_threads(self.n_jobs),
            callbacks=(recorder, RunBar(is_shown=self.progress), *callbacks),
            stopped_by=stopped_by_interrupt,
            ipv6=ipv6 if self.ipv6 else None,
        )
        self._adopt(model, make_scorer(model, self.scorer), train=train, records=recorder.records)
        return self

    def clone(self) -> Self:
        """Return an estimator with the same parameters that is not fitted."""
        copied: Self = clone(self)
        return copied

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_model")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.two_d_array = True
        return tags

    def _read_training(self, data: Any, name: str) -> tuple[Pairs, Ipv6Pairs]:
        """Return the IPv4 rows and the IPv6 rows of data."""
        progress = self.progress is not False
        rows = read_rows(data, name=name, can_be_empty=False, progress=progress, ipv6=bool(self.ipv6))
        return split_families(rows.pairs)

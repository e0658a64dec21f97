"""Models in MLflow: a pyfunc that scores."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipinsights.errors import InvalidValueError, missing_package_reported
from ipinsights.inference.loaded_models import load_model
from ipinsights.inference.score_arrow import score_arrow
from ipinsights.inference.scorers import DOT_PRODUCT

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["log_mlflow_model", "save_mlflow_model"]

_SCORER_KEY = "scorer"


def save_mlflow_model(model: str | Path, path: str | Path, *, scorer: str = DOT_PRODUCT, **options: Any) -> None:
    """Write a model as a model of MLflow that scores columns ``entity`` and ``ip``.

    ``mlflow.pyfunc.load_model`` and ``spark_udf`` load it. The scores of invalid rows are NaN. Needs the extra
    ``mlflow``.

    Parameters
    ----------
    model
        Folder or file of a model. It is copied.
    path
        Folder that is written, which must not exist.
    scorer
        Scorer of the model: ``dot_product`` or ``history``.
    options
        Further options of ``mlflow.pyfunc.save_model``, such as ``pip_requirements``.

    Raises
    ------
    ClientError
        MLflow is not installed, there is no model, or the model does not have this scorer.

    Examples
    --------
    >>> import ipinsights
    >>> ipinsights.save_mlflow_model("model", "mlflow-model", pip_requirements=["ipinsights"])  # doctest: +SKIP
    """
    settings = _settings(model, scorer)
    import mlflow.pyfunc

    mlflow.pyfunc.save_model(path=str(path), **settings, **options)


def log_mlflow_model(model: str | Path, name: str, *, scorer: str = DOT_PRODUCT, **options: Any) -> Any:
    """Log a model to the active run of MLflow, and return MLflow's record.

    The model, its scorer and errors are as in :func:`ipinsights.save_mlflow_model`.

    Parameters
    ----------
    name
        Name of the logged model.
    options
        Further options of ``mlflow.pyfunc.log_model``, such as ``registered_model_name``.

    Examples
    --------
    >>> import ipinsights
    >>> ipinsights.log_mlflow_model("model", "logins", registered_model_name="logins")  # doctest: +SKIP
    """
    settings = _settings(model, scorer)
    import mlflow.pyfunc

    return mlflow.pyfunc.log_model(name=name, **settings, **options)


def _settings(model: str | Path, scorer: str) -> dict[str, Any]:
    """Return the options of MLflow for a model that has the scorer."""
    if not isinstance(model, (str, os.PathLike)):
        raise InvalidValueError(
            f"`model` must be the path of a saved model. Got an object of {type(model).__name__}: save it with its "
            "method save, and give the folder."
        )
    with missing_package_reported("Models of MLflow need MLflow", "mlflow-skinny"):
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, Schema
    loaded = load_model(Path(model), scorer)
    loaded.scorer(scorer)
    columns = Schema([ColSpec("string", name, required=False) for name in ("entity", "ip")])
    scores = Schema([ColSpec("float")])
    return {
        "loader_module": __name__,
        "data_path": str(loaded.reference.path),
        "model_config": {_SCORER_KEY: scorer},
        "signature": ModelSignature(inputs=columns, outputs=scores),
    }


class _Scorer:
    """The model that MLflow calls."""

    def __init__(self, path: str, scorer: str) -> None:
        self._path = path
        self._scorer = scorer

    def predict(self, frame: pd.DataFrame, params: Any = None) -> pd.Series:  # noqa: ARG002 - MLflow's name
        """Return the score of each row, NaN for invalid rows."""
        import pandas as pd

        scores = score_arrow(self._path, frame["entity"], frame["ip"], errors="null", scorer=self._scorer)
        return pd.Series(scores.to_numpy(zero_copy_only=False), index=frame.index)


def _load_pyfunc(path: str, model_config: dict[str, Any] | None = None) -> _Scorer:
    """Return the model at a path, as MLflow calls it."""
    return _Scorer(path, (model_config or {}).get(_SCORER_KEY, DOT_PRODUCT))

"""IP Insights: learn which IPv4 addresses are normal for an entity, and score new pairs.

Examples
--------
>>> from ipinsights import IPInsights
>>> model = IPInsights(vector_dim=8, progress=False).fit([("alice", "192.0.2.1"), ("bob", "203.0.113.9")])
>>> model.entity_known(["alice", "mallory"]).tolist()
[True, False]
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ipinsights.errors import AlgorithmError, ClientError, InvalidValueError, IPInsightsError, RowsError
    from ipinsights.estimator import IPInsights
    from ipinsights.etl.record_batches import extract_batches
    from ipinsights.etl.summary import Summary
    from ipinsights.evaluation.evaluate_rows import evaluate
    from ipinsights.evaluation.results import Evaluation
    from ipinsights.inference.explain import Explanation, explain
    from ipinsights.inference.history import History
    from ipinsights.inference.history_explanation import HistoryExplanation
    from ipinsights.inference.mlflow_model import log_mlflow_model, save_mlflow_model
    from ipinsights.inference.score_arrow import score_arrow
    from ipinsights.inference.threshold import Threshold
    from ipinsights.synthetic.login_frames import SimulatedLogins, simulate_logins
    from ipinsights.training.callbacks import Callback
    from ipinsights.training.mlflow_tracking import MLflowCallback

__version__ = "0.1.0"

__all__ = [
    "AlgorithmError",
    "Callback",
    "ClientError",
    "Evaluation",
    "Explanation",
    "History",
    "HistoryExplanation",
    "IPInsights",
    "IPInsightsError",
    "InvalidValueError",
    "MLflowCallback",
    "RowsError",
    "SimulatedLogins",
    "Summary",
    "Threshold",
    "evaluate",
    "explain",
    "extract_batches",
    "log_mlflow_model",
    "save_mlflow_model",
    "score_arrow",
    "simulate_logins",
]

# Modules of the public names. They are imported when a name is first used: scikit-learn alone takes a second.
_MODULES = {
    "AlgorithmError": "errors",
    "Callback": "training.callbacks",
    "ClientError": "errors",
    "Evaluation": "evaluation.results",
    "Explanation": "inference.explain",
    "History": "inference.history",
    "HistoryExplanation": "inference.history_explanation",
    "IPInsights": "estimator",
    "IPInsightsError": "errors",
    "InvalidValueError": "errors",
    "MLflowCallback": "training.mlflow_tracking",
    "RowsError": "errors",
    "SimulatedLogins": "synthetic.login_frames",
    "Summary": "etl.summary",
    "Threshold": "inference.threshold",
    "evaluate": "evaluation.evaluate_rows",
    "explain": "inference.explain",
    "extract_batches": "etl.record_batches",
    "log_mlflow_model": "inference.mlflow_model",
    "save_mlflow_model": "inference.mlflow_model",
    "score_arrow": "inference.score_arrow",
    "simulate_logins": "synthetic.login_frames",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module 'ipinsights' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"ipinsights.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Return the public names for completion."""
    return sorted([*globals(), *__all__])

"""The summary of a model as text for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipinsights.reporting.plain_text import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["summary_text"]


def summary_text(summary: Mapping[str, Any]) -> str:
    """Return the summary of an :class:`~ipinsights.model.artifact.Artifact` as text."""
    training = summary["training"]
    sections = {
        **({"History (personal data: who was where)": _history(summary["history"])} if "history" in summary else {}),
        "Trained on": {key: value for key, value in training.items() if key != "versions"},
        "Trained with": training.get("versions", {}),
        "Hyperparameters": summary["hyperparameters"],
        "Parameters": {name: " x ".join(map(str, shape)) for name, shape in summary["parameters"].items()},
    }
    rows, known = summary["parameters"]["entity_weight"][0], summary["num_known_entities"]
    head = f"IP Insights model, format {summary['format_version']}: {rows} entity vectors, some {known} entities"
    return "\n".join([head, *(line for name, values in sections.items() for line in _section(name, values))])


def _section(name: str, values: Mapping[str, Any]) -> list[str]:
    shown = {one_line(key): one_line(value) for key, value in values.items()}
    width = max(map(len, shown), default=0)
    return ["", name, *(f"  {key:<{width}}  {value}" for key, value in shown.items())]


def _history(found: Mapping[str, Any]) -> dict[str, str]:
    sources = {}
    for number, source in enumerate(found["sources"], start=1):
        days = f" of {source['days']}" if source.get("days") else ""
        text = f"{source['kind']}, {source['num_rows']:,} rows{days}, fingerprint {source['fingerprint']}"
        sources[f"source {number}"] = text
    families = "IPv4 and IPv6" if found["has_ipv6"] else "IPv4"
    return {
        "entities": f"{found['num_entities']:,} hashes",
        "rows": f"{found['num_rows']:,} distinct pairs of {found['num_events']:,} events, {families}",
        "size": f"{found['num_bytes']:,} bytes",
        **sources,
        "to remove": "ipinsights strip --model-dir DIR",
    }

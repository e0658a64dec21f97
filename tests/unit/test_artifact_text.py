"""The summary of a model as text."""

from __future__ import annotations

from typing import Any

from ipinsights.model.artifact_text import summary_text

SUMMARY: dict[str, Any] = {
    "format_version": 1,
    "training": {"num_rows": 7, "seed": 0, "versions": {"numpy": "1.26"}},
    "hyperparameters": {"epochs": "10"},
    "parameters": {"entity_weight": [10, 6], "ip_octet_weight": [1024, 2]},
    "num_known_entities": 3,
}
HISTORY: dict[str, Any] = {
    "has_ipv6": True,
    "num_entities": 1234,
    "num_rows": 20_000,
    "num_events": 30_000,
    "num_bytes": 400_000,
    "sources": [
        {"kind": "training", "num_rows": 29_000, "fingerprint": "f1"},
        {"kind": "update", "num_rows": 1000, "fingerprint": "f2", "days": "2026-01-01 to 2026-01-31"},
    ],
}


def test_each_fact_has_a_line() -> None:
    """In sections, with values below one another, and versions apart from other facts."""
    assert summary_text(SUMMARY) == (
        "IP Insights model, format 1: 10 entity vectors, some 3 entities\n"
        "\nTrained on\n  num_rows  7\n  seed      0\n"
        "\nTrained with\n  numpy  1.26\n"
        "\nHyperparameters\n  epochs  10\n"
        "\nParameters\n  entity_weight    10 x 6\n  ip_octet_weight  1024 x 2"
    )


def test_a_history_stands_first() -> None:
    """It is personal data: sizes, sources with their days, and how it is removed."""
    text = summary_text({**SUMMARY, "history": HISTORY})
    assert text.split("\n\n")[1] == (
        "History (personal data: who was where)\n"
        "  entities   1,234 hashes\n"
        "  rows       20,000 distinct pairs of 30,000 events, IPv4 and IPv6\n"
        "  size       400,000 bytes\n"
        "  source 1   training, 29,000 rows, fingerprint f1\n"
        "  source 2   update, 1,000 rows of 2026-01-01 to 2026-01-31, fingerprint f2\n"
        "  to remove  ipinsights strip --model-dir DIR"
    )
    assert "distinct pairs of 30,000 events, IPv4\n" in summary_text(
        {**SUMMARY, "history": {**HISTORY, "has_ipv6": False}}
    )


def test_values_do_not_break_lines() -> None:
    """A model from elsewhere may hold any text, which stays on its line."""
    text = summary_text({**SUMMARY, "hyperparameters": {"epochs": "1\n\x1b[31mTrained on"}})
    assert len(text.splitlines()) == len(summary_text(SUMMARY).splitlines())
    assert "\x1b" not in text

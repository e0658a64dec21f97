"""Masks for parts of a text that differ between runs, such as times, versions and paths."""

from __future__ import annotations

import re

_MASKS = (
    # the head of a line of the log: time, thread
    (r"\[\d\d/\d\d/\d{4} \d\d:\d\d:\d\d (\w+) \d+\]", r"[TIME \1 THREAD]"),
    (r"(Time cost=|Speed: |throughput=)\d+(?:\.\d+)?(?:e[-+]\d+)?", r"\1#"),
    (r'("(?:Start|End)Time": )\d+(?:\.\d+)?', r"\1#"),
    (r'((?:\.|setup|total)time": )\{"sum": [^}]*\}', r"\1#"),
    (r'(Wrote checkpoint ".*" in )\d+\.\d+', r"\1#"),
    (r"(Process )\d+( is a )", r"\1#\2"),
    # modules move
    (r"(Reading default configuration from )[\w.]+:", r"\1#:"),
)
# `compare` shows these in an order that differs from run to run.
_TIMES = re.compile(r"(?:^(?:\| )?[\w.]*time \(ms\).*\n)+", re.MULTILINE)
_VALUES = (
    (r"(<score>=|<loss>=)[-+.\de]+", r"\1#"),
    (r"(binary_classification_\w+=)[-+.\de]+", r"\1#"),
)


def masked(text: str) -> str:
    """Return a text without what differs between two runs of one build."""
    return _TIMES.sub(lambda lines: "".join(sorted(lines[0].splitlines(keepends=True))), _replaced(text, _MASKS))


def without_values(text: str) -> str:
    """Return a masked log without the values of metrics, which depend on the processor."""
    return _replaced(text, _VALUES)


def _replaced(text: str, masks: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in masks:
        text = re.sub(pattern, replacement, text)
    return text

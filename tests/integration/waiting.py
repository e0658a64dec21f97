"""Waiting for what another process does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ParamSpec

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")


def is_true_soon(condition: Callable[P, bool], *args: P.args, **kwargs: P.kwargs) -> bool:
    """Return whether a condition of the other arguments becomes true within a minute."""
    deadline = time.monotonic() + 60
    while not (found := condition(*args, **kwargs)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found

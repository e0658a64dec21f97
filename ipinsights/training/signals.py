"""SIGTERM, with which a platform stops a job: it is never lost, and never ends a process in the middle of something."""

from __future__ import annotations

import contextlib
import logging
import signal
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from ipinsights.training.trainer import Trainer

__all__ = ["STOPPED_EARLY", "StopSignal", "held_back", "ignore"]

STOPPED_EARLY = "The job was stopped before training began: there is no model to save."

_logger = logging.getLogger(__name__)


class StopSignal:
    """The job's ear for SIGTERM; a context manager.

    While nothing is trained it leaves at once, with exit code 0. From then on it lets the trainer finish what it is at,
    and a second signal changes nothing.
    """

    def __init__(self) -> None:
        self._trainer: Trainer | None = None

    def __enter__(self) -> StopSignal:  # noqa: PYI034 - Self is not in Python 3.9
        self._previous = signal.signal(signal.SIGTERM, self._receive)
        _let_through()
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._previous)

    def when_received(self, trainer: Trainer) -> None:
        """Stop this trainer when the signal comes."""
        self._trainer = trainer

    def _receive(self, _signal: int, _frame: FrameType | None) -> None:
        _logger.warning("SIGTERM received: stopping.")
        if self._trainer is None:
            raise SystemExit(0)
        self._trainer.state.stop = True


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Let SIGTERM wait until this block has put a handler in its place.

    It waits in processes that are started here, too, until each of them has its :class:`StopSignal`.
    """
    # Python's own helper process, which the first start of another brings along, would let the signal through.
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        _let_through()


def ignore(*_: object) -> None:
    """Do nothing, as a handler: unlike SIG_IGN it keeps a signal that waits."""


def _let_through() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

"""Handling of SIGTERM, with which a platform stops a job, without loss or partial files."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
import warnings
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from typing_extensions import Self

    from ipinsights.training.trainer import Trainer

__all__ = ["STOPPED_EARLY", "StopSignal", "held_back", "ignore", "stopped_by_interrupt"]

STOPPED_EARLY = "The job was stopped before training began: there is no model to save."

_logger = logging.getLogger(__name__)


class StopSignal:
    """Context manager that handles SIGTERM during a job.

    Before training the process exits at once with code 0. During training the trainer finishes its base batch, and a
    second signal changes nothing.
    """

    def __init__(self) -> None:
        self._trainer: Trainer | None = None

    def __enter__(self) -> Self:
        self._previous = signal.signal(signal.SIGTERM, self._receive)
        _let_through()
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._previous)

    def when_received(self, trainer: Trainer) -> None:
        """Register the trainer that the signal stops."""
        self._trainer = trainer

    def _receive(self, _signal: int, _frame: FrameType | None) -> None:
        _logger.warning("SIGTERM received: stopping.")
        if self._trainer is None:
            raise SystemExit(0)
        self._trainer.state.stop = True


@contextlib.contextmanager
def stopped_by_interrupt(trainer: Trainer) -> Iterator[None]:
    """Stop a trainer after the current base batch on Ctrl-C, and warn of it.

    A second Ctrl-C raises KeyboardInterrupt at once. Outside of the main thread, where Python handles no signals,
    nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def receive(_signal: int, _frame: FrameType | None) -> None:
        """Stop the training after its batch. A second signal raises KeyboardInterrupt."""
        if is_interrupted.is_set():
            raise KeyboardInterrupt
        is_interrupted.set()
        trainer.state.stop = True

    is_interrupted = threading.Event()
    previous = signal.signal(signal.SIGINT, receive)
    try:
        yield
    finally:
        # None is a handler that was not installed by Python.
        signal.signal(signal.SIGINT, signal.SIG_DFL if previous is None else previous)
    if is_interrupted.is_set():
        warnings.warn(
            f"Training was interrupted in epoch {trainer.state.epoch + 1} of {trainer.hyperparameters.epochs}. The "
            "model is what was trained until then.",
            stacklevel=4,
        )


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Block SIGTERM while this block installs a handler.

    The signal is blocked in child processes, too, until each of them has its :class:`StopSignal`.
    """
    # Python's resource tracker, which starts with the first child process, would unblock the signal.
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        _let_through()


def ignore(*_: object) -> None:
    """Handle a signal by doing nothing. Unlike SIG_IGN this keeps a pending signal."""


def _let_through() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

"""Onlookers: the lines and bars that a run shows."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import pytest

from ipinsights.cli.options import parse_every
from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.data.pairs import Pairs
from ipinsights.training.callbacks import Checkpointer, Speedometer
from ipinsights.training.checkpoint import CheckpointDirectory
from ipinsights.training.run_identity import RunIdentity
from ipinsights.training.trainer import Trainer

if TYPE_CHECKING:
    from pathlib import Path

    from ipinsights.training.callbacks import Callback

VALUES = Hyperparameters(num_entity_vectors=10, vector_dim=4, mini_batch_size=5, epochs=2)
# Two base batches of three steps each.
ROWS = Pairs(np.arange(10, dtype=np.uint64), np.arange(10, dtype=np.uint32))


class Clock:
    """Clock that moves on by a fixed time whenever it is read."""

    def __init__(self, tick: float) -> None:
        self._tick, self._now = tick, 0.0

    def __call__(self) -> float:
        """Return the time, and advance the clock."""
        self._now += self._tick
        return self._now


def train(callback: Callback) -> None:
    """Train for two epochs of six batches each."""
    Trainer(VALUES, callbacks=[callback]).fit(ROWS)


def shape_of(message: str) -> str:
    """Return a line with the digits of its metrics masked."""
    head, accuracy, loss = message.rsplit("\t", 2)
    names = [metric.partition("=")[0] for metric in (accuracy, loss)]
    assert all(len(metric.partition(".")[2]) == 6 for metric in (accuracy, loss))
    return "\t".join([head, *names])


class TestSpeedometer:
    """Speed and running metrics at an interval of batches."""

    def test_it_prints_mxnets_lines(self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
        """Lines appear at multiples of the interval but not at batch 0, with the right speed.

        Two batches of five records in 0.16 s are 62.50 records per second.
        """
        monkeypatch.setattr("ipinsights.training.callbacks.time.perf_counter", Clock(0.16))
        with caplog.at_level(logging.INFO, logger="ipinsights"):
            train(Speedometer(2))
        tail = "Speed: 62.50 samples/sec\tbinary_classification_accuracy\tbinary_classification_cross_entropy"
        assert [shape_of(message) for message in caplog.messages] == [
            f"Epoch[{epoch}] Batch [{batch}]\t{tail}" for epoch in (0, 1) for batch in (2, 4)
        ]

    def test_metrics_are_printed_with_six_decimals(self, caplog: pytest.LogCaptureFixture) -> None:
        """The line holds what the trainer says at that moment, cumulative within the epoch."""
        told = []

        class Witness(Speedometer):
            def on_batch_end(self, trainer: Trainer) -> None:
                super().on_batch_end(trainer)
                told.append("\t".join(f"{name}={value:.6f}" for name, value in trainer.metrics.get().items()))

        with caplog.at_level(logging.INFO, logger="ipinsights"):
            train(Witness(3))
        assert [message.split("samples/sec\t")[1] for message in caplog.messages] == [told[3], told[9]]

    def test_no_time_no_speed(self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
        """A clock that stands still is no division by zero."""
        monkeypatch.setattr("ipinsights.training.callbacks.time.perf_counter", Clock(0))
        with caplog.at_level(logging.INFO, logger="ipinsights"):
            train(Speedometer(1))
        assert caplog.messages == []


class TestCheckpointer:
    """Checkpoints within an epoch."""

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({}, [6, 12]),
            ({"every_batches": 3}, [3, 6, 9, 12]),
            ({"every_batches": 4}, [6, 12]),
            ({"every_seconds": 1e-9}, [3, 6, 9, 12]),
            ({"every_seconds": 1e9}, [6, 12]),
        ],
    )
    def test_they_are_written_as_often_as_asked(
        self, tmp_path: Path, options: dict[str, Any], expected: list[int]
    ) -> None:
        """Checkpoints are written after the given batches or seconds, and at each epoch's end.

        Between these, only ends of base batches of three are possible.
        """
        directory = CheckpointDirectory(tmp_path, keep=9)
        train(Checkpointer(directory, RunIdentity({}, np.arange(10, dtype=np.int32)), **options))
        found = sorted(int(path.name.rpartition("-")[2]) for path in tmp_path.glob("checkpoint-*"))
        assert found == expected

    @pytest.mark.parametrize(("text", "expected"), [("500", (500, None)), ("90s", (None, 90)), ("10m", (None, 600))])
    def test_how_often_is_a_number_or_a_time(self, text: str, expected: tuple[int | None, float | None]) -> None:
        """The interval is a number of batches, or of seconds or minutes."""
        assert parse_every(click.Context(click.Command("x")), click.Option(["--x"]), text) == expected

"""Counters of a run."""

from __future__ import annotations

from ipinsights.training.train_state import TrainState


def test_steps_and_records_are_counted_in_the_run_and_in_the_epoch() -> None:
    """A new epoch resets only its own counters."""
    state = TrainState()
    for _ in range(3):
        state.count_batch()
    state.count_base_batch(30)
    assert (state.batch, state.num_batches, state.num_records, state.num_base_batches) == (2, 3, 30, 1)
    assert (state.epoch_batches, state.epoch_records, state.epoch_base_batches) == (3, 30, 1)
    state.begin_epoch()
    assert (state.batch, state.epoch_batches, state.epoch_records, state.epoch_base_batches) == (-1, 0, 0, 0)
    assert (state.num_batches, state.num_records, state.num_base_batches) == (3, 30, 1)

"""Initial parameters: their distribution, which depends on seed, name and row alone."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.model.initial_parameters import BLOCK_ROWS, draw_rows, fill

if TYPE_CHECKING:
    from numpy.typing import NDArray

KNOWN = [
    0.04147796332836151,
    0.003237389028072357,
    0.0064398497343063354,
    0.016421973705291748,
    0.015151113271713257,
    -0.026254240423440933,
]
NUM_ROWS = 2 * BLOCK_ROWS + 5


@pytest.fixture(scope="module")
def whole() -> NDArray[np.float32]:
    """Draw a table of two whole blocks and a part of a third."""
    return draw_rows("entity_weight", (3,), 0, NUM_ROWS, seed=4)


class TestDrawRows:
    """Rows of one parameter."""

    @given(st.integers(0, NUM_ROWS), st.integers(0, NUM_ROWS))
    def test_any_rows_are_those_of_the_whole(self, whole: NDArray[np.float32], one: int, other: int) -> None:
        """Rows from anywhere to anywhere, within a block or over several, none included."""
        start, stop = sorted((one, other))
        assert (draw_rows("entity_weight", (3,), start, stop, seed=4) == whole[start:stop]).all()

    def test_a_longer_table_begins_with_a_shorter_one(self, whole: NDArray[np.float32]) -> None:
        """The number of rows is not part of what a row follows from."""
        longer = draw_rows("entity_weight", (3,), 0, NUM_ROWS + BLOCK_ROWS, seed=4)
        assert (longer[:NUM_ROWS] == whole).all()

    def test_weights_fill_the_interval_evenly(self, rng: np.random.Generator) -> None:
        """Weights are uniform between -0.07 and 0.07.

        Each of ten equal parts has a tenth of 600,000 values, within 1.5 %.
        """
        values = draw_rows("ip_layer0_weight", (60,), 0, 10_000, seed=int(rng.integers(2**63)))
        assert values.dtype == np.float32
        counts, _ = np.histogram(values, bins=10, range=(-0.07, 0.07))
        assert counts.sum() == values.size
        assert counts.tolist() == pytest.approx([60_000] * 10, rel=0.015)

    def test_biases_are_zero(self) -> None:
        """Any number of biases is drawn as zeros."""
        values = draw_rows("ip_layer0_bias", (), 0, 7, seed=4)
        assert values.tolist() == 7 * [0]

    def test_blocks_parameters_and_seeds_share_no_values(self, whole: NDArray[np.float32]) -> None:
        """Nowhere does one repeat the other: at most a few of 12,000 values are equal by chance."""
        first = whole[:BLOCK_ROWS]
        others = [
            whole[BLOCK_ROWS : 2 * BLOCK_ROWS],
            draw_rows("ip_octet_weight", (3,), 0, BLOCK_ROWS, seed=4),
            draw_rows("entity_weight", (3,), 0, BLOCK_ROWS, seed=5),
        ]
        assert all((first == other).mean() < 1e-3 for other in others)

    def test_a_seed_means_the_same_model_in_every_version(self) -> None:
        """Known values: a change of them changes every model, and belongs into the changelog."""
        drawn = [*draw_rows("entity_weight", (2,), 4095, 4097, seed=0).ravel().tolist()]
        drawn += draw_rows("ip_layer3_weight", (2,), 0, 1, seed=12345678901234567890)[0].tolist()
        assert drawn == KNOWN


class TestFill:
    """All parameters of a model."""

    def test_arrays_of_either_library_get_equal_values(self, whole: NDArray[np.float32], mx: Any) -> None:
        """NumPy's and MXNet's, each as long as it is."""
        ours = {"entity_weight": np.empty((NUM_ROWS, 3), np.float32), "ip_layer0_bias": np.empty(3, np.float32)}
        theirs = {name: mx.nd.ones(array.shape) for name, array in ours.items()}
        fill(ours, seed=4)
        fill(theirs, seed=4)
        assert (ours["entity_weight"] == whole).all()
        assert all((theirs[name].asnumpy() == array).all() for name, array in ours.items())

    def test_memory_stays_flat(self) -> None:
        """A table of 64 MB is filled with less than 8 MB of further memory."""
        table = np.zeros((2**17, 128), dtype=np.float32)
        tracemalloc.start()
        fill({"entity_weight": table}, seed=1)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert table.any(axis=1).all()
        assert peak < 2**23

"""Thresholds: guarantees hold for any scores, and impossible guarantees are refused."""

from __future__ import annotations

import ipaddress
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.data.pairs import Pairs
from ipinsights.errors import ClientError
from ipinsights.inference.predictor import Predictor
from ipinsights.inference.threshold import Threshold
from ipinsights.model import artifact
from ipinsights.model.bloom import BloomFilter

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

NUM_ROWS = 64
HYPERPARAMETERS = Hyperparameters.parse({"num_entity_vectors": str(NUM_ROWS), "vector_dim": "4"})


def make_predictor(path: Path, *, seed: int = 0, known_bits: int = 255) -> Predictor:
    """Return a model with random parameters and all entities known, or fewer with fewer bits."""
    rng = np.random.default_rng(seed)
    shapes = artifact.parameter_shapes(HYPERPARAMETERS)
    params = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    known = BloomFilter(np.full(NUM_ROWS, known_bits, dtype=np.uint8))
    meta = artifact.meta_data(HYPERPARAMETERS, {})
    artifact.write(path, artifact.Artifact(HYPERPARAMETERS, params, known, meta, "{}"))
    return Predictor.load(path)


@pytest.fixture
def predictor(tmp_path: Path) -> Predictor:
    """Return a model that knows all entities."""
    return make_predictor(tmp_path / "model")


@pytest.fixture
def pairs(rng: np.random.Generator) -> Pairs:
    """Return 3,000 random pairs."""
    return draw_pairs(3000, rng)


def draw_pairs(size: int, rng: np.random.Generator) -> Pairs:
    """Return random pairs."""
    return Pairs(rng.integers(0, 2**64, size=size, dtype=np.uint64), rng.integers(0, 2**32, size=size, dtype=np.uint32))


class FakePredictor(Predictor):
    """A model that scores the address itself, so that a test can choose the scores."""

    def __init__(self) -> None:
        pass

    def entity_known(self, entities: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Know all but entity 0."""
        return entities > 0

    def score(self, entities: NDArray[np.uint64], ips: NDArray[np.uint32]) -> NDArray[np.float32]:
        """Return the addresses as scores."""
        del entities
        return ips.astype(np.float32)


def calibrate(scores: list[int], **options: Any) -> Threshold:
    """Return the threshold of calibration rows with these scores."""
    pairs = Pairs(np.ones(len(scores), dtype=np.uint64), np.array(scores, dtype=np.uint32))
    return Threshold.calibrate(FakePredictor(), pairs, **options)


class TestGuarantee:
    """An ordinary event is flagged at most as often as was asked for."""

    def test_by_hand(self) -> None:
        """The lowest of 99 scores is the threshold for 1 %, and the tenth that for 10 %."""
        assert calibrate(list(range(99)), fpr=0.01).score == 0
        assert calibrate(list(range(99)), fpr=0.1).score == 9
        assert calibrate(list(range(99)), fpr=0.1099).score == 9

    @given(
        scores=hnp.arrays(np.uint32, st.integers(1, 60), elements=st.integers(0, 20)),
        fpr=st.floats(0.005, 0.995),
    )
    def test_each_of_n_plus_1_is_flagged_by_the_others_at_most_so_often(
        self, scores: NDArray[np.uint32], fpr: float
    ) -> None:
        """If each of n + 1 events is judged by the others, at most a share fpr is flagged.

        This includes tied scores.
        """
        num_calibration = len(scores) - 1
        if np.floor(fpr * (num_calibration + 1) * (1 + 1e-12)) < 1 or num_calibration < 1:
            return
        flagged = sum(
            float(score) < calibrate(np.delete(scores, place).tolist(), fpr=fpr).score
            for place, score in enumerate(scores)
        )
        assert flagged / len(scores) <= fpr * (1 + 1e-9)

    @given(scores=hnp.arrays(np.uint32, st.integers(200, 3000), elements=st.integers(0, 2**24)))
    @settings(max_examples=25)
    def test_p_values_are_never_too_low(self, scores: NDArray[np.uint32]) -> None:
        """P-values are exact or at most 2 % too high, and scores below the threshold have p <= fpr."""
        threshold = calibrate(scores.tolist(), fpr=0.1)
        asked = np.concatenate([scores, scores + 1, [0, 2**25]]).astype(np.float32)
        exact = (1 + (scores.astype(np.float32) <= asked[:, None]).sum(axis=1)) / (len(scores) + 1)
        p_values = threshold.p_values(asked)
        assert (p_values >= exact).all()
        assert (p_values <= 1.02 * exact + 1 / len(scores)).all()
        np.testing.assert_array_equal(asked < threshold.score, p_values <= 0.1)

    def test_the_interval_is_the_binomial_one(self) -> None:
        """The ends of the interval are where the binomial tails of the order statistic are 2.5 %."""
        from scipy.stats import binom

        low, high = calibrate(list(range(999)), fpr=0.01).interval
        assert binom.sf(10 - 1, 999, low) == pytest.approx(0.025)
        assert binom.cdf(10 - 1, 999, high) == pytest.approx(0.025)

    def test_ties_widen_the_interval_downwards(self) -> None:
        """Of 999 scores only 4 are below the tenth, because six tie: the rate may be that of the 4."""
        from scipy.stats import binom

        low, high = calibrate([0, 1, 2, 3, *[5] * 6, *range(6, 995)], fpr=0.01).interval
        assert binom.sf(4 - 1, 999, low) == pytest.approx(0.025)
        assert binom.cdf(10 - 1, 999, high) == pytest.approx(0.025)
        assert calibrate([7] * 999, fpr=0.01).interval[0] == 0

    @given(
        scores=hnp.arrays(np.uint32, st.integers(100, 400), elements=st.integers(0, 30)),
        fpr=st.floats(0.01, 0.9),
    )
    def test_the_calibration_s_own_share_is_in_the_interval(self, scores: NDArray[np.uint32], fpr: float) -> None:
        """The calibration's own share, with the threshold itself or without, fits the interval."""
        threshold = calibrate(scores.tolist(), fpr=fpr)
        low, high = threshold.interval
        assert low <= (scores <= threshold.score).mean()
        assert (scores < threshold.score).mean() <= high


class TestRefusals:
    """What cannot be promised is not promised."""

    @pytest.mark.parametrize(("fpr", "needed"), [(0.01, 99), (0.001, 999), (0.07, 14), (0.3, 3)])
    def test_too_few_rows(self, fpr: float, needed: int) -> None:
        """The message says how many are needed, and that number is enough."""
        calibrate(list(range(needed)), fpr=fpr)
        with pytest.raises(ClientError) as caught:
            calibrate(list(range(needed - 1)), fpr=fpr)
        assert str(caught.value) == (
            f"A false positive rate of {fpr:g} needs at least {needed} calibration rows of entities that the model "
            f"knows. Got {needed - 1}. Give more rows, or ask for a higher rate."
        )

    def test_far_too_few_rows(self) -> None:
        """A number of rows that nobody has is shown by its size."""
        with pytest.raises(ClientError) as caught:
            calibrate([1, 2, 3], fpr=1e-300)
        assert str(caught.value) == (
            "A false positive rate of 1e-300 needs at least 1e+300 calibration rows of entities that the model knows. "
            "Got 3. Give more rows, or ask for a higher rate."
        )

    @pytest.mark.parametrize("fpr", [0.0, 1.0, -0.1, float("nan")])
    def test_no_rate(self, fpr: float) -> None:
        """Neither 0 nor 1 is a rate that a threshold can keep, and NaN is no number."""
        with pytest.raises(ClientError) as caught:
            calibrate([1, 2, 3], fpr=fpr)
        assert str(caught.value) == f"The false positive rate must be more than 0 and less than 1. Got {fpr:g}."

    @pytest.mark.parametrize("fpr", [None, "0.05"])
    def test_a_rate_that_is_no_number(self, fpr: Any) -> None:
        """A text is not taken for its number."""
        with pytest.raises(ClientError) as caught:
            calibrate([1, 2, 3], fpr=fpr)
        assert str(caught.value) == f"The false positive rate must be more than 0 and less than 1. Got {fpr!r}."


class TestVerdicts:
    """A word for each event."""

    def test_set_aside(self, tmp_path: Path, pairs: Pairs) -> None:
        """Rows of unknown entities and from allowed networks do not move the threshold."""
        predictor = make_predictor(tmp_path, known_bits=0b01111111)
        known = predictor.entity_known(pairs.entities)
        allowed = pairs.ips < 2**31
        used = known & ~allowed
        threshold = Threshold.calibrate(predictor, pairs, fpr=0.05, allow=["0.0.0.0/1"])
        expected = [int(rows.sum()) for rows in (used, ~known & ~allowed, allowed)]
        assert [threshold.num_rows, threshold.num_unknown, threshold.num_allowed] == expected
        same = Threshold.calibrate(predictor, Pairs(pairs.entities[used], pairs.ips[used]), fpr=0.05)
        assert same.score == threshold.score

    def test_every_word(self) -> None:
        """An allowed network precedes an unknown entity, which precedes the score.

        A score at the threshold is normal.
        """
        pairs = Pairs(np.ones(99, dtype=np.uint64), np.arange(1000, 1099, dtype=np.uint32))
        threshold = Threshold.calibrate(FakePredictor(), pairs, fpr=0.1, allow=["10.0.0.0/8"])
        scores = np.array([0, 0, 0, 1009, 1008], dtype=np.float32)
        ips = np.array([0x0A000001, 0x0AFFFFFF, 0x0B000000, 1, 1], dtype=np.uint32)
        events, known = Pairs(np.zeros(5, dtype=np.uint64), ips), np.array([True, False, False, True, True])
        assert threshold.verdicts(scores, events, known).tolist() == [
            "allowed", "allowed", "unknown_entity", "normal", "suspicious"
        ]  # fmt: skip


class TestFile:
    """What is stored is what is read."""

    def test_round_trip(self, tmp_path: Path, predictor: Predictor, pairs: Pairs) -> None:
        """Every value of a stored threshold comes back."""
        threshold = Threshold.calibrate(predictor, pairs, fpr=0.01, allow=["10.0.0.0/8", "192.0.2.1"])
        threshold.save(tmp_path / "t.json")
        loaded = Threshold.load(tmp_path / "t.json")
        loaded.check(predictor)
        scores = np.linspace(-9, 9, 1001, dtype=np.float32)
        np.testing.assert_array_equal(loaded.p_values(scores), threshold.p_values(scores))
        events = Pairs(np.zeros(1001, dtype=np.uint64), np.arange(1001, dtype=np.uint32) * np.uint32(4_000_000))
        known = np.ones(1001, dtype=bool)
        np.testing.assert_array_equal(loaded.verdicts(scores, events, known), threshold.verdicts(scores, events, known))
        assert (loaded.score, loaded.interval, loaded.allow.texts) == (
            threshold.score, threshold.interval, ("10.0.0.0/8", "192.0.2.1")
        )  # fmt: skip

    def test_values_of_other_libraries(self, tmp_path: Path, predictor: Predictor, pairs: Pairs) -> None:
        """A rate of NumPy and a network of ``ipaddress`` are stored as a number and a text."""
        path = tmp_path / "threshold.json"
        float_of_numpy: Any = np.float32(0.25)
        networks: Any = [ipaddress.IPv4Network("10.0.0.0/8")]
        Threshold.calibrate(predictor, pairs, fpr=float_of_numpy, allow=networks).save(path)
        stored = json.loads(path.read_text())
        assert (stored["fpr"], stored["allow"]) == (0.25, ["10.0.0.0/8"])

    def test_another_model(self, tmp_path: Path, predictor: Predictor, pairs: Pairs) -> None:
        """A threshold is of no use to a model it was not made for."""
        with pytest.raises(ClientError) as caught:
            Threshold.calibrate(predictor, pairs, fpr=0.01).check(make_predictor(tmp_path / "other", seed=1))
        assert str(caught.value) == (
            "The threshold was made for another model: make a new one with `Threshold.calibrate`."
        )

    def test_no_file(self, tmp_path: Path) -> None:
        """The message says where it was looked for."""
        with pytest.raises(ClientError) as caught:
            Threshold.load(tmp_path / "t.json")
        assert str(caught.value) == (
            f"The threshold cannot be read from {tmp_path / 't.json'}: No such file or directory."
        )

    @pytest.mark.parametrize(
        "damage",
        [
            {"format_version": 2}, {"fpr": 0}, {"fpr": None}, {"score": float("nan")}, {"interval": [1]}, {"allow": 7},
            {"scores": [3, 2], "num_below": [0, 1]}, {"scores": [], "num_below": []}, {"num_below": [0]}, {"probe": []},
            {"num_rows": 10**30}, {"num_rows": math.inf}, {"num_allowed": math.inf},
        ],
    )  # fmt: skip
    def test_damaged(self, tmp_path: Path, predictor: Predictor, pairs: Pairs, damage: dict[str, object]) -> None:
        """A damaged file is refused, and the message names the command that makes a valid file."""
        path = tmp_path / "t.json"
        Threshold.calibrate(predictor, pairs, fpr=0.01).save(path)
        path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
        with pytest.raises(ClientError) as caught:
            Threshold.load(path)
        assert str(caught.value) == f"{path} is no threshold: make one with `Threshold.calibrate`."

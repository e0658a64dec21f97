"""Scores to bodies of answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ipinsights.data.entity_hash import hash_entities
from ipinsights.data.pairs import Pairs
from ipinsights.errors import ClientError
from ipinsights.inference.predictor import Predictor
from ipinsights.inference.threshold import Threshold
from ipinsights.serving import responses
from ipinsights.serving.media_types import JSON, JSON_LINES, ResponseFormat
from ipinsights.serving.responses import encode, encode_columns
from ipinsights.testing import save_random_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def body(media_type: str, *blocks: dict[str, NDArray[Any]]) -> str:
    """Return the body of blocks of columns."""
    return b"".join(encode_columns(blocks, media_type)).decode()


@pytest.fixture
def predictor(tmp_path: Path, rng: np.random.Generator) -> Predictor:
    """Return a predictor with random parameters."""
    return Predictor.load(save_random_model(tmp_path, num_entities=50, vector_dim=8, rng=rng))


@pytest.fixture
def pairs(rng: np.random.Generator) -> Pairs:
    """Return some hundred pairs."""
    return Pairs(hash_entities([f"user_{i}" for i in range(300)]), rng.integers(2**32, size=300, dtype=np.uint32))


class TestBytes:
    """The bytes of an answer."""

    def test_json_as_observed(self) -> None:
        """Two scores that a public workshop shows, in the bytes that it shows."""
        scores = np.array([-0.0025198650546371937, -0.012088463641703129], dtype=np.float32)
        assert body(JSON, {"dot_product": scores}) == (
            '{"predictions": [{"dot_product": -0.0025198650546371937}, {"dot_product": -0.012088463641703129}]}'
        )

    def test_five_verbose_answers_of_the_original(self) -> None:
        """Its own embeddings come out in its bytes; its scores are their inner products."""
        text = (GOLDEN / "predictions.json").read_text().rstrip("\n")
        records = json.loads(text)["predictions"]
        columns = {key: np.array([record[key] for record in records], dtype=np.float32) for key in records[0]}
        assert list(columns) == ["dot_product", "ip_embedding", "entity_embedding"]
        assert body(JSON, columns) == text
        one_by_one = [{key: values[row : row + 1] for key, values in columns.items()} for row in range(len(records))]
        assert body(JSON, *one_by_one) == text
        products = np.einsum("nd,nd->n", columns["ip_embedding"], columns["entity_embedding"])
        assert columns["dot_product"] == pytest.approx(products, rel=1e-6)

    def test_json_lines_as_observed(self) -> None:
        """Records of JSON Lines have no blanks and end with a newline, as observed.

        Scores have two digits more than in the one public line, which is cut at 15 digits.
        """
        scores = np.array([-0.190504431724548], dtype=np.float32)
        assert body(JSON_LINES, {"dot_product": scores}) == '{"dot_product":-0.19050443172454834}\n'

    @pytest.mark.parametrize(("media_type", "separators"), [(JSON, (", ", ": ")), (JSON_LINES, (",", ":"))])
    @given(hnp.arrays(np.float32, st.tuples(st.integers(1, 40), st.integers(1, 5)), elements=FLOATS), st.data())
    def test_it_is_what_json_dumps_gives(
        self, media_type: str, separators: tuple[str, str], table: NDArray[np.float32], data: st.DataObject
    ) -> None:
        """Bytes are those of ``json.dumps`` for any numbers, records and blocks."""
        cut = data.draw(st.integers(0, len(table) - 1))
        columns = {"dot_product": table[:, 0], "ip_embedding": table, "entity_known": table[:, 0] > 0}
        blocks = [{key: values[part] for key, values in columns.items()} for part in (slice(cut), slice(cut, None))]
        records = [
            dict(zip(columns, row, strict=True))
            for row in zip(*(values.tolist() for values in columns.values()), strict=True)
        ]
        texts = [json.dumps(record, separators=separators) for record in records]
        expected = f'{{"predictions": [{", ".join(texts)}]}}' if media_type == JSON else "\n".join([*texts, ""])
        assert body(media_type, *(block for block in blocks if block["dot_product"].size)) == expected

    @pytest.mark.parametrize("size", [1, 100])
    def test_numbers_at_the_edges(self, size: int) -> None:
        """Where Python begins to write exponents, and where a double is whole."""
        edges = [0.0, -0.0, 1.0, -7.0, 1e-4, 9.99e-5, 1e-5, 1e10, 1e15, 1e16, 1e22, 123456789.5, 3.4e38, 1e-45]
        columns = {"dot_product": np.array(edges * size, dtype=np.float64)}
        assert body(JSON, columns) == json.dumps({"predictions": [{"dot_product": edge} for edge in edges * size]})


class TestAnswer:
    """What an answer holds."""

    @pytest.mark.parametrize("block_numbers", [20, 2**19])
    def test_verbose(
        self, predictor: Predictor, pairs: Pairs, block_numbers: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Keys have the original's order, and the dot product is that of the embeddings to 1e-6."""
        monkeypatch.setattr(responses, "_BLOCK_NUMBERS", block_numbers)
        content = json.loads(b"".join(encode(predictor, pairs, ResponseFormat(JSON, verbose=True))))
        assert len(content["predictions"]) == 300
        for record in content["predictions"]:
            assert list(record) == ["dot_product", "ip_embedding", "entity_embedding"]
            vectors = np.array([record["ip_embedding"], record["entity_embedding"]], dtype=np.float32)
            assert vectors.tolist() == [record["ip_embedding"], record["entity_embedding"]]
            assert record["dot_product"] == pytest.approx(float(vectors[0] @ vectors[1]), rel=1e-6, abs=1e-6)

    def test_extended(self, predictor: Predictor, pairs: Pairs) -> None:
        """An extended answer says whether the entity is known, and the probability."""
        content = b"".join(encode(predictor, pairs, ResponseFormat(JSON_LINES, extended=True))).splitlines()
        records = [json.loads(line) for line in content]
        assert [list(record) for record in records[:1]] == [["dot_product", "entity_known", "probability"]]
        assert [record["entity_known"] for record in records] == predictor.entity_known(pairs.entities).tolist()
        for record in records:
            assert record["probability"] == pytest.approx(1 / (1 + np.exp(-record["dot_product"])))

    def test_extended_with_a_threshold(self, predictor: Predictor, pairs: Pairs) -> None:
        """The model's threshold judges known entities.

        An unknown entity has a verdict of its own and no p-value.
        """
        threshold = Threshold.calibrate(predictor, pairs, fpr=0.1)
        pieces = encode(predictor, pairs, ResponseFormat(JSON, extended=True), threshold=threshold)
        records = json.loads(b"".join(pieces))["predictions"]
        assert list(records[0]) == ["dot_product", "entity_known", "probability", "p_value", "verdict"]
        for record in records:
            assert (record["p_value"] is None) == (not record["entity_known"])
            suspicious = "suspicious" if record["dot_product"] < threshold.score else "normal"
            assert record["verdict"] == (suspicious if record["entity_known"] else "unknown_entity")

    def test_plain(self, predictor: Predictor, pairs: Pairs) -> None:
        """A plain answer has the dot product and nothing else."""
        records = json.loads(b"".join(encode(predictor, pairs, ResponseFormat(JSON))))["predictions"]
        assert [list(record) for record in records] == [["dot_product"]] * 300

    @pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
    def test_scores_that_are_no_numbers(self, predictor: Predictor, pairs: Pairs) -> None:
        """A score that is not a number raises an error before anything is sent."""
        predictor._params = {**predictor._params, "entity_weight": np.full((50, 8), np.nan, dtype=np.float32)}
        with pytest.raises(ClientError) as caught:
            encode(predictor, pairs, ResponseFormat(JSON))
        assert str(caught.value) == (
            "The model gives scores that are not numbers: it is damaged, or its learning_rate was too high. "
            "Train it again."
        )

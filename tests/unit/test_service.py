"""A model that answers requests, without HTTP."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.data.entity_hash import entity_rows, hash_entities
from ipinsights.data.pairs import Pairs
from ipinsights.errors import ClientError
from ipinsights.inference.predictor import Predictor
from ipinsights.inference.threshold import Threshold
from ipinsights.serving.media_types import CSV, JSON, JSON_LINES, RequestError
from ipinsights.serving.service import InferenceModel
from ipinsights.testing import save_random_model

from .asgi import poster

if TYPE_CHECKING:
    from pathlib import Path


class TestModelAtFault:
    """A table of entities may have gigabytes, and is not looked through when a model is opened."""

    @pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_a_row_that_is_no_number(self, model: InferenceModel, value: float) -> None:
        """A request for a row that is not a number reports the model's fault.

        Other rows have their scores.
        """
        rows = model.predictor._params["entity_weight"].copy()
        rows[entity_rows(hash_entities(["user_1"]), 100)] = value
        predictor = copy.copy(model.predictor)
        predictor._params = {**predictor._params, "entity_weight": rows}
        post = poster(InferenceModel(predictor, None))
        message = (
            b"The model gives scores that are not numbers: it is damaged, or its learning_rate was too high. "
            b"Train it again.\n"
        )
        assert post(b"user_1,192.168.1.2", CSV) == (500, message)
        assert post(b"user_2,192.168.1.2", CSV)[0] == 200


class TestLoad:
    """From a path to a model that answers."""

    def test_a_threshold_of_another_model(self, tmp_path: Path) -> None:
        """The model is refused before any request comes."""
        folders = [
            save_random_model(tmp_path / str(seed), num_entities=100, vector_dim=8, rng=np.random.default_rng(seed))
            for seed in range(2)
        ]
        predictor, rng = Predictor.load(folders[0]), np.random.default_rng(2)
        pairs = Pairs(rng.integers(2**63, size=1000).astype(np.uint64), rng.integers(2**32, size=1000, dtype=np.uint32))
        Threshold.calibrate(predictor, pairs, fpr=0.1).save(folders[0] / "threshold.json")
        assert InferenceModel.load(folders[0]).threshold is not None
        (folders[0] / "threshold.json").replace(folders[1] / "threshold.json")
        message = "^The threshold was made for another model: make a new one with `Threshold.calibrate`.$"
        with pytest.raises(ClientError, match=message):
            InferenceModel.load(folders[1])

    def test_warming_up_imports_everything(self, tmp_path: Path) -> None:
        """No request makes a worker import a module, which would take time and memory in each."""
        folder = save_random_model(tmp_path, num_entities=10, vector_dim=4, rng=np.random.default_rng(0))
        code = """
import sys
from pathlib import Path
from ipinsights.serving.service import InferenceModel
model = InferenceModel.load(Path(sys.argv[1]))
model.warm_up()
before = set(sys.modules)
for body, content_type in ((b"a,1.2.3.4", "text/csv"), (b'{"features": ["a", "1.2.3.4"]}', "application/jsonlines")):
    for options in ("", "; verbose=True", "; extended=True"):
        answer = model.answer(body, content_type=content_type, accept="application/json" + options, default="")
        b"".join(answer.pieces)
print(sorted(set(sys.modules) - before))
"""
        done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
        assert done.stdout == "[]\n"


class TestAnswer:
    """Bodies and headers to answers."""

    def test_rows_and_media_type(self, model: InferenceModel) -> None:
        """The answer has the scores of all pairs, in the media type that was negotiated."""
        answer = model.answer(b"user_1,1.2.3.4\nuser_2,1.2.3.4", content_type=CSV, accept="", default=JSON_LINES)
        hashes, ips = hash_entities(["user_1", "user_2"]), np.full(2, 0x01020304, dtype=np.uint32)
        lines = [f'{{"dot_product":{score!r}}}\n' for score in model.predictor.score(hashes, ips).tolist()]
        assert (answer.media_type, answer.rows) == (JSON_LINES, 2)
        assert b"".join(answer.pieces).decode() == "".join(lines)

    @pytest.mark.parametrize(
        ("content_type", "accept", "status"), [(CSV, "text/csv", 406), ("image/png", JSON, 415), (CSV, JSON, 400)]
    )
    def test_refusals(self, model: InferenceModel, content_type: str, accept: str, status: int) -> None:
        """The Accept header is checked before the content type, and that before the body."""
        with pytest.raises(RequestError) as caught:
            model.answer(b"not a pair", content_type=content_type, accept=accept, default=JSON)
        assert caught.value.status == status

    def test_a_model_that_is_changed_while_it_answers(self, tmp_path: Path) -> None:
        """The answer ends before a wrong embedding is sent if the file changes meanwhile.

        Embeddings are read from the file piece by piece.
        """
        folder = save_random_model(tmp_path, num_entities=100, vector_dim=8, rng=np.random.default_rng(0))
        model = InferenceModel.load(folder)
        verbose = f"{JSON}; verbose=True"
        answer = model.answer(b"user_1,1.2.3.4\n" * 40_000, content_type=CSV, accept=verbose, default=JSON)
        first = next(answer.pieces)
        with (folder / "model_algo-1").open("ab") as stream:
            stream.write(b"more")
        message = (
            "The model file was changed in use. Rename a whole model to its place, then reload the server with SIGHUP."
        )
        for act in (lambda: next(answer.pieces), model.check_usable):
            with pytest.raises(RequestError) as caught:
                act()
            assert (caught.value.status, str(caught.value)) == (503, message)
        assert first.startswith(b'{"predictions": [{"dot_product": ')

    def test_a_model_without_a_file(self, model: InferenceModel) -> None:
        """A predictor that maps no file can always be used, and has no identity."""
        alone = InferenceModel(model.predictor, None)
        alone.check_usable()
        assert alone.identity_at_path() is None
        assert model.file is not None
        assert model.identity_at_path() == model.file.identity_at_path()


class TestIsSmall:
    """Bodies that other requests can wait for."""

    @pytest.mark.parametrize(("vector_dim", "num_bytes"), [(8, 16_384), (128, 16_384), (256, 4096), (512, 1024)])
    def test_the_limit_falls_with_the_square_of_the_embedding(
        self, tmp_path: Path, vector_dim: int, num_bytes: int
    ) -> None:
        """Up to 128 dimensions it is 16 KiB."""
        folder = save_random_model(tmp_path, num_entities=10, vector_dim=vector_dim, rng=np.random.default_rng(0))
        model = InferenceModel(Predictor.load(folder), None)
        assert [model.is_small(size, JSON) for size in (num_bytes, num_bytes + 1)] == [True, False]

    def test_embeddings_are_never_small(self, model: InferenceModel) -> None:
        """Verbose answers are long, in any spelling of the parameter."""
        assert not model.is_small(1, "application/json; VERBOSE=True")

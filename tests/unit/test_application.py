"""The endpoint's application, as the server calls it, under bodies and headers that nobody sends in good faith."""

from __future__ import annotations

import copy
import io
import json
import tracemalloc
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.entities import entity_rows, hash_entities
from ipinsights.serving.media_types import CSV, JSON, JSON_LINES
from ipinsights.serving.service import InferenceModel
from ipinsights.serving.application import Application
from ipinsights.testing import save_random_model

PAIR = '["user_1", "192.168.1.2"]'
# What parsers are known to stumble over: bodies as they are, and values in the place of a pair.
BODIES = [
    b"",
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xef\xbb\xbfa,1.2.3.4",
    b"\xed\xa0\x80,1.2.3.4",
    b"a,1.2.3.4\0",
    b"a\0b,1.2.3.4",
    b'"a,1.2.3.4',
    b'"a"b,1.2.3.4',
    b",",
    b"\r",
    b"\x1f\x8b\x08\0",
    b"a," + b"1" * 5000,
    b"a,1.2.3." + b"0" * 5000,
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"instances":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b"nan",
    b"NaN",
    b"-",
    b"1e999999999",
    b'"\\ud800"',
    b'{"instances": null}',
    b'{"instances": {}}',
    b'{"instances": [], "instances": [{"features": ["user_1", "192.168.1.2"]}]}',
    b'{"instances": [{"features": ["user_1", "192.168.1.2"]}], "instances": []}',
    b'\xef\xbb\xbf{"instances": []}',
]
VALUES = [
    "null", "true", "NaN", "-Infinity", "1e400", "-0", "9" * 5000, "1" + "0" * 400, "18446744073709551616", "1.5", '""',
    '"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"', '"a"', "[]", "{}", "[[]]", PAIR, f"[{PAIR}]", f'{{"values": {PAIR}}}',
    '{"values": {"values": 1}}', '{"values": null}', '["a"]', '["a", "b", "c"]', "[1, 2]", '["\\ud800", "1.2.3.4"]',
    '["a\\u0000", "1.2.3.4"]', '["a", "1.2.3.4\\u0000"]', "[" * 500 + "]" * 500,
]  # fmt: skip
KEYS = ["features", "data", "values", "instances", "configuration", "", "\\u0000"]


def documents(value: Any) -> Any:
    """Give JSON around a value that may be anything, keys that come twice included."""
    members = st.lists(st.tuples(st.sampled_from(KEYS), value), max_size=3)
    objects = members.map(lambda found: "{" + ", ".join(f'"{key}": {inner}' for key, inner in found) + "}")
    return objects | st.lists(value, max_size=3).map(lambda found: f"[{', '.join(found)}]")


json_texts = st.recursive(st.sampled_from(VALUES), documents, max_leaves=8)
bodies = (
    st.sampled_from(BODIES)
    | st.binary(max_size=300)
    | st.text(alphabet='a1,. \n\r"\0\ufeffé', max_size=60).map(str.encode)
    | json_texts.map(str.encode)
    | json_texts.map(lambda text: f'{{"instances": [{text}, {{"features": {PAIR}}}]}}'.encode())
    | st.lists(json_texts, max_size=4).map(lambda texts: "\n".join(texts).encode())
)
content_types = st.sampled_from([CSV, JSON, JSON_LINES, "", "text/csv; charset=latin-1", "a/b", ";;=", "text/csv;\xff"])
accepts = st.sampled_from(
    ["", JSON, JSON_LINES, "application/json; verbose=True; extended=true", "*/*;q=x", 'a"b', ",", "\xff"]
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> InferenceModel:
    """Give a model of random parameters."""
    folder = tmp_path_factory.mktemp("model")
    return InferenceModel.load(save_random_model(folder, num_entities=100, vector_dim=8, rng=np.random.default_rng(0)))


@pytest.fixture(scope="module")
def post(model: InferenceModel) -> Any:
    """Give what posts a body to an application, and gives the status and the body of its answer."""
    return poster(model)


def poster(model: InferenceModel) -> Any:
    """Give what posts to an application around a model."""
    application = Application(model, 2, 6, JSON)

    def post(body: bytes, content_type: str, accept: str = "") -> tuple[int, bytes]:
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/invocations",
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": content_type,
            "HTTP_ACCEPT": accept,
            "wsgi.input": io.BytesIO(body),
        }
        statuses: list[str] = []
        pieces = application(environ, lambda status, *_: statuses.append(status))  # type: ignore[arg-type,return-value]
        answer = b"".join(pieces)
        return int(statuses[0][:3]), answer

    return post


class TestFuzz:
    """Whatever comes in is answered, or refused with a sentence."""

    @hypothesis.settings(max_examples=500)
    @given(body=bodies, content_type=content_types, accept=accepts)
    def test_any_request(self, post: Any, body: bytes, content_type: str, accept: str) -> None:
        """An answer holds a score for each record; a refusal is the client's, and one line or a few."""
        status, answer = post(body, content_type, accept)
        assert status in {200, 400, 406, 415}
        if status == 200:
            assert answer.count(b'"dot_product"') >= 1
        else:
            assert answer.endswith(b".\n")
            assert len(answer) < 2000

    @pytest.mark.parametrize("content_type", [CSV, JSON, JSON_LINES])
    @pytest.mark.parametrize("body", BODIES)
    def test_known_traps(self, post: Any, body: bytes, content_type: str) -> None:
        """None is a bug of ours."""
        assert post(body, content_type)[0] in {200, 400}

    @pytest.mark.parametrize("value", VALUES)
    def test_known_traps_in_the_place_of_a_pair(self, post: Any, value: str) -> None:
        """A request is answered whole or refused whole: the good pair behind changes nothing."""
        status, answer = post(f'{{"instances": [{{"features": {value}}}, {{"features": {PAIR}}}]}}'.encode(), JSON)
        assert status in {200, 400}
        assert answer.count(b"dot_product") == (2 if status == 200 else 0)

    def test_of_two_keys_the_last_counts(self, post: Any) -> None:
        """As in Python's own reader of JSON."""
        assert post(BODIES[-3], JSON)[0] == 200
        assert post(BODIES[-2], JSON)[0] == 400

    def test_a_mark_of_byte_order(self, post: Any) -> None:
        """It counts for nothing before CSV, and is no JSON."""
        assert post(b"\xef\xbb\xbfuser_1,192.168.1.2", CSV) == post(b"user_1,192.168.1.2", CSV)
        assert post(b"\xef\xbb\xbf" + f'{{"features": {PAIR}}}'.encode(), JSON_LINES)[0] == 400

    def test_halves_of_characters(self, post: Any) -> None:
        """Half a surrogate pair is no character: refused as JSON that cannot be read."""
        status, answer = post(b'{"instances": [{"features": ["\\ud800", "192.168.1.2"]}]}', JSON)
        assert status == 400
        assert answer.startswith(b"the payload: it is no JSON: ")

    def test_a_fault_costs_no_more_than_its_message(self, post: Any) -> None:
        """A million faulty rows are not counted, nor is an endless address read back."""
        status, answer = post(b"a,b\n" * 1_000_000, CSV)
        assert (status, answer.splitlines()[0]) == (400, b"More than 5 rows cannot be used; the first 5:")
        assert len(post(b'{"features": ["a", "1.2.3.' + b"1" * 2**20 + b'"]}', JSON_LINES)[1]) < 300

    def test_memory_does_not_grow(self, post: Any) -> None:
        """Nothing of two thousand requests is kept, headers that differ each time included."""

        def send(numbers: range) -> int:
            for number in numbers:
                body = BODIES[number % len(BODIES)]
                post(body, f"text/csv; a={number}" if number % 2 else JSON, f"application/json; b={number}")
            return tracemalloc.get_traced_memory()[0]

        tracemalloc.start()
        try:
            before = send(range(200))
            # A header that is kept takes twice as much; what measures coverage keeps something of its own.
            assert send(range(200, 2200)) - before < 400_000
        finally:
            tracemalloc.stop()
        assert json.loads(post(b"user_1,192.168.1.2", CSV)[1])["predictions"]


class TestModelAtFault:
    """A table of entities may have gigabytes, and is not looked through when a model is opened."""

    @pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_a_row_that_is_no_number(self, model: InferenceModel, value: float) -> None:
        """Who asks for it is told that the model is at fault, and no score; the others have their scores."""
        rows = model.predictor._params["entity_weight"].copy()
        rows[entity_rows(hash_entities(["user_1"]), 100)] = value
        predictor = copy.copy(model.predictor)
        predictor._params = {**predictor._params, "entity_weight": rows}
        post = poster(InferenceModel(predictor, None))
        message = b"The model gives scores that are no numbers: train it anew with a lower learning_rate.\n"
        assert post(b"user_1,192.168.1.2", CSV) == (500, message)
        assert post(b"user_2,192.168.1.2", CSV)[0] == 200


class TestExecutionParameters:
    """What a batch transform is told."""

    @pytest.mark.parametrize(
        ("num_workers", "max_payload_mb", "transforms"), [(4, 6, 4), (16, 6, 16), (64, 6, 16), (64, 100, 1)]
    )
    def test_no_more_is_under_way_than_the_platform_allows(
        self, model: InferenceModel, num_workers: int, max_payload_mb: int, transforms: int
    ) -> None:
        """Payloads at a time, times their size, are 100 MB at the most."""
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/execution-parameters"}
        (body,) = Application(model, num_workers, max_payload_mb, JSON)(environ, lambda *_: None)  # type: ignore[arg-type,return-value]
        told = json.loads(body)
        assert told == {
            "MaxConcurrentTransforms": transforms,
            "BatchStrategy": "MULTI_RECORD",
            "MaxPayloadInMB": max_payload_mb,
        }

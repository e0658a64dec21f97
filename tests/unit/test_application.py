"""The application through its ASGI interface, also with malformed and hostile requests."""

from __future__ import annotations

import asyncio
import json
import logging
import tracemalloc
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.serving.media_types import CSV, JSON, JSON_LINES

from .asgi import ask, asked, made, poster

if TYPE_CHECKING:
    from ipinsights.serving.service import InferenceModel

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
    """Return a strategy for JSON documents around any value, including repeated keys."""
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
def post(model: InferenceModel) -> Any:
    """Return a function that posts a body and returns status and body of the response."""
    return poster(model)


class TestRoutes:
    """Paths and methods."""

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize("path", ["/ping", "/livez"])
    def test_probes(self, model: InferenceModel, method: str, path: str) -> None:
        """/ping and /livez return 200 without a body."""
        status, headers, body = asked(made(model), method, path)
        assert (status, headers["content-length"], body) == (200, "0", b"")

    def test_a_stopping_worker_lives_and_is_not_ready(self, model: InferenceModel) -> None:
        """Only /ping returns 503, with the reason."""
        application = made(model, is_stopping=True)
        assert asked(application, "GET", "/ping")[::2] == (503, b"The server is shutting down.\n")
        assert asked(application, "GET", "/livez")[0] == 200

    @pytest.mark.parametrize(
        ("method", "path", "status", "allow"),
        [
            ("POST", "/ping", 405, "GET, HEAD"),
            ("GET", "/invocations", 405, "POST"),
            ("GET", "/endpoints/any/invocations", 405, "POST"),
            ("GET", "/endpoints//invocations", 404, None),
            ("GET", "http://host/ping", 200, None),
            ("GET", "http://[::1/ping", 400, None),
        ],
    )
    def test_targets(self, model: InferenceModel, method: str, path: str, status: int, allow: str | None) -> None:
        """A wrong method gets 405, an unknown path 404, and a target may be absolute."""
        found, headers, _ = asked(made(model), method, path)
        assert (found, headers.get("allow")) == (status, allow)

    def test_no_host(self, model: InferenceModel) -> None:
        """HTTP/1.1 demands a Host header on every route."""
        answer = asyncio.run(ask(made(model), "GET", "/ping", [], []))
        assert answer[::2] == (400, b"The request has no Host header.\n")

    def test_request_ids(self, model: InferenceModel) -> None:
        """A request id is returned under both names, and drawn if the request has no id."""
        _, sent, _ = asked(made(model), "GET", "/ping", X_Request_Id="order-17")
        assert (sent["x-request-id"], sent["x-amzn-requestid"]) == ("order-17", "order-17")
        assert len(asked(made(model), "GET", "/ping")[1]["x-request-id"]) >= 16


class TestBodies:
    """Bodies of every size and encoding."""

    def test_large_bodies_run_in_a_thread_and_small_ones_at_once(self, model: InferenceModel) -> None:
        """A large body and a small one get the same scores."""
        application = made(model)
        small = json.loads(asked(application, "POST", "/invocations", b"user_1,192.168.1.2")[2])["predictions"]
        assert "_thread" not in vars(application)
        large = json.loads(asked(application, "POST", "/invocations", b"user_1,192.168.1.2\n" * 1000)[2])["predictions"]
        assert "_thread" in vars(application)
        assert large == 1000 * small

    def test_a_refusal_leaves_its_reason_in_the_log(
        self, model: InferenceModel, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The log names status and reason, and nothing of what was sent."""
        monkeypatch.setattr(logging.getLogger("ipinsights"), "propagate", True)
        for content_type, body in ((CSV, b"secret,x"), (JSON, b'{"instances": [{"features": ["secret", "x"]}]}')):
            asked(made(model), "POST", "/invocations", body, Content_Type=content_type)
        asked(made(model), "POST", "/invocations", b"secret,1.2.3.4", Accept="secret/secret")
        asked(made(model), "GET", "/secret")
        assert caplog.messages == [
            "Refused a request to /invocations with 400: a row is not valid.",
            "Refused a request to /invocations with 400: record 1 is not valid.",
            "Refused a request to /invocations with 406: the Accept header asks for another media type.",
            "Refused a request to other with 404: unknown path.",
        ]

    @pytest.mark.parametrize("depth", [500, 980, 1000, 1023, 1024, 2000])
    def test_deep_json(self, post: Any, depth: int) -> None:
        """JSON of any depth is refused with a sentence."""
        status, answer = post(b'{"instances":[' + b"[" * depth + b"1" + b"]" * depth + b"]}", JSON)
        assert status == 400
        assert len(answer) < 400

    def test_a_map_is_no_pair(self, post: Any) -> None:
        """Keys of a map, or letters of a text, are not taken for entity and address."""
        for features in ('{"values": {"u": 1, "1.2.3.4": 2}}', '"ab"'):
            status, answer = post(f'{{"instances": [{{"features": {features}}}]}}'.encode(), JSON)
            assert status == 400
            assert answer.startswith(b"the payload, instance 1: an instance must be ")


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
        """The last of two equal keys counts, as in Python's own reader of JSON."""
        assert post(BODIES[-3], JSON)[0] == 200
        assert post(BODIES[-2], JSON)[0] == 400

    def test_a_mark_of_byte_order(self, post: Any) -> None:
        """A byte order mark is ignored before CSV and refused before JSON."""
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

    def test_memory_does_not_grow(self, post: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Two thousand requests with different headers leave nothing in memory."""
        # pytest keeps what is logged.
        monkeypatch.setattr(logging.getLogger("ipinsights.serving.application"), "disabled", True)

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


class TestExecutionParameters:
    """What a batch transform is told."""

    @pytest.mark.parametrize(
        ("num_workers", "max_payload_mb", "transforms"), [(4, 6, 4), (16, 6, 16), (64, 6, 16), (64, 100, 1)]
    )
    def test_no_more_is_under_way_than_the_platform_allows(
        self, model: InferenceModel, num_workers: int, max_payload_mb: int, transforms: int
    ) -> None:
        """Payloads at a time, times their size, are 100 MB at the most."""
        application = made(model, num_workers=num_workers, max_payload_mb=max_payload_mb)
        _, _, body = asked(application, "GET", "/execution-parameters")
        told = json.loads(body)
        assert told == {
            "MaxConcurrentTransforms": transforms,
            "BatchStrategy": "MULTI_RECORD",
            "MaxPayloadInMB": max_payload_mb,
        }

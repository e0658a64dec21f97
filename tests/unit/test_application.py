"""The application through its ASGI interface, with malformed and hostile bodies and headers too."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import os
import tracemalloc
from typing import TYPE_CHECKING, Any

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.data.entity_hash import entity_rows, hash_entities
from ipinsights.serving.application import Application
from ipinsights.serving.log_stream import LogStream
from ipinsights.serving.media_types import CSV, JSON, JSON_LINES
from ipinsights.serving.service import InferenceModel
from ipinsights.testing import save_random_model

if TYPE_CHECKING:
    from pathlib import Path

NOWHERE = LogStream(os.open(os.devnull, os.O_WRONLY))
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
    """Return a function that posts a body and returns status and body of the response."""
    return poster(model)


def made(model: InferenceModel, **options: Any) -> Application:
    """Return an application around a model."""
    settings = {"num_workers": 2, "max_payload_mb": 6, "default": JSON, "timeout": 60, "log": NOWHERE, **options}
    return Application(model=model, **settings)


async def ask(
    application: Application,
    method: str,
    path: str,
    pieces: list[bytes],
    headers: list[tuple[str, str]],
    *,
    hangs_up: bool = True,
) -> tuple[int, dict[str, str], bytes]:
    """Send a request in pieces, then hang up or be silent, and return status, headers and body of the response."""
    waiting, sent = list(pieces), []
    encoded = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    scope = {"type": "http", "http_version": "1.1", "method": method, "path": path, "headers": encoded}

    async def receive() -> dict[str, Any]:
        """Return the next piece."""
        if not waiting and not hangs_up:
            await asyncio.Event().wait()
        if not waiting:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting)}

    async def send(message: Any) -> None:
        """Keep a message."""
        sent.append(message)

    await application(scope, receive, send)
    assert [message["type"] for message in sent].count("http.response.start") == 1
    assert not sent[-1].get("more_body", False)
    found = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found, b"".join(message["body"] for message in sent[1:])


def asked(
    application: Application, method: str, path: str, *pieces: bytes, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Send a request with a Host, and return status, headers and body of the response."""
    fields = [("Host", "x"), *((name.replace("_", "-"), value) for name, value in headers.items())]
    if pieces:
        fields.append(("Content-Length", str(sum(map(len, pieces)))))
    return asyncio.run(ask(application, method, path, list(pieces), fields))


def poster(model: InferenceModel) -> Any:
    """Return a function that posts a body to an application around a model."""
    application = made(model)

    def post(body: bytes, content_type: str, accept: str = "") -> tuple[int, bytes]:
        headers = [("Host", "x"), ("Content-Type", content_type), ("Accept", accept)]
        headers.append(("Content-Length", str(len(body))))
        status, _, answer = asyncio.run(ask(application, "POST", "/invocations", [body], headers))
        return status, answer

    return post


class TestRoutes:
    """Paths and methods."""

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    @pytest.mark.parametrize("path", ["/ping", "/livez"])
    def test_probes(self, model: InferenceModel, method: str, path: str) -> None:
        """Both probes return 200 without a body."""
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
        """A request id is returned under both names, and made if there is none."""
        _, sent, _ = asked(made(model), "GET", "/ping", X_Request_Id="order-17")
        assert (sent["x-request-id"], sent["x-amzn-requestid"]) == ("order-17", "order-17")
        assert len(asked(made(model), "GET", "/ping")[1]["x-request-id"]) >= 16


class TestBodies:
    """Bodies of every size and encoding."""

    def test_pieces(self, model: InferenceModel) -> None:
        """A body that arrives in pieces is scored like a whole one."""
        whole = asked(made(model), "POST", "/invocations", b"user_1,192.168.1.2")
        assert asked(made(model), "POST", "/invocations", b"user_1,", b"192.168", b".1.2")[::2] == whole[::2]
        assert whole[0] == 200

    def test_large_bodies_run_in_a_thread_and_small_ones_at_once(self, model: InferenceModel) -> None:
        """Both have the same scores."""
        application = made(model)
        small = json.loads(asked(application, "POST", "/invocations", b"user_1,192.168.1.2")[2])["predictions"]
        assert "_thread" not in vars(application)
        large = json.loads(asked(application, "POST", "/invocations", b"user_1,192.168.1.2\n" * 1000)[2])["predictions"]
        assert "_thread" in vars(application)
        assert large == 1000 * small

    def test_an_announced_body_over_the_limit_is_not_read(self, model: InferenceModel) -> None:
        """It is refused by its length."""
        message = b"The payload is larger than 1 MB: split it, or start the server with --max-payload-mb.\n"
        fields = [("Host", "x"), ("Content-Length", "99999999")]
        status, headers, body = asyncio.run(ask(made(model, max_payload_mb=1), "POST", "/invocations", [], fields))
        assert (status, headers["connection"], body) == (413, "close", message)

    def test_a_chunked_body_over_the_limit(self, model: InferenceModel) -> None:
        """It is refused when its size is known to be too large, and the rest is discarded."""
        fields = [("Host", "x"), ("Transfer-Encoding", "chunked")]
        pieces = [b"a" * 2**19 for _ in range(5)]
        assert asyncio.run(ask(made(model, max_payload_mb=1), "POST", "/invocations", pieces, fields))[0] == 413

    @pytest.mark.parametrize(
        ("hangs_up", "status", "message"),
        [
            (True, 400, b"The payload ended before all of its 100 bytes arrived.\n"),
            (False, 408, b"The payload did not arrive within 0.05 seconds.\n"),
        ],
    )
    def test_a_body_that_does_not_arrive(
        self,
        model: InferenceModel,
        hangs_up: bool,  # noqa: FBT001
        status: int,
        message: bytes,
    ) -> None:
        """A client that hangs up early gets 400, and one that takes too long 408."""
        fields = [("Host", "x"), ("Content-Length", "100")]
        application = made(model, timeout=0.05)
        found, _, body = asyncio.run(ask(application, "POST", "/invocations", [], fields, hangs_up=hangs_up))
        assert (found, body) == (status, message)

    @pytest.mark.parametrize(
        ("encoding", "status"), [("identity", 200), ("Identity", 200), ("gzip", 415), ("GZIP", 415)]
    )
    def test_encodings(self, model: InferenceModel, encoding: str, status: int) -> None:
        """Only an unpacked body is accepted, in any case of letters."""
        answer = asked(made(model), "POST", "/invocations", b"user_1,192.168.1.2", Content_Encoding=encoding)
        assert answer[0] == status

    def test_too_many_large_bodies(self, model: InferenceModel) -> None:
        """A worker that holds as many bytes as it may refuses further ones, and accepts them again later."""
        application = made(model)
        fields = [("Host", "x"), ("Content-Length", "18")]

        async def twice() -> list[tuple[int, dict[str, str], bytes]]:
            with application._bodies.hold(2**28):
                first = await ask(application, "POST", "/invocations", [b"user_1,192.168.1.2"], fields)
            return [first, await ask(application, "POST", "/invocations", [b"user_1,192.168.1.2"], fields)]

        (status, headers, body), (later, _, _) = asyncio.run(twice())
        assert (status, headers["retry-after"], later) == (503, "1", 200)
        assert body == b"The server holds too many large payloads: send this one again later.\n"

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


class TestModelFile:
    """A model file that somebody changes under a server."""

    @pytest.fixture
    def opened(self, tmp_path: Path) -> tuple[Path, Application]:
        """Return a model file and an application that has it open."""
        file = save_random_model(tmp_path, num_entities=100, vector_dim=8, rng=np.random.default_rng(0))
        file = file / "model_algo-1" if file.is_dir() else file
        return file, made(InferenceModel.load(file))

    @pytest.mark.parametrize("size", [None, 1000])
    def test_overwritten_or_truncated_in_place(self, opened: tuple[Path, Application], size: int | None) -> None:
        """The worker is not ready any more, and refuses to score."""
        file, application = opened
        with file.open("r+b") as stream:
            stream.write(b"garbage")
            if size is not None:
                stream.truncate(size)
        message = (
            b"The model file was changed in use. Rename a whole model to its place, then reload the server with "
            b"SIGHUP.\n"
        )
        for method, path, body in (("GET", "/ping", ()), ("POST", "/invocations", (b"user_1,192.168.1.2",))):
            assert asked(application, method, path, *body)[::2] == (503, message)

    def test_replaced_by_renaming(self, opened: tuple[Path, Application]) -> None:
        """The opened file stays in use."""
        file, application = opened
        before = asked(application, "POST", "/invocations", b"user_1,192.168.1.2")[2]
        new = file.with_name("new")
        new.write_bytes(b"garbage")
        new.replace(file)
        assert asked(application, "GET", "/ping")[0] == 200
        assert asked(application, "POST", "/invocations", b"user_1,192.168.1.2")[2] == before


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

    def test_memory_does_not_grow(self, post: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing of two thousand requests is kept, headers that differ each time included."""
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
        application = made(model, num_workers=num_workers, max_payload_mb=max_payload_mb)
        _, _, body = asked(application, "GET", "/execution-parameters")
        told = json.loads(body)
        assert told == {
            "MaxConcurrentTransforms": transforms,
            "BatchStrategy": "MULTI_RECORD",
            "MaxPayloadInMB": max_payload_mb,
        }

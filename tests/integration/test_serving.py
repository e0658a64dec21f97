"""Routes, requests and answers of the server, with the clients that people use."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from botocore.config import Config

from ipinsights.data.entity_hash import hash_entities
from ipinsights.inference.predictor import Predictor

from .running_server import CSV, JSON, JSON_LINES, PAIR, Running

if TYPE_CHECKING:
    from pathlib import Path


class TestRoutes:
    """What is where."""

    def test_ping(self, server: Running) -> None:
        """It answers 200 and nothing, and leaves no line."""
        before = server.log.read_text().count("#metrics")
        status, _, body = server.request("GET", "/ping")
        assert (status, body) == (200, b"")
        assert server.log.read_text().count("#metrics") == before

    def test_execution_parameters(self, server: Running) -> None:
        """A batch transform learns the number of workers and the size of a payload."""
        status, headers, body = server.request("GET", "/execution-parameters")
        assert (status, headers["content-type"]) == (200, JSON)
        expected = {"MaxConcurrentTransforms": 2, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 1}
        assert json.loads(body) == expected

    @pytest.mark.parametrize(
        ("method", "path", "status", "message"),
        [
            ("GET", "/", 404, "There is nothing at /: this server answers GET /ping, GET /execution-parameters and "
                              "POST /invocations.\n"),
            ("GET", "/invocations", 405, "/invocations answers POST, not GET.\n"),
            ("PUT", "/invocations", 405, "/invocations answers POST, not PUT.\n"),
            ("POST", "/ping", 405, "/ping answers GET, not POST.\n"),
        ],
    )  # fmt: skip
    def test_wrong_ways_in(self, server: Running, method: str, path: str, status: int, message: str) -> None:
        """They get 404, or 405 with what is allowed."""
        found, headers, body = server.request(method, path)
        assert (found, body.decode()) == (status, message)
        assert ("allow" in headers) == (status == 405)

    def test_log(self, server: Running) -> None:
        """Each request leaves the line of the original, and no byte of what was sent."""
        server.invoke(b"secret_name,192.168.1.2")
        server.invoke(b"secret_name,no address")
        server.request("GET", "/execution-parameters")
        log = server.log.read_text()
        lines = [json.loads(line.removeprefix("#metrics ")) for line in log.splitlines() if line.startswith("#metrics")]
        dimensions = {"Algorithm": "IPInsightsModel", "Host": "UNKNOWN", "Operation": "scoring"}
        assert lines[-1]["Dimensions"] == dimensions
        one = {"sum": 1.0, "count": 1, "min": 1, "max": 1}
        assert [line["Metrics"] for line in lines[-3:]] == [
            {"invocations.count": one}, {"invocations.count": one}, {"execution_parameters.count": one}
        ]  # fmt: skip
        assert "secret_name" not in log
        for line in ("Number of server workers: 2", "loading model...", "...model loaded."):
            assert log.count(f"] {line}\n") == 1
        assert log.index("...model loaded.") < log.index("Booting worker")


class TestInvocations:
    """Requests and answers."""

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            ("", PAIR),
            (CSV, b"user_1, 192.168.1.2"),
            ("text/csv; charset=utf-8", PAIR),
            (JSON, b'{"instances": [{"features": ["user_1", "192.168.1.2"]}]}'),
            (JSON, b'{"instances": [{"data": {"features": {"values": ["user_1", "192.168.1.2"]}}}]}'),
            (JSON_LINES, b'{"features": ["user_1", "192.168.1.2"]}\n'),
        ],
    )
    def test_every_format(self, server: Running, score: float, content_type: str, body: bytes) -> None:
        """The same pair has the same score, in JSON as the original writes it."""
        expected = f'{{"predictions": [{{"dot_product": {score!r}}}]}}'
        assert server.invoke(body, content_type) == (200, expected)
        assert server.invoke(body, content_type, accept="*/*") == (200, expected)

    @pytest.mark.parametrize(
        ("content_type", "body"),
        [
            (CSV, "entity_id_1, 192.168.1.2\nentity_id_2, 10.10.1.2"),
            (
                JSON,
                '{"instances": [{"data": {"features": {"values": ["entity_id_1", "192.168.1.2"]}}},'
                ' {"features": ["entity_id_2", "10.10.1.2"]}]}',
            ),
            (
                JSON_LINES,
                '{"data": {"features": {"values": ["entity_id_1", "192.168.1.2"]}}},\n'
                '{"features": ["entity_id_2", "10.10.1.2"]}]',
            ),
            (
                JSON,
                '{"instances": [{"configuration": {}, "data": {"features": {"keys": [], "values": ["entity_id_1", '
                '"192.168.1.2"], "shape": [2]}}}, {"data": {"features": ["entity_id_2", "10.10.1.2"]}}]}',
            ),
        ],
    )
    def test_documented_examples(self, server: Running, model: Path, content_type: str, body: str) -> None:
        """Each body that the developer guide shows, to the letter, has the scores of its two pairs."""
        entities, ips = hash_entities(["entity_id_1", "entity_id_2"]), np.array([0xC0A80102, 0x0A0A0102], np.uint32)
        scores = Predictor.load(model).score(entities, ips).tolist()
        expected = json.dumps({"predictions": [{"dot_product": score} for score in scores]})
        assert server.invoke(body.encode(), content_type) == (200, expected)

    @pytest.mark.parametrize(
        ("accept", "keys"),
        [
            ("application/jsonlines", ["dot_product"]),
            ("application/jsonlines; verbose=True", ["dot_product", "ip_embedding", "entity_embedding"]),
            ("application/jsonlines;verbose=True", ["dot_product", "ip_embedding", "entity_embedding"]),
            ("application/jsonlines; VERBOSE=true", ["dot_product", "ip_embedding", "entity_embedding"]),
            ("application/jsonlines; extended=True", ["dot_product", "entity_known", "probability"]),
            ("text/csv;q=0.9, application/*;q=0.1, application/jsonlines;q=0.5", ["dot_product"]),
        ],
    )
    def test_documented_answers(self, server: Running, accept: str, keys: list[str]) -> None:
        """Each way to ask for JSON Lines gives a record with its keys on a line, without blanks."""
        status, answer = server.invoke(PAIR, accept=accept)
        assert (status, list(json.loads(answer))) == (200, keys)
        assert " " not in answer
        assert answer.endswith("}\n")

    def test_json_lines(self, server: Running, score: float) -> None:
        """They are compact, a line for a record."""
        assert server.invoke(2 * PAIR, accept=JSON_LINES) == (200, 2 * f'{{"dot_product":{score!r}}}\n')

    @pytest.mark.parametrize("accept", ["application/json; verbose=True", "application/json;verbose=true"])
    def test_verbose(self, server: Running, model: Path, accept: str) -> None:
        """With the embeddings, in the original's order."""
        status, answer = server.invoke(PAIR, accept=accept)
        (record,) = json.loads(answer)["predictions"]
        assert (status, list(record)) == (200, ["dot_product", "ip_embedding", "entity_embedding"])
        expected = Predictor.load(model).entity_embeddings(hash_entities(["user_1"]))[0]
        assert record["entity_embedding"] == expected.tolist()

    def test_many_rows(self, server: Running, model: Path, rng: np.random.Generator) -> None:
        """Thirty thousand come back in their order, verbose ones in several pieces."""
        ips = rng.integers(2**32, size=30_000, dtype=np.uint32)
        rows = "".join(f"user_{i},{ip >> 24}.{ip >> 16 & 255}.{ip >> 8 & 255}.{ip & 255}\n" for i, ip in enumerate(ips))
        expected = Predictor.load(model).score(hash_entities([f"user_{i}" for i in range(30_000)]), ips).tolist()
        for accept in (JSON, "application/json; verbose=True"):
            status, answer = server.invoke(rows.encode(), accept=accept)
            assert status == 200
            assert [record["dot_product"] for record in json.loads(answer)["predictions"]] == expected

    @pytest.mark.parametrize(
        ("headers", "body", "status", "message"),
        [
            ({"Content-Type": CSV}, b"a,1.2.3.4\nb,x", 400, "the payload:2: 'x' is no IPv4 address: it must be four "
                                                          "numbers from 0 to 255, separated by dots.\n"),
            ({"Content-Type": CSV}, b"", 400, "the payload is empty: it must hold at least one row of entity,ip.\n"),
            ({"Accept": "text/csv"}, PAIR, 406, "Accept type 'text/csv' is not supported: ask for application/json or "
                                                "application/jsonlines, or leave the header out.\n"),
            ({"Content-Type": "image/png"}, PAIR, 415, "Content-Type 'image/png' is not supported: send text/csv, "
                                                       "application/json or application/jsonlines.\n"),
            ({"Content-Encoding": "gzip"}, PAIR, 415, "The payload is packed: send it without Content-Encoding.\n"),
            ({}, b"a" * (2**20 + 1), 413, "The payload is larger than 1 MB: split it, or start the server with "
                                          "--max-payload-mb.\n"),
        ],
    )  # fmt: skip
    def test_refusals(self, server: Running, headers: dict[str, str], body: bytes, status: int, message: str) -> None:
        """Each has its status and a sentence."""
        found, answered, text = server.request("POST", "/invocations", body, headers)
        assert (found, text.decode()) == (status, message)
        assert answered["content-type"] == "text/plain; charset=utf-8"

    def test_batch(self, model: Path, tmp_path: Path, score: float) -> None:
        """In a batch transform JSON Lines are the default, and the platform's limit holds."""
        environment = {"SAGEMAKER_BATCH": "true", "SAGEMAKER_MAX_PAYLOAD_IN_MB": "7"}
        with Running(model, tmp_path / "log", "--workers", "1", **environment) as served:
            assert served.invoke(PAIR) == (200, f'{{"dot_product":{score!r}}}\n')
            assert served.invoke(PAIR, accept="*/*")[1].endswith("}\n")
            assert json.loads(served.request("GET", "/execution-parameters")[2])["MaxPayloadInMB"] == 7


class TestClients:
    """Clients of other people."""

    @pytest.fixture
    def runtime(self, server: Running) -> Any:
        """Return boto3's client of the SageMaker runtime for our address."""
        boto3 = pytest.importorskip("boto3")
        return boto3.client(
            "sagemaker-runtime",
            endpoint_url=f"http://127.0.0.1:{server.port}",
            region_name="eu-west-1",
            aws_access_key_id="any",
            aws_secret_access_key="any",  # noqa: S106 - no secret
            config=Config(retries={"max_attempts": 1}),
        )

    def test_boto3(self, runtime: Any, score: float) -> None:
        """It invokes an endpoint of any name."""
        answer = runtime.invoke_endpoint(EndpointName="ipinsights", ContentType=CSV, Body=PAIR)
        assert answer["ContentType"] == JSON
        assert json.load(answer["Body"]) == {"predictions": [{"dot_product": score}]}

    def test_boto3_accept(self, runtime: Any, score: float) -> None:
        """What it accepts is obeyed."""
        answer = runtime.invoke_endpoint(EndpointName="a-b", ContentType=CSV, Body=PAIR, Accept=JSON_LINES)
        assert answer["Body"].read().decode() == f'{{"dot_product":{score!r}}}\n'

    def test_boto3_error(self, runtime: Any) -> None:
        """A refusal is the ModelError that a real endpoint's client sees."""
        with pytest.raises(runtime.exceptions.ModelError) as caught:
            runtime.invoke_endpoint(EndpointName="ipinsights", ContentType=CSV, Body=b"user_1")
        message = "the payload:1: a row must have 2 columns (entity,ip), this one has 1 column."
        assert caught.value.response["OriginalStatusCode"] == 400
        assert caught.value.response["OriginalMessage"] == message
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400

    def test_curl(self, server: Running, score: float, tmp_path: Path) -> None:
        """A post with curl of a file above its limit without Expect works with a content type."""
        file = tmp_path / "rows.csv"
        file.write_bytes(PAIR * 50_000)
        url = f"http://127.0.0.1:{server.port}/invocations"
        command = ["curl", "--silent", "--header", "Expect: 100-continue", "--data-binary", f"@{file}", url]
        try:
            refused = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout.decode()
        except FileNotFoundError:
            pytest.skip("curl is not installed")
        assert refused.startswith("Content-Type 'application/x-www-form-urlencoded' is not supported: send text/csv")
        command[1:1] = ["--header", "Content-Type: text/csv"]
        answer = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
        assert json.loads(answer) == {"predictions": 50_000 * [{"dot_product": score}]}


class TestStart:
    """What keeps a server from starting."""

    def run(self, *arguments: str) -> tuple[int, str]:
        """Return the exit code and the last line of a server that cannot start."""
        done = subprocess.run(
            [sys.executable, "-m", "ipinsights", "serve", *arguments], capture_output=True, text=True, check=False,
            timeout=60,
        )  # fmt: skip
        return done.returncode, done.stderr.splitlines()[-1]

    def test_no_model(self, tmp_path: Path) -> None:
        """The path is named."""
        assert self.run("--model-dir", str(tmp_path), "--port", "0") == (
            2,
            f"ClientError: There is no model in the folder {tmp_path}: it holds neither model_algo-1, which training "
            "writes, nor model.tar.gz.",
        )

    def test_port_in_use(self, server: Running, model: Path) -> None:
        """It is told at once, with what to do."""
        assert self.run("--model-dir", str(model), "--port", str(server.port)) == (
            2,
            f"ClientError: The server cannot listen at 127.0.0.1:{server.port}: Address already in use. Stop what "
            "does, or choose another with --port.",
        )

"""Clients that people have, each in an environment of its own, with the code of the pages."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.testing import save_random_model

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "serve-an-endpoint.md").read_text(encoding="utf-8")
# boto3 is one of the tools of the tests.
OURS = Path(sys.executable).parent
ADDRESS = "http://127.0.0.1:8080"


def environment(name: str, *requirements: str) -> Path:
    """Return the program folder of an environment with these packages, created once a clone."""
    home = ROOT / "build" / "environments" / f"{name}-{sys.version_info.major}.{sys.version_info.minor}"
    home.parent.mkdir(parents=True, exist_ok=True)
    stamp = home / "requirements"
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != "\n".join(requirements):
            shutil.rmtree(home, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", home], check=True)
            subprocess.run([home / "bin" / "python", "-m", "pip", "install", "--quiet", *requirements], check=True)
            stamp.write_text("\n".join(requirements))
    return home / "bin"


def section(title: str, language: str) -> list[str]:
    """Return the blocks in a language below a heading of the page."""
    assert f"\n## {title}\n" in PAGE
    text = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a server."""
    folder = tmp_path_factory.mktemp("server")
    save_random_model(folder / "model", num_entities=100, vector_dim=8, rng=np.random.default_rng(0))
    log = folder / "log"
    serve = PAGE.partition("```sh\n")[2].partition("\n")[0]
    assert serve == "ipinsights serve --model-dir model"
    command = [sys.executable, "-m", *serve.split(), "--port", "0"]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, cwd=folder, stdout=stream, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while not (found := re.search(r"Listening at: (http://127.0.0.1:\d+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield found[1]
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture(scope="module")
def answer(address: str) -> str:
    """Return the response to the page's pair, as curl prints it."""
    command = ["curl", "-sS", "-H", "Content-Type: text/csv", "--data-binary", "user_1,192.168.1.2"]
    return subprocess.run([*command, f"{address}/invocations"], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def score(answer: str) -> str:
    """Return the score of the page's pair, as Python prints it."""
    return repr(json.loads(answer)["predictions"][0]["dot_product"])


def shell(script: str, programs: Path, folder: Path, address: str) -> str:
    """Run a script with only the variables that it sets, and return what it prints."""
    done = subprocess.run(
        ["bash", "-ec", script.replace(ADDRESS, address)],
        cwd=folder,
        env={"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def exports() -> str:
    """Return the page's variables for unchanged clients."""
    return section("Point AWS clients to it", "sh")[0]


def test_boto3(address: str, answer: str, tmp_path: Path) -> None:
    """Unchanged code finds the server by the environment alone."""
    (code,) = section("Ask with boto3", "python")
    (tmp_path / "code.py").write_text(code)
    assert shell(exports() + "python code.py", OURS, tmp_path, address) == f"{answer}\n"


def test_boto3_errors(address: str, tmp_path: Path) -> None:
    """An invalid request is a `ModelError` that names the record."""
    code = """
import boto3
runtime = boto3.client("sagemaker-runtime")
try:
    runtime.invoke_endpoint(EndpointName="any", ContentType="text/csv", Body="user_1,1.2.3.4\\nuser_1")
except runtime.exceptions.ModelError as error:
    print(error.response["OriginalStatusCode"], error.response["OriginalMessage"])
"""
    (tmp_path / "code.py").write_text(code)
    printed = shell(exports() + "python code.py", OURS, tmp_path, address)
    assert printed == "400 the payload:2: a row must have 2 columns (entity,ip), this one has 1 column.\n"


@pytest.mark.slow
def test_awscli(address: str, answer: str, tmp_path: Path) -> None:
    """The page's command writes the response to a file."""
    programs = environment("awscli", "awscli")
    (command,) = section("Ask with the AWS command line", "sh")
    printed = shell(exports() + command, programs, tmp_path, address)
    assert printed.endswith(answer)


@pytest.mark.slow
def test_sdk_2(address: str, score: str, tmp_path: Path) -> None:
    """The page's code prints the score, and so do predictors with other serializers."""
    programs = environment("sagemaker-2", "sagemaker<3")
    _, code = section("Ask with SageMaker's Python SDK", "python")
    more = """
from sagemaker.deserializers import JSONDeserializer
from sagemaker.predictor import Predictor
from sagemaker.serializers import CSVSerializer, JSONSerializer

instances = {"instances": [{"features": ["user_1", "192.168.1.2"]}]}
for serializer, data in ((CSVSerializer(), "user_1,192.168.1.2"), (JSONSerializer(), instances)):
    predictor = Predictor("any-name", serializer=serializer, deserializer=JSONDeserializer())
    print(predictor.predict(data)["predictions"][0]["dot_product"])
predictor = IPInsightsPredictor("ipinsights", serializer=JSONSerializer())
verbose = predictor.predict(instances, initial_args={"Accept": "application/json; verbose=True"})
print(*verbose["predictions"][0])
"""
    (tmp_path / "code.py").write_text(code + more)
    printed = shell(exports() + "python code.py", programs, tmp_path, address)
    assert printed.splitlines()[-4:] == [*3 * [score], "dot_product ip_embedding entity_embedding"]


@pytest.mark.slow
def test_sdk_2_makes_an_estimator(tmp_path: Path) -> None:
    """The program of container-image.md runs up to its first request to AWS."""
    page = (ROOT / "docs" / "how-to" / "container-image.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    first, request, _ = code.partition("estimator.fit(")
    assert request
    shown = "print(estimator.hyperparameters(), [metric['Name'] for metric in estimator.metric_definitions])"
    (tmp_path / "code.py").write_text(first + shown)
    printed = shell(exports() + "python code.py", environment("sagemaker-2", "sagemaker<3"), tmp_path, ADDRESS)
    expected = "{'num_entity_vectors': '20000', 'vector_dim': '128'} ['validation:discriminator_auc']"
    assert printed.splitlines()[-1] == expected


@pytest.mark.slow
def test_sdk_3(address: str, score: str, tmp_path: Path) -> None:
    """The page's code prints the score, and so do plain bodies and another serializer."""
    # The part of `sagemaker` 3 that the page imports, without the libraries for training and MLflow.
    programs = environment("sagemaker-3", "sagemaker-core>=2")
    code, _ = section("Ask with SageMaker's Python SDK", "python")
    more = """
from sagemaker.core.serializers import JSONSerializer

plain = Endpoint(endpoint_name="any-name")
print(plain.invoke(body="user_1,192.168.1.2", content_type="text/csv").body.read().decode())
endpoint = Endpoint(endpoint_name="any-name", serializer=JSONSerializer(), deserializer=JSONDeserializer())
instances = {"instances": [{"features": ["user_1", "192.168.1.2"]}]}
verbose = endpoint.invoke(body=instances, content_type="application/json", accept="application/json; verbose=True")
print(*verbose.body["predictions"][0])
try:
    plain.invoke(body="user_1", content_type="text/csv")
except Exception as error:
    print(type(error).__name__, "this one has 1 column" in str(error))
"""
    (tmp_path / "code.py").write_text(code + more)
    printed = shell(exports() + "python code.py", programs, tmp_path, address)
    assert printed.splitlines()[-4:] == [
        score,
        f'{{"predictions": [{{"dot_product": {score}}}]}}',
        "dot_product ip_embedding entity_embedding",
        "ModelError True",
    ]


@pytest.mark.slow
def test_manifest_schema(tmp_path: Path) -> None:
    """The Kubernetes manifests of the pages are valid for the newest and an old version.

    There are no unknown fields.
    """
    programs = environment("kubernetes", "kubernetes-validate")
    pages = ROOT / "docs" / "how-to"
    (job,) = re.findall(
        r"^```yaml\n(.*?)^```$", (pages / "several-hosts.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    (tmp_path / "job.yaml").write_text(job)
    # operate-an-endpoint.md and run-every-night.md show the first two.
    manifests = {
        pages / "operate" / "kubernetes.yaml": 2,
        pages / "nightly" / "cronjob.yaml": 1,
        tmp_path / "job.yaml": 2,
    }
    for version, (path, num_resources) in itertools.product(((), ("--kubernetes-version", "1.25")), manifests.items()):
        command: list[str | Path] = [programs / "kubernetes-validate", "--strict", *version, path]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": ""}
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert (done.stdout + done.stderr).count(" passed for resource ") == num_resources

"""Commands and examples of the pages on serving run, and print what the pages show."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.data.entity_hash import hash_entities
from ipinsights.inference.predictor import Predictor
from ipinsights.testing import save_random_model

from .shell import run_script

if TYPE_CHECKING:
    from collections.abc import Iterator

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
ADDRESS = "http://127.0.0.1:8080"


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (HOW_TO / page).read_text(), re.MULTILINE | re.DOTALL)


def typed(text: str, folder: Path) -> str:
    """Type a block into a shell, and return what it prints."""
    done = run_script(text, folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_python(python: str | Path, code: str) -> str:
    """Run a block of Python, and return what it prints."""
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a container's tree with SageMaker's ``model.tar.gz`` of a model."""
    folder = tmp_path_factory.mktemp("opt-ml")
    (folder / "model").mkdir()
    model = save_random_model(folder / "unpacked", num_entities=100, vector_dim=8, rng=np.random.default_rng(0))
    subprocess.run(["tar", "-czf", folder / "model" / "model.tar.gz", "-C", model, "model_algo-1"], check=True)
    return folder


@pytest.fixture(scope="module")
def address(tree: Path) -> Iterator[str]:
    """Serve the tree as in a container, at a port that is free; give where."""
    command = [sys.executable, "-m", "ipinsights", "serve", "--base-dir", str(tree), "--port", "0"]
    log = tree / "log"
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while not (found := re.search(r"Listening at: http://([\d.]+):(\d+)", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert found[1] == "0.0.0.0"  # noqa: S104 - in a container it listens to everybody
        yield f"http://127.0.0.1:{found[2]}"
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture(scope="module")
def answer(tree: Path) -> str:
    """Return the score of the pages' pair."""
    ip = int.from_bytes(socket.inet_aton("192.168.1.2"), "big")
    (score,) = Predictor.load(tree / "model").score(hash_entities(["user_1"]), np.array([ip], dtype=np.uint32)).tolist()
    return repr(score)


class TestEndpoint:
    """Serve an endpoint."""

    def test_curl(self, address: str, answer: str, tmp_path: Path) -> None:
        """The command gets the answer that is shown behind it."""
        (curl,) = [block for block in blocks("serve-an-endpoint.md", "sh") if block.startswith("curl")]
        assert typed(curl.replace(ADDRESS, address), tmp_path) == f'{{"predictions": [{{"dot_product": {answer}}}]}}'

    def test_every_body(self, address: str, answer: str) -> None:
        """Each body of the table, and of the sentence behind it, is understood."""
        text = (HOW_TO / "serve-an-endpoint.md").read_text()
        bodies = re.findall(r'`(\{"(?:instances|features|data)".*?\})`', text)
        assert len(bodies) == 3
        for body in bodies:
            lines = json.dumps({"instances": [json.loads(body)]}) if '"data"' in body else body
            media_type = "application/jsonlines" if body.startswith('{"features"') else "application/json"
            command = [
                "curl",
                "-s",
                "-H",
                f"Content-Type: {media_type}",
                "--data-binary",
                lines,
                f"{address}/invocations",
            ]
            printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            assert printed == f'{{"predictions": [{{"dot_product": {answer}}}]}}'


def test_batch_transform(tree: Path, tmp_path: Path) -> None:
    """The command leaves the files that the page names, of lines like those it shows."""
    (tmp_path / "model").symlink_to(tree / "model")
    for name in ("monday.csv", "tuesday.csv"):
        (tmp_path / name).write_text("user_1,192.168.1.2\nuser_2,192.168.1.2\n")
    (command,) = blocks("batch-transform.md", "sh")
    typed(command, tmp_path)
    (shown,) = blocks("batch-transform.md", "text")
    number = re.compile(r"-?\d+\.\d+")
    for name in ("monday.csv.out", "tuesday.csv.out"):
        assert number.sub("#", (tmp_path / "scores" / name).read_text()) == number.sub("#", shown)


def test_embeddings(tree: Path, tmp_path: Path) -> None:
    """The commands write both kinds, and the product of the code is the score."""
    (tmp_path / "model").symlink_to(tree / "model")
    (tmp_path / "users.txt").write_text("user_1\n")
    (tmp_path / "addresses.txt").write_text("192.168.1.2\n")
    (commands,) = blocks("export-embeddings.md", "sh")
    typed(commands + commands.replace(".parquet", ".npz"), tmp_path)
    (code,) = blocks("export-embeddings.md", "python")
    code = code.replace('"users.npz"', repr(str(tmp_path / "users.npz")))
    code = code.replace('"addresses.npz"', repr(str(tmp_path / "addresses.npz")))
    score = float(run_python(sys.executable, f"{code}\nprint(scores[0, 0])"))
    expected = Predictor.load(tree / "model").score(hash_entities(["user_1"]), np.array([0xC0A80102], dtype=np.uint32))
    assert score == pytest.approx(float(expected[0]), rel=1e-5)

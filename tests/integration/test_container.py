"""The entry point of the container under SageMaker's conditions, without or in an image.

With ``IPINSIGHTS_CONTAINER`` set to a working container of buildah's, the entry point is started in it instead.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ipinsights.model import artifact
from ipinsights.testing import PlantedNetworks, make_container_tree

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

ROOT = Path(__file__).parents[2]
SMALL = {"num_entity_vectors": "40", "vector_dim": "8", "epochs": "2", "mini_batch_size": "100"}
CONTAINER = os.environ.get("IPINSIGHTS_CONTAINER")

pytestmark = pytest.mark.slow


def command(word: str, base: Path, environment: Mapping[str, str]) -> list[str]:
    """Return the platform's command for a word on a given folder tree."""
    settings = [f"{name}={value}" for name, value in environment.items()]
    if CONTAINER:
        options = [option for setting in settings for option in ("--env", setting)]
        run = ["buildah", "run", "--isolation", "chroot", "--volume", f"{base}:/opt/ml", *options, CONTAINER]
        return [*run, "--", "/usr/local/bin/entrypoint", word]
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    return ["env", "-i", f"PATH={path}", *settings, str(ROOT / "docker" / "entrypoint.sh"), word, str(base)]


def start(word: str, base: Path, **environment: str) -> subprocess.Popen[str]:
    """Start the container with a word; it sees no variable but those that the platform sets."""
    pipe = subprocess.PIPE
    return subprocess.Popen(command(word, base, environment), stdout=pipe, stderr=pipe, text=True)


def train(base: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Train to the end."""
    process = start("train", base, **environment)
    stdout, stderr = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


@pytest.fixture
def planted(rng: np.random.Generator) -> PlantedNetworks:
    """Return planted networks for the channels."""
    return PlantedNetworks.draw(20, rng=rng)


class TestTrain:
    """Started with ``train``."""

    def test_several_channels(self, tmp_path: Path, planted: PlantedNetworks, rng: np.random.Generator) -> None:
        """A job with three channels ends with 0, one model, the validation metric and no failure."""
        channels = {name: planted.csv(rows, rng=rng) for name, rows in (("train", 1000), ("validation", 300))}
        base = make_container_tree(tmp_path / "ml", hyperparameters=SMALL, channels={**channels, "test": "a,1.2.3.4\n"})
        done = train(base, TRAINING_JOB_NAME="job-1", AWS_REGION="eu-west-1", DMLC_INTERFACE="eth0")
        assert done.returncode == 0, done.stderr
        assert [path.name for path in (base / "model").iterdir()] == ["model_algo-1"]
        assert artifact.load(base / "model").hyperparameters.epochs == 2
        assert done.stdout.count("validation discriminator_auc <score>=") == 2
        assert not (base / "output" / "failure").exists()

    def test_local_mode(self, tmp_path: Path, planted: PlantedNetworks, rng: np.random.Generator) -> None:
        """In local mode, without network interface and content type, the job runs."""
        channels = {"train": planted.csv(500, rng=rng)}
        base = make_container_tree(tmp_path / "ml", hyperparameters=SMALL, channels=channels, content_type=None)
        resources = {"current_host": "algo-1-x7k2p", "hosts": ["algo-1-x7k2p"]}
        (base / "input" / "config" / "resourceconfig.json").write_text(json.dumps(resources))
        done = train(base)
        assert done.returncode == 0, done.stderr
        assert "#progress_metric: host=algo-1-x7k2p, completed 100.0 % of epochs" in done.stdout

    def test_users_fault(self, tmp_path: Path) -> None:
        """An invalid hyperparameter ends with 2, and the failure file begins with the log's message."""
        base = make_container_tree(
            tmp_path / "ml", hyperparameters={**SMALL, "epochs": "0"}, channels={"train": "a,1.2.3.4\n"}
        )
        done = train(base)
        message = "ClientError: Hyperparameter 'epochs' must be an integer, at least 1; it is '0'."
        assert done.returncode == 2
        assert (base / "output" / "failure").read_text() == message + "\n"
        assert message in done.stderr
        assert "Traceback" not in done.stdout + done.stderr

    def test_unwritable_model_folder(self, tmp_path: Path, planted: PlantedNetworks, rng: np.random.Generator) -> None:
        """A model folder that nothing can be written to is told in the failure file."""
        base = make_container_tree(
            tmp_path / "ml", hyperparameters=SMALL, channels={"train": planted.csv(200, rng=rng)}
        )
        (base / "model").rmdir()
        (base / "model").write_text("in the way")
        done = train(base)
        assert done.returncode == 2
        assert (base / "output" / "failure").read_text().startswith("ClientError: The model cannot be written to ")

    def test_unwritable_output_folder(self, tmp_path: Path) -> None:
        """If the failure file cannot be written, the log and the exit code still report the failure."""
        base = make_container_tree(tmp_path / "ml", hyperparameters={}, channels={"train": "a,1.2.3.4\n"})
        (base / "output").rmdir()
        (base / "output").write_text("in the way")
        done = train(base)
        assert done.returncode == 2
        assert "ClientError: 2 hyperparameters are wrong:" in done.stderr

    def test_stopped(self, tmp_path: Path, planted: PlantedNetworks, rng: np.random.Generator) -> None:
        """SIGTERM during a long job ends the job within seconds, with 0 and the current model."""
        base = make_container_tree(
            tmp_path / "ml",
            hyperparameters={**SMALL, "epochs": "1000000", "batch_metrics_publish_interval": "50"},
            channels={"train": planted.csv(2000, rng=rng)},
        )
        process = start("train", base)
        assert process.stdout is not None
        for line in process.stdout:
            if "completed" in line:
                break
        os.kill(innermost(process.pid), signal.SIGTERM)
        began = time.monotonic()
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stderr
        assert time.monotonic() - began < 30
        assert artifact.load(base / "model").meta["training"]["num_batches"] > 0
        assert not (base / "output" / "failure").exists()

    def test_program_is_the_process_that_was_started(self, tmp_path: Path) -> None:
        """No shell stays between the platform and the program, which would keep signals to itself."""
        entry = ROOT / "docker" / "entrypoint.sh"
        (tmp_path / "ipinsights").write_text("#!/bin/sh\necho $$ $@\n")
        (tmp_path / "ipinsights").chmod(0o755)
        process = subprocess.Popen(
            [entry, "train"], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, stdout=subprocess.PIPE, text=True
        )
        assert process.communicate()[0] == f"{process.pid} train --base-dir /opt/ml\n"


class TestServe:
    """Started with ``serve``: on port 8080, as the platform expects."""

    @pytest.mark.parametrize("batch", [None, "true", "True"], ids=str)
    def test_answers_and_stops(self, tmp_path: Path, batch: str | None) -> None:
        """The container answers ping and rows, and ends with 0 within 30 s of SIGTERM.

        This holds for a batch transform, too.
        """
        wait_for_port()
        (tmp_path / "ml" / "model").mkdir(parents=True)
        shutil.copy(ROOT / "tests" / "data" / "golden" / "model_algo-1", tmp_path / "ml" / "model")
        environment = {} if batch is None else {"SAGEMAKER_BATCH": batch, "SAGEMAKER_BATCH_STRATEGY": "MULTI_RECORD"}
        process = start("serve", tmp_path / "ml", **environment)
        try:
            assert answer("/ping", process) == (200, b"")
            status, parameters = answer("/execution-parameters", process)
            assert status == 200
            assert json.loads(parameters)["MaxPayloadInMB"] == 6
            status, predictions = answer("/invocations", process, b"user_1,1.2.3.4")
            assert status == 200
            assert list(json.loads(predictions)) == (["predictions"] if batch is None else ["dot_product"])
        finally:
            os.kill(innermost(process.pid), signal.SIGTERM)
            _, stderr = process.communicate(timeout=30)
        assert process.returncode == 0, stderr

    def test_no_model(self, tmp_path: Path) -> None:
        """A container without a model ends with 2 and names the missing path."""
        wait_for_port()
        (tmp_path / "ml" / "model").mkdir(parents=True)
        process = start("serve", tmp_path / "ml")
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 2
        assert "There is no model in the folder " in stdout + stderr


class TestDockerfile:
    """What the platform reads of the image, and what must not be in it."""

    LINES = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8").splitlines()

    def test_entry_point_is_in_exec_form(self) -> None:
        """The entry point is a JSON list with our script, so that it gets arguments and signals."""
        entries = [line.partition(" ")[2] for line in self.LINES if line.startswith("ENTRYPOINT")]
        assert [json.loads(entry) for entry in entries] == [["/usr/local/bin/entrypoint"]]
        assert "COPY docker/entrypoint.sh /usr/local/bin/entrypoint" in self.LINES

    def test_copied_files_exist(self) -> None:
        """Everything that the image is made of is in the repository, and not hidden from the build."""
        copied = [line.split()[1:-1] for line in self.LINES if line.startswith("COPY") and "--from" not in line]
        ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
        for name in (name for names in copied for name in names):
            assert (ROOT / name).exists(), name
            assert name.split("/")[0] not in ignored, name


def innermost(pid: int) -> int:
    """Return the first process of ours in a chain of single child processes."""
    if not CONTAINER or b"/opt/ipinsights/bin" in Path(f"/proc/{pid}/cmdline").read_bytes():
        return pid
    # Each thread has a list of the children that it started itself.
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return innermost(next(int(child) for threads in lists for child in threads.read_text().split()))


def wait_for_port() -> None:
    """Wait until the platform's port is free, and skip the test if it stays in use."""
    for _ in range(60):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", 8080))  # noqa: S104 - as the container will
            except OSError:
                time.sleep(1)
            else:
                return
    pytest.skip("port 8080 is taken")


def answer(path: str, process: subprocess.Popen[str], body: bytes | None = None) -> tuple[int, bytes]:
    """Return status and body of an answer, after the server listens."""
    request = urllib.request.Request(f"http://127.0.0.1:8080{path}", data=body, headers={"Content-Type": "text/csv"})
    for _ in range(300):
        assert process.poll() is None, process.communicate()
        try:
            with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - our own server
                return response.status, response.read()
        except urllib.error.URLError:
            time.sleep(0.1)
    raise AssertionError(path)

"""The wheel in new environments, with the newest and the oldest versions of what it needs."""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ipinsights.model import mxnet_package
from ipinsights.testing import PlantedNetworks

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "data" / "golden"
UV = [sys.executable, "-m", "uv", "--quiet", "--no-config"]
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
SETTINGS = ["-H", "num_entity_vectors=20", "-H", "vector_dim=8", "-H", "epochs=1", "-H", "mini_batch_size=20"]
THE_USERS = ("numpy", "pandas", "pyarrow")

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Return what a command prints. A failure shows what it wrote."""
    # No variable of this process says where packages or settings are.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(command, cwd=cwd, env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@functools.cache
def interpreter(version: str) -> str:
    """Return a Python of this version, or skip the test without one that makes environments."""
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for python in (shutil.which(f"python{version}"), *map(str, pyenv)):
        command = ["-c", "import sys, venv; print('%d.%d' % sys.version_info[:2])"]
        # A pyenv shim exists for versions that do not.
        if python is None:
            continue
        found = subprocess.run([python, *command], capture_output=True, text=True, check=False)
        if found.stdout.strip() == version:
            return python
    pytest.skip(f"there is no Python {version} here")


class Environment:
    """A virtual environment.

    Parameters
    ----------
    version
        Version of Python, such as "3.11".
    folder
        Where the environment is made.
    """

    def __init__(self, version: str, folder: Path) -> None:
        self.bin = folder / "bin"
        self.python = self.bin / "python"
        run(*UV, "venv", "--python", interpreter(version), folder)

    def uv_install(self, *words: str | Path) -> None:
        """Install with uv, and never compile."""
        run(*UV, "pip", "install", "--python", self.python, "--only-binary", ":all:", *words)

    def pip_install(self, *words: str | Path) -> None:
        """Install with pip, and never compile."""
        run(*PIP, "--python", self.python, "install", "--only-binary", ":all:", *words)

    def uv_uninstall(self, *names: str) -> None:
        """Remove packages with uv."""
        run(*UV, "pip", "uninstall", "--python", self.python, *names)

    def versions(self) -> dict[str, str]:
        """Return what is installed, by name."""
        listed = json.loads(run(*UV, "pip", "list", "--python", self.python, "--format", "json"))
        return {package["name"]: package["version"] for package in listed}

    def ipinsights(self, *words: str | Path, cwd: Path) -> str:
        """Return what a command of ipinsights prints."""
        return run(self.bin / "ipinsights", *words, cwd=cwd)

    def golden_scores(self) -> str:
        """Return the scores of the golden artifact."""
        return self.ipinsights("score", GOLDEN / "pairs.csv", "--model-dir", GOLDEN, "--extended", cwd=ROOT)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what a build needs to a folder that is a git repository, and return the folder."""
    folder = tmp_path_factory.mktemp("source")
    shutil.copytree(ROOT / "ipinsights", folder / "ipinsights", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, folder)
    author = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    run("git", "init", "--quiet", cwd=folder)
    run("git", "add", ".", cwd=folder)
    run("git", *author, "commit", "--quiet", "--message", "source", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, and return its path."""
    folder = tmp_path_factory.mktemp("wheel")
    run(*PIP, "wheel", "--no-deps", "--wheel-dir", folder, source)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module", params=["3.11", "3.12", "3.13"])
def newest(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Return an environment with the newest NumPy, pandas and pyarrow, and the wheel.

    uv installs the wheel last.
    """
    environment = Environment(request.param, tmp_path_factory.mktemp("newest") / "environment")
    environment.uv_install(*THE_USERS)
    before = environment.versions()
    assert int(before["numpy"].partition(".")[0]) >= 2
    environment.uv_install(wheel)
    after = environment.versions()
    assert {name: after[name] for name in before} == before
    assert "mxnet" not in after
    return environment


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write rows to train on and later ones to test with, and return their folder."""
    folder = tmp_path_factory.mktemp("data")
    planted = PlantedNetworks.draw(10, rng=np.random.default_rng(1))
    (folder / "rows.csv").write_text(planted.csv(1000, rng=np.random.default_rng(2)))
    (folder / "later.csv").write_text(planted.csv(500, rng=np.random.default_rng(3)))
    return folder


def train(environment: Environment, data: Path, model_dir: Path) -> tuple[str, dict[str, bytes]]:
    """Train, and return the log and the members of the artifact."""
    rows = data / "rows.csv"
    words: list[str | Path] = ["--train", rows, "--validation", rows, "--model-dir", model_dir, *SETTINGS]
    log = environment.ipinsights("train", *words, cwd=data)
    with zipfile.ZipFile(model_dir / "model_algo-1") as archive:
        return log, {name: archive.read(name) for name in archive.namelist()}


def answer_of_a_server(environment: Environment, model_dir: Path, body: str) -> bytes:
    """Return what ``ipinsights serve`` answers to a request."""
    command: list[str | Path] = [environment.bin / "ipinsights", "serve", "--model-dir", model_dir]
    command += ["--port", "0", "--workers", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            assert server.stdout is not None
            address = next(found[0] for found in map(re.compile(r"http://[\d.:]+").search, server.stdout) if found)
            headers = {"Content-Type": "text/csv", "Accept": "application/json"}
            request = urllib.request.Request(f"{address}/invocations", body.encode(), headers)  # noqa: S310
            with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
                answer: bytes = response.read()
                return answer
        finally:
            server.terminate()


class TestNewest:
    """The newest NumPy, pandas and pyarrow, which stay as they are."""

    def test_everything_works_without_mxnet(self, newest: Environment, data: Path, tmp_path: Path) -> None:
        """The wheel trains, scores, serves and evaluates where MXNet is not installed."""
        log, _ = train(newest, data, tmp_path)
        assert "MXNet is not installed" in log
        scores = newest.ipinsights("score", data / "rows.csv", "--model-dir", tmp_path, cwd=data)
        assert scores.count("\n") == 1001
        row = (data / "rows.csv").read_text().partition("\n")[0]
        (prediction,) = json.loads(answer_of_a_server(newest, tmp_path, row))["predictions"]
        assert prediction["dot_product"] == pytest.approx(float(scores.splitlines()[1].rpartition(",")[2]))
        report: list[str | Path] = ["--train", data / "rows.csv", "--test", data / "later.csv"]
        assert "AUC" in newest.ipinsights("evaluate", "--model-dir", tmp_path, *report, cwd=data)

    def test_the_documented_command_adds_mxnet(self, newest: Environment, data: Path, tmp_path: Path) -> None:
        """MXNet is added by the command of the error message, without any other change.

        The trained model is the same.
        """
        _, without = train(newest, data, tmp_path / "without")
        before = newest.versions()
        code = "from ipinsights.model import mxnet_package; print(mxnet_package.installation_command())"
        message = run(newest.python, "-c", code)
        for name in ("README.md", "docs/how-to/install.md"):
            # The pages' command is for every Python, and has setuptools also where there is one.
            shown = message.replace("install requests &&", "install requests setuptools &&")
            assert f"```sh\n{shown}```\n" in (ROOT / name).read_text(encoding="utf-8")
        for command in message.strip().split(" && "):
            newest.pip_install(*command.removeprefix("pip install ").split())
        after = newest.versions()
        try:
            assert after["mxnet"] == "1.9.1"
            assert {name: after[name] for name in before} == before
            log, trained = train(newest, data, tmp_path / "with")
        finally:  # Other tests share the environment, in any order.
            newest.uv_uninstall(*(after.keys() - before.keys()))
        assert "MXNet is not installed" not in log
        assert {name: trained[name] for name in without} == without

    @pytest.mark.parametrize("version", ["3.11", pytest.param("3.12", marks=pytest.mark.long), "3.13"])
    def test_pip_keeps_the_users_packages(self, version: str, wheel: Path, tmp_path: Path) -> None:
        """Pip, as uv does, installs the wheel and changes nothing that was installed."""
        environment = Environment(version, tmp_path / "environment")
        environment.uv_install(*THE_USERS)
        before = environment.versions()
        environment.pip_install(wheel)
        after = environment.versions()
        assert {name: after[name] for name in before} == before
        assert environment.ipinsights("--version", cwd=tmp_path).startswith("ipinsights, version ")


def extras(*names: str) -> list[str]:
    """Return the options with which uv reads extras from pyproject.toml."""
    return ["-r", str(ROOT / "pyproject.toml"), *(word for name in names for word in ("--extra", name))]


class TestOldest:
    """The oldest versions that the metadata allows."""

    @pytest.mark.timeout(3600)  # all quick tests: a minute or two on an idle machine
    @pytest.mark.parametrize("version", [pytest.param(version, marks=pytest.mark.long) for version in ("3.10", "3.11")])
    def test_quick_tests_pass(self, version: str, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The wheel passes the quick tests. The tools of the tests are the newest."""
        environment = Environment(version, tmp_path / "environment")
        # Compile as pip does. Without bytecode the first start of a server takes a minute on a busy machine.
        monkeypatch.setenv("UV_COMPILE_BYTECODE", "1")
        monkeypatch.setenv("UV_COMPILE_BYTECODE_TIMEOUT", "0")
        environment.uv_install("--resolution", "lowest-direct", *extras("mxnet", "report", "tune", "bench"))
        environment.uv_install(*extras("test", "docs"))
        environment.uv_install("--no-deps", wheel)
        assert environment.versions()["numpy"].startswith("1.23.")
        # An old package warns of what a newer one deprecates. In two processes the tests take half the time.
        options = ["-n2", "--dist=loadfile", "-p", "no:cacheprovider", "-W", "ignore::DeprecationWarning"]
        tests: list[str | Path] = ["-q", "-c", ROOT / "pyproject.toml", *options, "-m", "not slow", ROOT / "tests"]
        run(environment.python, "-m", "pytest", *tests, cwd=tmp_path)


class TestScores:
    """Scores do not depend on the version of NumPy, where its BLAS takes the same kernels."""

    def test_numpy_1_and_2_score_alike(self, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The scores of the golden artifact are equal to the byte next to NumPy 1.26 and NumPy 2.

        For a processor that is younger than itself, the BLAS of NumPy 1.26 would take the kernels of 2004.
        """
        monkeypatch.setenv("OPENBLAS_CORETYPE", os.environ.get("OPENBLAS_CORETYPE", "Haswell"))
        scores = set()
        for numpy in ("numpy==1.26.4", "numpy>=2"):
            environment = Environment("3.11", tmp_path / numpy[-1])
            environment.uv_install(wheel, numpy, "pyarrow<26")
            scores.add(environment.golden_scores())
        assert len(scores) == 1


class TestCommands:
    """The commands of the installation page, on the wheel and on a git repository."""

    @pytest.fixture(params=["wheel", "git"])
    def what(self, request: pytest.FixtureRequest, wheel: Path, source: Path) -> str:
        """Return what is installed: a file or a URL."""
        return f"ipinsights @ {wheel.as_uri()}" if request.param == "wheel" else f"ipinsights @ git+{source.as_uri()}"

    def test_uvx(self, what: str, tmp_path: Path) -> None:
        """``uvx`` runs a command and leaves nothing installed."""
        command = [*UV, "tool", "run", "--python", sys.executable, "--from", what, "ipinsights", "--version"]
        assert run(*command, cwd=tmp_path).startswith("ipinsights, version ")

    def test_pipx(self, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """``pipx install`` puts the command on the path, in an environment of its own."""
        monkeypatch.setenv("PIPX_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("PIPX_BIN_DIR", str(tmp_path / "bin"))
        pipx = [*UV, "tool", "run", "--python", sys.executable, "pipx"]
        run(*pipx, "install", "--python", sys.executable, wheel, cwd=tmp_path)
        assert run(tmp_path / "bin" / "ipinsights", "--version", cwd=tmp_path).startswith("ipinsights, version ")

    def test_the_extra_follows_mxnet_s_pins(self, wheel: Path, tmp_path: Path) -> None:
        """In a new environment of Python 3.12 the extra ``mxnet`` installs MXNet and a valid NumPy."""
        environment = Environment("3.12", tmp_path / "environment")
        environment.uv_install(f"ipinsights[mxnet] @ {wheel.as_uri()}")
        versions = environment.versions()
        assert (versions["mxnet"], versions["numpy"].partition(".")[0]) == ("1.9.1", "1")
        run(environment.python, "-W", "error", "-c", "from ipinsights.model._mxnet import mx", cwd=tmp_path)


@pytest.mark.parametrize("version", ["3.10", "3.14"])
@pytest.mark.parametrize(
    ("platform", "system", "machine"),
    [("x86_64-unknown-linux-gnu", "linux", "x86_64"), ("aarch64-unknown-linux-gnu", "linux", "aarch64"),
     ("x86_64-apple-darwin", "darwin", "x86_64"), ("aarch64-apple-darwin", "darwin", "arm64")],
)  # fmt: skip
def test_every_platform_has_wheels(version: str, platform: str, system: str, machine: str) -> None:
    """All extras for users need no compilation, with MXNet included where its pins can be met."""
    options = ["--python-version", version, "--python-platform", platform, "--only-binary", ":all:"]
    names = ("mxnet", "report", "tune")
    extra = [word for name in names for word in ("--extra", name)]
    resolved = run(*UV, "pip", "compile", ROOT / "pyproject.toml", *extra, *options, "--no-annotate", "--no-header")
    is_included = version == "3.10" and mxnet_package.is_published(system, machine)
    assert ("mxnet==1.9.1" in resolved.splitlines()) == is_included
    assert ("numpy==1.26.4" in resolved.splitlines()) == is_included


def test_make_names_the_supported_versions(tmp_path: Path) -> None:
    """Python 3.9 is refused in one sentence before anything is installed."""
    for name in ("Makefile", "pyproject.toml", "setup.py", "requirements/constraints.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    command = ["make", "demo", f"PYTHON={interpreter('3.9')}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    sentence, _ = done.stderr.splitlines()
    expected = r"make: ipinsights supports Python 3\.10 to 3\.14, and \S+ is 3\.9\.\d+\. Try: make PYTHON=python3\.12"
    assert re.fullmatch(expected, sentence)

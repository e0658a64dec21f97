"""The contract: behaviour of command line and server, frozen before modules are rearranged.

The tests here know command lines, files and sockets, and never import the package. They hold for every arrangement of
its modules, and decide whether a change that shall not change behaviour has changed none.

Two standards are compared with:

- **Golden files** in `golden/`, which the tests compare whole: names of options, exit codes, messages, logs without
  times, files of integers and text, answers of the server. Each is a transcript that can be read. Numbers that depend
  on the processor are compared with a tolerance of 1e-4. After a change that is meant, write them anew and look at the
  diff: `pytest tests/contract --update-golden`.
- **The base commit** (`BASE` in `builds.py`), unpacked from the history and run like the build under test with the
  same interpreter on the same files. Whatever depends on floating point must equal its bytes: scores, embeddings,
  answers, trained parameters. Where the history is missing or the base does not run, these tests are skipped, and
  the golden files remain.

Trained parameters have a file of their own, `test_training_bytes.py`: a change of initial parameters or of compiled
kernels may change them, and nothing else. All other tests use the model in `inputs/model`, which was trained once.

Not frozen: the prose of `--help`, click's own messages, the order of headers, `Server`, `Date`, how connections are
kept, pictures and HTML pages, and how requests are answered that are to be answered differently soon.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import pytest

from .builds import BaseUnavailableError, Build, build_of_base, build_of_head
from .golden import Golden

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .builds import Server


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes golden files."""
    parser.addoption("--update-golden", action="store_true", help="Write the golden files of tests/contract anew.")


@pytest.fixture(scope="session")
def golden(pytestconfig: pytest.Config) -> Golden:
    """Return the golden files."""
    # Where the whole suite runs, this file is read after the command line.
    return Golden(update=pytestconfig.getoption("--update-golden", default=False))


def shared_folder(tmp_path_factory: pytest.TempPathFactory, name: str) -> Path:
    """Return a folder that all processes of this run of the tests share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"contract-{name}"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    """Yield the build under test."""
    with contextlib.closing(build_of_head(shared_folder(tmp_path_factory, "head"))) as build:
        yield build


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    """Yield the build of the base commit."""
    try:
        build = build_of_base(shared_folder(tmp_path_factory, "base"))
    except BaseUnavailableError as error:
        pytest.skip(str(error))
    with contextlib.closing(build):
        yield build


@pytest.fixture(scope="session")
def server(head: Build) -> Iterator[Server]:
    """Yield a server of the build under test, with a threshold and payloads of up to 1 MB."""
    with head.serving("--model-dir", "guarded", "--workers", "1", "--max-payload-mb", "1") as running:
        yield running


@pytest.fixture(scope="session")
def base_server(base: Build) -> Iterator[Server]:
    """Yield a server of the base commit with the same settings."""
    with base.serving("--model-dir", "guarded", "--workers", "1", "--max-payload-mb", "1") as running:
        yield running

"""The page for users of SageMaker: its commands run, and its AWS programs are valid."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ipinsights.testing import PlantedNetworks

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "coming-from-sagemaker.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"^<!-- (checked by|not run): ([^\n]+) -->\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str, *, is_run: bool) -> Iterator[str]:
    """Yield the blocks in a language that this file runs, or those that no test runs."""
    for mark, test, name, text in _BLOCK.findall(PAGE):
        if name == language and is_run == (mark == "checked by") and (not is_run or "test_coming_from" in test):
            yield text


def test_commands_lead_to_scores_and_an_endpoint(tmp_path: Path) -> None:
    """The commands train with the page's own hyperparameters, score a file and start a server."""
    (hyperparameters,) = blocks("json", is_run=True)
    (commands,) = blocks("sh", is_run=True)
    (tmp_path / "hyperparameters.json").write_text(hyperparameters)
    networks = PlantedNetworks.draw(20, rng=np.random.default_rng(1))
    for name, num_rows in (("train", 300), ("validation", 50)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "part-0.csv").write_text(networks.csv(num_rows, rng=np.random.default_rng(num_rows)))
    (tmp_path / "new.csv").write_text("user_1,192.0.2.1\n")
    script = f"set -e\nPATH={Path(sys.executable).parent}:$PATH\n" + commands.replace("serve ", "serve --port 0 ")
    with (tmp_path / "server.log").open("w") as log:
        shell = subprocess.Popen(["bash", "-c", script + "\n"], cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 90
        while "Listening at: http://127.0.0.1:" not in (tmp_path / "server.log").read_text():
            assert shell.poll() is None, (tmp_path / "server.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        subprocess.run(["pkill", "-TERM", "-P", str(shell.pid)], check=False)
        shell.wait(timeout=30)
    assert "validation discriminator_auc <score>=" in (tmp_path / "train.log").read_text()
    assert (tmp_path / "scores.csv").read_text().startswith("entity,ip,dot_product\nuser_1,192.0.2.1,")


def test_programs_are_valid() -> None:
    """What needs an account of AWS is at least valid Python, shell or JSON."""
    programs = list(blocks("python", is_run=False))
    assert len(programs) == 2
    for program in programs:
        ast.parse(program)
    for commands in blocks("sh", is_run=False):
        subprocess.run(["bash", "-n", "-c", commands], check=True)
    for text in blocks("json", is_run=True):
        assert all(isinstance(value, str) for value in json.loads(text).values())

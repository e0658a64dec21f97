"""The page on histories: its commands print the shown output in the given order."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ipinsights import IPInsights
from ipinsights.model import artifact
from ipinsights.testing import PlantedNetworks

from .shell import run_script

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "keep-a-history.md").read_text(encoding="utf-8")
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(ipinsights strip [^`]+)`")


def typed() -> list[tuple[str, str]]:
    """Return each command of the page, and what the page shows below it."""
    found = []
    for block in CONSOLE.findall(PAGE):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines(keepends=True)
            end = next(at for at, line in enumerate(lines, start=1) if not line.endswith("\\\n"))
            found.append(("".join(lines[:end]), "".join(lines[end:])))
    return found


def shell(command: str, folder: Path) -> str:
    """Type a command into a shell, and return what it prints."""
    done = run_script(command, folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the data that the page speaks of: 100 entities with a /16 each."""
    rng = np.random.default_rng(4)
    planted = PlantedNetworks(rng.choice(np.arange(0x0B00, 0x6300, dtype=np.uint32), size=100, replace=False))
    (tmp_path / "data").mkdir()
    for name, size in (("train", 6000), ("validation", 3000), ("test", 500)):
        (tmp_path / "data" / f"{name}.csv").write_text(planted.csv(size, rng=rng))
    return tmp_path


@pytest.mark.slow
def test_the_commands_print_what_is_shown(folder: Path) -> None:
    """From training to stripping. Numbers may differ, since the data are others."""
    for command, shown in typed():
        printed = shell(command, folder)
        if shown:
            numbers = re.compile(r"-?\d+\.\d+")
            assert re.sub(r" +", " ", numbers.sub("#", printed)) == re.sub(r" +", " ", numbers.sub("#", shown))
    scores = pd.read_csv(folder / "scores.csv")
    assert list(scores.columns) == ["entity", "ip", "history"]
    assert scores["history"].between(-15, 25).mean() > 0.9
    history = artifact.load(folder / "model").history
    assert history is not None
    assert len(history.entities) == 99
    kinds = [source["kind"] for source in artifact.load(folder / "model").meta["history"]["sources"]]
    assert kinds == ["training", "update"]
    (strip,) = INLINE.findall(PAGE)
    shell(strip, folder)
    assert artifact.load(folder / "model").history is None


@pytest.mark.slow
def test_the_programs_run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The Python program of the page has the same model and scores as the commands.

    No table that it prints is empty.
    """
    train, score = (command for command, _ in typed()[:2])
    shell(train, folder)
    shell(score, folder)
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    for program in PYTHON.findall(PAGE):
        exec(program, names)  # noqa: S102 - that the page's code runs is what is tested
    assert "Empty DataFrame" not in capsys.readouterr().out
    model = names["model"]
    assert isinstance(model, IPInsights)
    given = (folder / "model" / "model_algo-1").read_bytes()
    assert (folder / "model-python" / "model_algo-1").read_bytes() == given
    expected = pd.read_csv("scores.csv")["history"].to_numpy(np.float32)
    assert np.array_equal(np.asarray(names["scores"]), expected)
    threshold = json.loads((folder / "model-python" / "threshold-history.json").read_text())
    assert threshold["scorer"] == "history"

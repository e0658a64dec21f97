"""The page on the use from Python runs on every kind of data, like the command line."""

from __future__ import annotations

import io
import json
import re
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from ipinsights.data.ipv4 import format_ips
from ipinsights.testing import PlantedNetworks, run_command

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "use-from-python.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)

KINDS: dict[str, Callable[[pd.DataFrame, Path], Any]] = {
    "DataFrame": lambda frame, _: frame,
    "array": lambda frame, _: frame.to_numpy(),
    "list": lambda frame, _: list(frame.itertuples(index=False, name=None)),
    "path": lambda _, path: path,
}


def write_data(folder: Path) -> None:
    """Write the files of the page: normal rows for training and calibration, and labelled rows.

    Half of the labelled rows are attacks.
    """
    rng = np.random.default_rng(5)
    planted = PlantedNetworks.draw(8, rng=rng)
    (folder / "train.csv").write_text(planted.csv(300, rng=rng))
    (folder / "calibration.csv").write_text(planted.csv(200, rng=rng))
    rows = []
    for draw, label in ((planted.normal, 0), (planted.odd, 1)):
        entities, ips = draw(120, rng=rng)
        rows += [*zip(planted.names(entities), format_ips(ips).to_pylist(), [label] * 120, strict=True)]
    pd.DataFrame(rows).to_csv(folder / "new.csv", header=False, index=False)


def test_the_first_page_of_all_runs() -> None:
    """The program of README.md runs with three frames of users and addresses."""
    (program,) = re.findall(
        r"^```python\n(.*?)^```$", (PAGE.parents[2] / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    rng = np.random.default_rng(5)
    planted = PlantedNetworks.draw(8, rng=rng)
    frames = {
        name: pd.read_csv(StringIO(planted.csv(size, rng=rng)), names=["user", "address"])
        for name, size in (("logins", 200), ("later", 200), ("new", 50))
    }
    names: dict[str, Any] = dict(frames)
    exec(program, names)  # noqa: S102 - that the page's code runs is what is tested
    assert list(names["alerts"].columns) == ["user", "address"]
    assert len(names["alerts"]) < len(frames["new"])


@pytest.mark.parametrize(
    "kind", ["DataFrame", *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS if kind != "DataFrame")]
)
def test_the_page_runs_and_the_command_line_agrees(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every block runs in order, with the model and scores of ``train`` and ``score``.

    Both are equal to the byte, and no table that the page prints is empty.
    """
    write_data(tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for number, block in enumerate(BLOCKS):
        exec(block, names)  # noqa: S102 - that the page's code runs is what is tested
        if number == 0:
            for name, file in (("logins", "train.csv"), ("later", "calibration.csv")):
                names[name] = KINDS[kind](names[name], tmp_path / file)
        printed = capsys.readouterr().out
        assert "Empty DataFrame" not in printed
        for shown in re.findall(r"^# (row .*|\d+)$", block, re.MULTILINE):
            assert shown in printed
    model = names["model"]
    assert run_command(
        "train", "--train", "train.csv", "--model-dir", "cli", "--quiet",
        "--hyperparameters", json.dumps(model.hyperparameters_), folder=tmp_path,
    ).returncode == 0  # fmt: skip
    assert (tmp_path / "cli" / "model_algo-1").read_bytes() == (tmp_path / "model" / "model_algo-1").read_bytes()
    names["pairs"].to_csv("pairs.csv", header=False, index=False)
    done = run_command("score", "pairs.csv", "--model-dir", "model", "--extended", folder=tmp_path)
    scored = pd.read_csv(io.StringIO(done.stdout))
    assert np.array_equal(scored["dot_product"].to_numpy(np.float32), np.asarray(names["scores"]))
    assert scored["entity_known"].tolist() == names["known"].tolist()
    flagged = names["pairs"].index.isin(names["alerts"].index)
    assert (scored["verdict"] == "suspicious").tolist() == flagged.tolist()

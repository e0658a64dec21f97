"""No command replaces the files that it reads."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from ipinsights.cli import cli

if TYPE_CHECKING:
    from pathlib import Path

ROWS = "ann,192.0.2.7,2024-05-01T10:00:00Z\nben,192.0.2.8,2024-05-02T10:00:00Z\n"


@pytest.mark.parametrize(
    "command",
    [
        "extract --format csv train.csv -o train.csv",
        "extract --format csv . -o train.csv",
        "extract --format csv link.csv -o train.csv",
        "split train.csv --fraction 0.5 0 0.5 -o .",
        "score train.csv --model-dir nowhere -o train.csv",
        "score . --model-dir nowhere --entity user --ip address -o train.csv",
        "embeddings --model-dir nowhere --entities train.csv -o train.csv",
        "train --train train.csv --model-dir model --log-file train.csv",
        "train --train . --model-dir model --metrics-file train.csv",
        "train --train link.csv --validation train.csv --model-dir model --metrics-file train.csv",
    ],
)
def test_an_input_is_not_replaced(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the file, which stays as it was."""
    monkeypatch.chdir(tmp_path)
    rows = tmp_path / "train.csv"
    rows.write_text(ROWS)
    (tmp_path / "link.csv").symlink_to(rows)
    for name in ("nowhere", "other"):
        (tmp_path / name).mkdir()
    result = CliRunner().invoke(cli, shlex.split(command))
    assert str(result.exception) == ("train.csv is an input, and would be replaced by the output. Name another output.")
    assert rows.read_text() == ROWS


def test_an_output_next_to_the_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another file of the same folder can be the output, and be replaced when it is no input."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.csv").write_text(ROWS)
    for _ in range(2):
        result = CliRunner().invoke(cli, shlex.split("extract --format csv train.csv -o rows.csv"))
        assert (result.exit_code, (tmp_path / "rows.csv").read_text()) == (0, ROWS)

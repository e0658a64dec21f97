"""Guarantees of the reference pages to other programs, tested with earlier files."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ipinsights.data.pairs import read_pairs
from ipinsights.evaluation.labelled_events import as_test_set
from ipinsights.model import artifact

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
EXPRESSIONS = re.findall(
    r"^\| `([\w:]+)` \| `(#.+)` \|$", (REFERENCE / "log.md").read_text(encoding="utf-8"), re.MULTILINE
)


@pytest.mark.parametrize(("name", "expression"), EXPRESSIONS, ids=[name for name, _ in EXPRESSIONS])
@pytest.mark.parametrize("log", ["ours.log", "sagemaker-python3.8.log"])
def test_metrics_are_read_by_the_pages_expressions(log: str, name: str, expression: str) -> None:
    """Each expression finds numbers in a log of ours and in one of the original's."""
    found = re.findall(expression, (ROOT / "tests" / "data" / "logs" / log).read_text(encoding="utf-8"))
    assert found, name
    assert all(float(value) >= 0 for value in found)


def test_all_seven_metrics_are_on_the_page() -> None:
    """The page lists SageMaker's metrics of the algorithm, and the tests above cover each."""
    assert len(EXPRESSIONS) == 7


def test_model_is_read_without_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's lines give the golden model's table of entities."""
    (tmp_path / "model").symlink_to(ROOT / "tests" / "data" / "golden")
    monkeypatch.chdir(tmp_path)
    page = (REFERENCE / "artifact.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    found: dict[str, object] = {}
    exec(code, found)  # noqa: S102 - that the page's code runs is what is tested
    expected = artifact.load(ROOT / "tests" / "data" / "golden").params["entity_weight"]
    assert getattr(found["entity_weight"], "tolist")() == expected.tolist()  # noqa: B009 - its type is the page's affair


@pytest.mark.parametrize("name", ["README.md", "docs/reference/data.md"])
def test_rows_of_pages_are_read(name: str, tmp_path: Path) -> None:
    """Rows to train on are read as pairs, and rows with a label as labelled events."""
    page = (ROOT / name).read_text(encoding="utf-8")
    rows, *labelled = re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "rows.csv").write_text(rows)
    assert len(read_pairs(tmp_path / "rows.csv")) == rows.count("\n")
    for text in labelled:
        (tmp_path / "test.csv").write_text(text)
        found = as_test_set(tmp_path / "test.csv")
        assert (len(found.ordinary), len(found.attacks)) == (1, 1)


def test_the_shell_completes_commands() -> None:
    """After the line of command-line.md, bash completes the commands and their options."""
    page = (REFERENCE / "command-line.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    script = f"PATH={Path(sys.executable).parent}:$PATH\n{line}\nCOMP_WORDS=(ipinsights inspec) COMP_CWORD=1\n"
    script += "_ipinsights_completion ipinsights\nprintf '%s\\n' \"${COMPREPLY[@]}\""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("inspect\n", "")


def test_parameters_are_those_of_the_page() -> None:
    """Names and shapes of the golden model's parameters are what the page says."""
    model = artifact.load(ROOT / "tests" / "data" / "golden")
    rows, dim = model.hyperparameters.num_entity_vectors, model.hyperparameters.vector_dim
    expected: dict[str, tuple[int, ...]] = {"entity_weight": (rows, dim), "ip_octet_weight": (1024, -(-dim // 4))}
    for layer in range(model.hyperparameters.num_ip_encoder_layers):
        expected |= {f"ip_layer{layer}_weight": (dim, dim), f"ip_layer{layer}_bias": (dim,)}
    assert {name: array.shape for name, array in model.params.items()} == expected

"""Guarantees of the reference pages to other programs, tested with earlier files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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


def test_parameters_are_those_of_the_page() -> None:
    """Names and shapes of the golden model's parameters are what the page says."""
    model = artifact.load(ROOT / "tests" / "data" / "golden")
    rows, dim = model.hyperparameters.num_entity_vectors, model.hyperparameters.vector_dim
    expected: dict[str, tuple[int, ...]] = {"entity_weight": (rows, dim), "ip_octet_weight": (1024, -(-dim // 4))}
    for layer in range(model.hyperparameters.num_ip_encoder_layers):
        expected |= {f"ip_layer{layer}_weight": (dim, dim), f"ip_layer{layer}_bias": (dim,)}
    assert {name: array.shape for name, array in model.params.items()} == expected

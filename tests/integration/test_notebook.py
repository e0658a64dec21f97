"""The notebook is run as a reader runs it, and shows in the repository what it shows then."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from nbclient import NotebookClient

if TYPE_CHECKING:
    from nbformat import NotebookNode

NOTEBOOK = Path(__file__).parents[2] / "docs" / "tutorial" / "ipinsights_login.ipynb"


def shown(notebook: NotebookNode) -> list[list[tuple[str, ...]]]:
    """Return the kinds of outputs of each code cell: text, tables and plots."""
    return [
        [(output.output_type, *sorted(output.get("data", {}))) for output in cell.outputs]
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Jupyter's own
def test_notebook_runs_and_shows_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell runs in an empty folder, with the kinds of outputs stored in the file."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    kept = shown(notebook)
    options: dict[str, Any] = {"timeout": 120, "kernel_name": "python3", "coalesce_streams": True}
    NotebookClient(notebook, resources={"metadata": {"path": str(tmp_path)}}, **options).execute()
    assert shown(notebook) == kept


def test_outputs_are_kept_and_name_no_machine() -> None:
    """The file has the tables, and no path of the machine that ran it last."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    kinds = [kind for cell in shown(notebook) for output in cell for kind in output]
    assert kinds.count("text/html") >= 10
    assert "error" not in kinds
    assert "/tmp/" not in NOTEBOOK.read_text(encoding="utf-8")  # noqa: S108 - what must not be there


def test_no_shell_is_needed() -> None:
    """Every cell is Python, and imports only the package, its dependencies and the stdlib."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    modules = set(re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE))
    assert modules - set(sys.stdlib_module_names) == {"ipinsights", "numpy", "pandas", "sklearn"}
    assert not re.search(r"^[%!]", code, re.MULTILINE)

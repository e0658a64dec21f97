"""Commands that answer as SageMaker's inference container does: their options."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

import pytest
from packaging.version import Version

from ipinsights.testing import run_command

from .command import run

if TYPE_CHECKING:
    from pathlib import Path

# Messages of click name the variable of an option since version 8.2.
VARIABLE = " (env var: 'SAGEMAKER_MAX_PAYLOAD_IN_MB')" if Version(metadata.version("click")) >= Version("8.2") else ""


class TestServe:
    """``ipinsights serve``."""

    @pytest.mark.parametrize("names", [(), ("--model-dir", "--base-dir")])
    def test_either_a_model_or_a_tree_is_needed(self, tmp_path: Path, names: tuple[str, ...]) -> None:
        """One of the two must be given, and not both."""
        words = [word for name in names for word in (name, tmp_path)]
        done = run_command("serve", *words)
        assert (done.returncode, done.stderr.splitlines()[-1]) == (
            2,
            "Error: Give --model-dir, or --base-dir for a container's tree.",
        )

    @pytest.mark.parametrize(
        ("option", "value", "message"),
        [
            ("--port", "65536", "'--port': 65536 is not in the range 0<=x<=65535."),
            ("--workers", "0", "'--workers': 0 is not in the range x>=1."),
            ("--timeout", "0", "'--timeout': 0 is not in the range x>=1."),
            ("--max-payload-mb", "101", f"'--max-payload-mb'{VARIABLE}: 101 is not in the range 1<=x<=100."),
            ("--metrics-port", "-1", "'--metrics-port': -1 is not in the range 0<=x<=65535."),
        ],
    )
    def test_values_of_options(self, option: str, value: str, message: str) -> None:
        """A value that is not possible is refused with its option."""
        done = run_command("serve", option, value)
        assert (done.returncode, done.stderr.splitlines()[-1]) == (2, f"Error: Invalid value for {message}")

    def test_the_size_of_payloads_is_read_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The platform sets it for a batch transform, and a wrong value is refused by its name."""
        monkeypatch.setenv("SAGEMAKER_MAX_PAYLOAD_IN_MB", "many")
        done = run_command("serve")
        assert (done.returncode, done.stderr.splitlines()[-1]) == (
            2,
            f"Error: Invalid value for '--max-payload-mb'{VARIABLE}: 'many' is not a valid integer range.",
        )

    def test_the_model_of_a_tree(self, tmp_path: Path) -> None:
        """The model lies in the tree's folder ``model``."""
        (tmp_path / "model").mkdir()
        done = run("serve", "--base-dir", tmp_path, "--port", 0)
        assert (done.returncode, done.stderr.splitlines()[-1]) == (
            2,
            f"ClientError: There is no model in the folder {tmp_path}/model: it holds neither model_algo-1, which "
            "training writes, nor model.tar.gz.",
        )


def test_a_url_cannot_be_watched() -> None:
    """A model at a URL is refused with --watch-model: its copy would never change."""
    done = run_command(
        "serve", "--model-dir", "https://key:word@example.org/model.tar.gz", "--watch-model", "--port", "0"
    )
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        2,
        "Error: --watch-model watches a local file, and 'https://example.org/model.tar.gz' is a URL. Leave it out, and "
        "start the server again for a new model.",
    )


class TestTransform:
    """``ipinsights transform``."""

    def test_inputs_and_an_output_are_needed(self, model: Path) -> None:
        """Each is named when it is missing."""
        errors = [
            run_command("transform", *words, "--model-dir", model).stderr.splitlines()[-1]
            for words in (["--output-dir", "out"], ["rows.csv"])
        ]
        assert errors == ["Error: Missing argument 'INPUT...'.", "Error: Missing option '-o' / '--output-dir'."]

    def test_defaults(self, model: Path, tmp_path: Path) -> None:
        """CSV becomes JSON Lines, and the last line counts the files."""
        (tmp_path / "rows.csv").write_text("user_1,192.168.1.2\n")
        done = run("transform", tmp_path / "rows.csv", "--model-dir", model, "--output-dir", tmp_path / "out")
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr == "Files transformed: 1; outputs that were there already: 0.\n"
        assert (tmp_path / "out" / "rows.csv.out").read_text().startswith('{"dot_product":')

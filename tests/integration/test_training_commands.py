"""Commands about training: their options, and what they refuse before a job begins."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.model import artifact
from ipinsights.testing import run_command, save_random_model

from .small_job import ROWS, SMALL, refusal_of, train_on

if TYPE_CHECKING:
    from pathlib import Path


class TestTrain:
    """``ipinsights train``."""

    def test_a_map_of_strings_may_stand_on_the_command_line(self, tmp_path: Path) -> None:
        """--hyperparameters accepts a JSON map as in SageMaker's API, recognised by its brace.

        -H takes precedence.
        """
        strings = json.dumps({"num_entity_vectors": "40", "vector_dim": "8", "epochs": "7", "mini_batch_size": "50"})
        (tmp_path / "rows.csv").write_text(ROWS)
        options = ["--train", tmp_path / "rows.csv", "--model-dir", tmp_path / "model", "--hyperparameters", strings]
        done = run_command("train", *options, "-H", "epochs=1")
        assert done.returncode == 0
        shown = json.loads(run_command("inspect", tmp_path / "model", "--json").stdout)["hyperparameters"]
        assert (shown["num_entity_vectors"], shown["vector_dim"], shown["epochs"]) == ("40", "8", "1")

    def test_a_map_on_the_command_line_that_is_none_is_told(self, tmp_path: Path) -> None:
        """A quote that the shell took is the usual reason."""
        done = run_command(
            "train", "--train", tmp_path, "--model-dir", tmp_path, "--hyperparameters", "{vector_dim: 8}"
        )
        assert refusal_of(done) == (
            "--hyperparameters cannot be read as JSON: "
            "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)."
        )

    def test_nothing_may_be_given_beside_the_tree(self, tmp_path: Path) -> None:
        """A container's job is the tree's alone."""
        done = run_command("train", "--base-dir", tmp_path, "-H", "epochs=1")
        assert done.returncode == 2
        assert done.stderr.endswith(
            "Error: --base-dir brings its own data, hyperparameters and model directory: give nothing else.\n"
        )

    @pytest.mark.parametrize("option", ["--mini-batch-size", "--mini_batch_size"])
    def test_one_that_is_taken_for_an_option_is_told(self, tmp_path: Path, option: str) -> None:
        """The last line says how it is given."""
        done = run_command("train", "--train", "rows.csv", "--model-dir", "model", option, 100, folder=tmp_path)
        assert done.returncode == 2
        refusal, hint = done.stderr.splitlines()[-2:]
        assert refusal.startswith("Error: No such option")
        assert option in refusal
        assert hint == "Hyperparameters are given with -H: -H mini_batch_size=VALUE."

    def test_an_assignment_without_equals_sign_is_told(self, tmp_path: Path) -> None:
        """The error about an assignment without a value shows an example."""
        done = train_on(tmp_path, ROWS, "-H", "epochs")
        assert done.returncode == 2
        assert done.stderr.endswith("Error: -H takes NAME=VALUE, not 'epochs'. For example: -H epochs=5.\n")

    @pytest.mark.parametrize("missing", ["--train", "--model-dir"])
    def test_either_files_or_a_tree_are_needed(self, missing: str) -> None:
        """The message names the options of both ways."""
        options = {"--train": "rows.csv", "--model-dir": "model"}
        words = [word for option in options.items() if option[0] != missing for word in option]
        done = run_command("train", *words)
        assert (done.returncode, done.stderr.splitlines()[-1]) == (
            2,
            "Error: Give --train and --model-dir, or --base-dir for a container's tree.",
        )

    @pytest.mark.parametrize(
        ("option", "value", "message"),
        [
            ("--hosts", "0", "'--hosts': 0 is not in the range x>=1."),
            ("--max-seconds", "0", "'--max-seconds': 0.0 is not in the range x>0."),
            ("--early-stopping-patience", "x", "'--early-stopping-patience': 'x' is not a valid integer range."),
            (
                "--checkpoint-every",
                "1h",
                "'--checkpoint-every': '1h' is neither a number of batches (500) nor a time (90s, 10m).",
            ),
        ],
    )
    def test_values_of_options(self, option: str, value: str, message: str) -> None:
        """A value that is not possible is refused with its option."""
        done = run_command("train", option, value)
        assert (done.returncode, done.stderr.splitlines()[-1]) == (2, f"Error: Invalid value for {message}")

    def test_a_map_in_a_file(self, tmp_path: Path) -> None:
        """The log names the file, and values of -H replace its own."""
        (tmp_path / "more.json").write_text(json.dumps({"epochs": 7, "weight_decay": "1e-5"}))
        done = train_on(tmp_path, ROWS, "--hyperparameters", "more.json", epochs="1")
        assert done.returncode == 0
        (line,) = [line for line in done.stdout.splitlines() if "Merging with provided configuration" in line]
        expected = {"epochs": "1", "weight_decay": "1e-5", **{k: v for k, v in SMALL.items() if k != "epochs"}}
        assert line.partition("] ")[2] == f"Merging with provided configuration from more.json: {expected}"

    def test_limits_reach_the_job(self, tmp_path: Path) -> None:
        """A time, a number of batches and a number of checkpoints: the log and the folder show them."""
        options = ("--checkpoint-dir", tmp_path / "ck", "--checkpoint-every", 3, "--keep-checkpoints", 1)
        done = train_on(tmp_path, ROWS, *options, "--max-seconds", 0.0001)
        assert done.returncode == 0
        assert "0.0001 seconds are over: stopping." in done.stdout
        assert len(list((tmp_path / "ck").glob("checkpoint-*"))) == 1


class TestInspect:
    """``ipinsights inspect``."""

    def test_text_and_json(self, tmp_path: Path) -> None:
        """Text and JSON show the sizes of the model, and the JSON all of its metadata."""
        folder = save_random_model(tmp_path, num_entities=30, vector_dim=4, rng=np.random.default_rng(0))
        text = run_command("inspect", folder).stdout
        found = json.loads(run_command("inspect", folder / "model_algo-1", "--json").stdout)
        assert text.startswith(f"IP Insights model, format {found['format_version']}: 30 entity vectors, some ")
        assert found["hyperparameters"]["vector_dim"] == "4"
        assert found["parameters"]["entity_weight"] == [30, 4]
        assert found["num_known_entities"] == artifact.load(folder).known_entities.estimate_count()


class TestHyperparameters:
    """``ipinsights hyperparameters``."""

    def test_the_table_is_printed(self) -> None:
        """The table is printed as text or in SageMaker's shape, without loading the engine."""
        names = [entry["Name"] for entry in json.loads(run_command("hyperparameters", "--json").stdout)]
        assert len(names) == 10
        listed = re.findall(r"^(\w+): (?:required|default)", run_command("hyperparameters").stdout, re.MULTILINE)
        assert listed == names

"""How failures are reported: on a terminal, in files and in containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ipinsights.testing import run_command

from .terminal import on_terminal

if TYPE_CHECKING:
    from pathlib import Path

MISSING = ("score", "none.csv", "--model-dir", "model")
REASON = "There is no model at model: give a model directory, a model_algo-1 file or a model.tar.gz.\n"


def test_a_terminal_shows_error(tmp_path: Path) -> None:
    """An error begins with `error:` on a terminal, and with the responsible party elsewhere."""
    shown = on_terminal(*MISSING, folder=tmp_path)
    assert (shown.code, shown.text) == (2, f"error: {REASON}")
    done = run_command(*MISSING, folder=tmp_path)
    assert (done.returncode, done.stderr) == (2, f"ClientError: {REASON}")


def test_a_container_keeps_its_words(tmp_path: Path) -> None:
    """On a terminal, too, a container's job says ClientError, as its failure file does."""
    shown = on_terminal("train", "--base-dir", "ml", folder=tmp_path)
    reason = "ClientError: The job has no channel 'train'; it has none at all. Put the data into ml/input/data/train.\n"
    assert (shown.code, shown.text) == (2, reason)
    assert (tmp_path / "ml" / "output" / "failure").read_text() == reason
    served = on_terminal("serve", "--base-dir", "ml", folder=tmp_path)
    assert served.lines[-2].startswith("ClientError: There is no model at ml/model: ")


def test_a_wrong_option_on_a_terminal(tmp_path: Path) -> None:
    """The usage comes first, then the error."""
    shown = on_terminal("inspect", "--yaml", "model", folder=tmp_path)
    assert shown.code == 2
    assert shown.lines[0].endswith("ipinsights inspect [OPTIONS] MODEL")
    assert "\n\nerror: No such option" in shown.text


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("explain \udcff 192.0.2.1 --model-dir model", "ENTITY"),
        ("update --model-dir model --forget a --forget \udcff", "--forget"),
        ("extract --format jsonl --where \udcff x.jsonl", "--where"),
        ("split rows.csv -o x --at \udcff", "--at"),
    ],
)
def test_a_text_that_is_not_utf_8(tmp_path: Path, command: str, name: str) -> None:
    """Bytes that are not UTF-8 are refused with the option's name, except in names of files."""
    (tmp_path / "model").mkdir()
    for file in ("x.jsonl", "rows.csv"):
        (tmp_path / file).write_text("\n")
    done = run_command(*command.split(), folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.endswith(f"\n\nError: Invalid value for '{name}': '\\udcff' is not UTF-8 text.\n")
    done = run_command("score", "\udcff.csv", "--model-dir", "\udcff", folder=tmp_path)
    assert done.stderr.startswith("ClientError: There is no model at \\udcff: ")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("train data.csv", "train --train data.csv --model-dir model"),
        ("train data.csv --model-dir m", "train --train data.csv --model-dir model"),
        ("train a.csv b.csv", "train --train a.csv --model-dir model"),
        ("serve model", "serve --model-dir model"),
    ],
)
def test_a_file_without_its_option(given: str, meant: str) -> None:
    """The command that was probably meant follows the error."""
    done = run_command(*given.split())
    assert done.returncode == 2
    assert "Error: Got unexpected extra argument" in done.stderr
    assert done.stderr.endswith(f")\nDid you mean: ipinsights {meant}\n")


def test_no_command_is_suggested_where_none_fits() -> None:
    """A command without a known option for a file ends with click's words."""
    assert run_command("hyperparameters", "data.csv").stderr.endswith("Got unexpected extra argument (data.csv)\n")


def test_a_hyperparameter_as_an_option() -> None:
    """The option that takes hyperparameters is named."""
    done = run_command("train", "--vector-dim", "8")
    assert done.stderr.endswith("Hyperparameters are given with -H: -H vector_dim=VALUE.\n")


def test_a_missing_size_can_be_left_to_the_data(tmp_path: Path) -> None:
    """With one size given the other is required, and the error names `auto`."""
    (tmp_path / "train.csv").write_text("ann,192.0.2.7\n")
    done = run_command("train", "--train", "train.csv", "--model-dir", "model", "-H", "vector_dim=8", folder=tmp_path)
    assert (done.returncode, done.stderr) == (
        2,
        "ClientError: Hyperparameter 'num_entity_vectors' is required and missing: give an integer from 1 to "
        "250000000. Rows of the table that entities are hashed into; twice the number of distinct entities is a good "
        "start.\nLet the data decide: -H num_entity_vectors=auto\n",
    )


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        (
            "train --train rows.csv --model-dir trained --quiet",
            "JSON is read with the names of its fields: --entity FIELD --ip FIELD.",
        ),
        ("score rows.csv --model-dir model", "JSON is read with the names of its fields: --entity FIELD --ip FIELD."),
        (
            "split rows.csv --at 2024-01-01 -o data",
            "`ipinsights extract --format jsonl --entity FIELD --ip FIELD FILE -o CLEAN.csv` writes rows of JSON as "
            "CSV.",
        ),
    ],
)
def test_advice_for_json_fits_the_command(command: str, advice: str, tmp_path: Path, model: Path) -> None:
    """JSON is read by names, or converted for a command that takes no names."""
    (tmp_path / "rows.csv").write_text('{"user":"ann","ip":"192.0.2.7","days":[1,2],"n":0}\n')
    (tmp_path / "model").symlink_to(model)
    done = run_command(*command.split(), folder=tmp_path)
    assert done.returncode == 2
    shown = done.stderr.splitlines()
    assert (shown[-2].endswith(". It looks like JSON, and must be CSV."), shown[-1]) == (True, advice)


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        (
            "split rows.csv --at 2024-01-01 -o data",
            "`ipinsights extract --format csv FILE -o CLEAN.csv` writes the rows that have entity, address and time, "
            "and counts the others.",
        ),
        (
            "score rows.csv --model-dir model",
            "`ipinsights extract --format csv --no-timestamps FILE -o CLEAN.csv` writes the rows that can be used, "
            "and counts the others.",
        ),
        (
            "evaluate --model-dir model --train rows.csv --test rows.csv",
            "`ipinsights extract --format csv --no-timestamps FILE -o CLEAN.csv` writes the rows that can be used, "
            "without their labels, and counts the others.",
        ),
    ],
)
def test_advice_fits_the_command(command: str, advice: str, tmp_path: Path, model: Path) -> None:
    """Rows that cannot be used are cleaned to what the command reads."""
    (tmp_path / "rows.csv").write_text("ann,192.0.2\n")
    (tmp_path / "model").symlink_to(model)
    done = run_command(*command.split(), folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.endswith(f"\n{advice}\n")


@pytest.mark.parametrize(
    "command",
    [
        "score {} --model-dir {}",
        "extract --format csv {}",
        "split {} --at 2020-01-01 -o out",
        "compare {} {}",
        "train --train {} --model-dir out -H epochs=1",
        "inspect {}",
    ],
)
def test_an_input_that_cannot_be_followed(tmp_path: Path, command: str) -> None:
    """A name that no file can have is an error about the input, and not about the output."""
    name = "x" * 300
    done = run_command(*command.replace("{}", name).split(), folder=tmp_path)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        2, f"ClientError: {name} cannot be read: File name too long."
    )  # fmt: skip

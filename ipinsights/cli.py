"""The door: the ``ipinsights`` command.

A command reads its options, calls one function and lets errors speak. What costs time to import (the engine, Arrow) is
imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import json
import logging
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import ipinsights
from ipinsights.errors import AlgorithmError, IPInsightsError

if TYPE_CHECKING:
    from ipinsights.sagemaker.training import Job

__all__ = ["cli", "main"]

_logger = logging.getLogger(__name__)
_PATH = click.Path(path_type=Path)
_FILE = click.Path(path_type=Path, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)
_SEED = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of every random draw.")
_MODEL = click.option("--model-dir", required=True, type=_PATH, help="Model directory, model_algo-1 or model.tar.gz.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(ipinsights.__version__, prog_name="ipinsights")
def cli() -> None:
    """IP Insights: learn which IPv4 addresses are normal for an entity, and score new pairs.

    A score is a dot product: HIGHER MEANS MORE NORMAL.
    """


@cli.command()
@click.option("--train", "train_path", type=_PATH, help="Training CSV (entity,ip; no header), or a folder of them.")
@click.option("--validation", type=_PATH, help="Validation CSV or folder; measured after each epoch.")
@click.option("--model-dir", type=_FOLDER, help="Where the model is written.")
@click.option("-H", "assignments", multiple=True, metavar="NAME=VALUE", help="A hyperparameter; repeat as needed.")
@click.option("--hyperparameters", type=_FILE, help="JSON file with a map of hyperparameters; -H goes before it.")
@click.option("--base-dir", type=_FOLDER, help="A container's tree (/opt/ml): everything is read from there.")
@click.option("--quiet", is_flag=True, help="No log, only the progress bar.")
@_SEED
def train(seed: int, quiet: bool, base_dir: Path | None, **options: Any) -> None:  # noqa: FBT001
    """Train a model as SageMaker does, on files or on a container's tree."""
    from ipinsights.sagemaker import training
    from ipinsights.sagemaker.environment import Environment

    with training.failure_reported(base_dir) if base_dir else nullcontext():
        if base_dir:
            _refuse_beside_base_dir(options)
            job = training.Job.from_environment(Environment.read(base_dir), seed=seed)
        else:
            job = _local_job(seed=seed, **options)
        training.run(job, quiet=quiet)


@cli.command()
@click.argument("source", metavar="INPUT.csv", type=click.Path(path_type=Path, allow_dash=True))
@_MODEL
@click.option("-o", "--output", type=_FILE, help="Where the scores go; standard output when not given.")
@click.option("--keep-columns", is_flag=True, help="Accept further columns and copy them to the output.")
def score(source: Path, model_dir: Path, output: Path | None, keep_columns: bool) -> None:  # noqa: FBT001
    """Score each pair of a CSV: entity,ip,dot_product, a line per input line in the same order."""
    from ipinsights.predictor import Predictor
    from ipinsights.scoring import score_file

    score_file(Predictor.load(model_dir), source, output, keep_columns=keep_columns)


@cli.command()
@click.argument("model", type=_PATH)
@click.option("--json", "as_json", is_flag=True, help="The whole of it as JSON.")
def inspect(model: Path, as_json: bool) -> None:  # noqa: FBT001
    """Show what a model artifact holds: a directory, a model_algo-1 file or a model.tar.gz."""
    from ipinsights import artifact

    found = artifact.load(model)
    click.echo(json.dumps(found.summary(), indent=2) if as_json else found.describe())


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="In the shape of SageMaker's DescribeAlgorithm.")
def hyperparameters(as_json: bool) -> None:  # noqa: FBT001
    """Show every hyperparameter with its range, default and tuning range."""
    from ipinsights.hyperparameters import describe, specification

    click.echo(json.dumps(specification(), indent=2) if as_json else describe())


def main() -> None:
    """Run the command, and turn every failure into one line and the exit code of whose fault it is."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit("Interrupted.")
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except IPInsightsError as error:
        click.echo(error.report, err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has had enough
        sys.exit(0)
    except Exception as error:
        _logger.exception("Unexpected failure")
        click.echo(f"{AlgorithmError.prefix}: {error!r}. This is a bug in ipinsights; please report it.", err=True)
        sys.exit(AlgorithmError.exit_code)


def _local_job(
    *,
    train_path: Path | None,
    validation: Path | None,
    model_dir: Path | None,
    assignments: tuple[str, ...],
    hyperparameters: Path | None,
    seed: int,
) -> Job:
    from ipinsights.sagemaker.environment import read_json_object
    from ipinsights.sagemaker.training import Job

    if train_path is None or model_dir is None:
        raise click.UsageError("Give --train and --model-dir, or --base-dir for a container's tree.")
    given = read_json_object(hyperparameters) if hyperparameters else {}
    return Job(
        hyperparameters={**given, **_parse_assignments(assignments)},
        source=str(hyperparameters or "the command line"),
        train=train_path,
        validation=validation,
        model_dir=model_dir,
        seed=seed,
        progress=True,
    )


def _refuse_beside_base_dir(options: dict[str, Any]) -> None:
    given = [name for name, value in options.items() if value]
    if given:
        raise click.UsageError("--base-dir brings its own data, hyperparameters and model directory: give nothing else.")


def _parse_assignments(assignments: tuple[str, ...]) -> dict[str, str]:
    values = {}
    for assignment in assignments:
        name, separator, value = assignment.partition("=")
        if not separator:
            raise click.UsageError(f"-H takes NAME=VALUE, not '{assignment}'. For example: -H epochs=5.")
        values[name.strip()] = value
    return values

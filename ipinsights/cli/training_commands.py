"""Commands about training and its results: ``train``, ``inspect``, ``hyperparameters``."""

from __future__ import annotations

import atexit
import json
import signal
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ipinsights.cli.failures import container_words
from ipinsights.cli.help_text import CommandWithExamples
from ipinsights.cli.options import (
    COUNT,
    ENTITY,
    IP,
    LOCAL_FILE,
    LOCAL_FOLDER,
    MODEL,
    OUTPUT_FOLDER,
    PATH,
    SEED,
    history_hyperparameters,
    pair_file,
    parse_assignments,
    parse_every,
)
from ipinsights.cli.output import echo, echo_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ipinsights.training.job import Job

__all__ = ["COMMANDS"]


@click.command(cls=CommandWithExamples)
@click.option("--train", "train_path", type=PATH, help="Training CSV (entity,ip; no header), or a folder of them.")
@click.option("--validation", type=PATH, help="Validation CSV or folder; measured after each epoch.")
@ENTITY
@IP
@click.option("--model-dir", type=OUTPUT_FOLDER, help="Where the model is written.")
@click.option("-H", "assignments", multiple=True, metavar="NAME=VALUE", help="A hyperparameter; repeat as needed.")
@click.option(
    "--hyperparameters",
    metavar="FILE|MAP",
    type=click.UNPROCESSED,  # the name of a file may be any bytes
    help="JSON file with a map of hyperparameters, or the map itself; -H takes precedence.",
)
@click.option("--base-dir", type=LOCAL_FOLDER, help="A container's tree (/opt/ml): everything is read from there.")
@click.option("--hosts", type=COUNT, default=1, show_default=True, help="Number of hosts to run on this machine.")
@click.option(
    "--checkpoint-dir", type=LOCAL_FOLDER, help="Where checkpoints are written; the job resumes from the newest."
)
@click.option(
    "--checkpoint-every",
    callback=parse_every,
    metavar="N|TIME",
    default="10m",
    show_default=True,
    help="Batches (500) or time (90s, 10m) between checkpoints; one more at each epoch's end.",
)
@click.option("--keep-checkpoints", type=COUNT, default=2, show_default=True, help="Number of checkpoints to keep.")
@click.option("--initial-model", type=MODEL, help="Model whose parameters to begin with; of the same sizes.")
@click.option(
    "--early-stopping-patience",
    type=COUNT,
    help="Stop, with the best model, after N epochs without a better validation AUC.",
)
@click.option("--max-seconds", type=click.FloatRange(min=0, min_open=True), help="Longest time to train.")
@click.option(
    "--keep-history",
    is_flag=True,
    help="Keep who was where (personal data) in the model, for --scorer history. `ipinsights strip` removes it.",
)
@click.option(
    "--history-rows-per-entity",
    type=COUNT,
    help="Most addresses of an entity that the history keeps; all when not given.",
)
@click.option("--ipv6", is_flag=True, help="Accept IPv6 rows and keep them in the history. The network sees IPv4 only.")
@click.option(
    "--engine",
    type=click.Choice(["auto", "gluon"]),
    default="auto",
    show_default=True,
    help="Engine on one CPU: compiled kernels, or MXNet's Gluon.",
)
@click.option(
    "--threads",
    "num_threads",
    type=COUNT,
    help="Threads on one CPU; all available cores by default. The model does not depend on it.",
)
@click.option(
    "--log-file", type=LOCAL_FILE, help="File for SageMaker's log. It also goes to standard output off a terminal."
)
@click.option("--metrics-file", type=LOCAL_FILE, help="File for a JSON line of metrics after each epoch.")
@click.option("--quiet", is_flag=True, help="No log, warnings or summary, only the progress bar.")
@click.option("--no-progress", is_flag=True, help="No progress bar.")
@SEED
def train(
    seed: int,
    quiet: bool,  # noqa: FBT001
    no_progress: bool,  # noqa: FBT001
    hosts: int,
    base_dir: Path | None,
    checkpoint_every: tuple[int | None, float | None],
    keep_checkpoints: int,
    early_stopping_patience: int | None,
    max_seconds: float | None,
    engine: str,
    num_threads: int | None,
    **options: Any,
) -> None:
    """Train a model on files, or as SageMaker's container does.

    Without sizes (num_entity_vectors, vector_dim) all sizes that are not given are chosen from the data.
    """
    from ipinsights.cli.training_view import TrainingView
    from ipinsights.data.channels import check_outputs
    from ipinsights.distributed import launcher
    from ipinsights.sagemaker.container import failure_reported, train_in_container
    from ipinsights.sagemaker.environment import Environment
    from ipinsights.training.limits import Limits

    limits = Limits(*checkpoint_every, keep_checkpoints, early_stopping_patience, max_seconds)
    settings: dict[str, Any] = {"seed": seed, "limits": limits, "engine": engine, "num_threads": num_threads}
    if base_dir:
        if hosts > 1 or any(options.values()):
            raise click.UsageError(
                "--base-dir brings its own data, hyperparameters and model directory: give nothing else."
            )
        with container_words(), failure_reported(base_dir):
            train_in_container(Environment.read(base_dir), quiet=quiet, **settings)
    else:
        check_outputs([options["log_file"], options["metrics_file"]], [options["train_path"], options["validation"]])
        named = {name: options.pop(name) for name in ("entity_names", "ip_names")}
        with (
            pair_file(options["train_path"], **named) as data,
            pair_file(options["validation"], **named) as held_out,
            closing(TrainingView(options["train_path"], quiet=quiet, progress=not no_progress)) as view,
        ):
            options.update(train_path=data, validation=held_out)
            job = _local_job(num_hosts=hosts, quiet=quiet, **settings, **options)
            launcher.train(job, num_hosts=hosts, quiet=quiet, view=view)
    # Leaving takes the engine a moment, in which there is nothing left to stop.
    atexit.register(signal.signal, signal.SIGTERM, signal.SIG_IGN)


@click.command(cls=CommandWithExamples)
@click.argument("model", type=MODEL)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(model: Path, as_json: bool) -> None:  # noqa: FBT001
    """Show what a model artifact holds.

    MODEL is a directory, a model_algo-1 file or a model.tar.gz.
    """
    from ipinsights.model import artifact
    from ipinsights.model.artifact_text import summary_text

    summary = artifact.load(model).summary()
    echo(json.dumps(summary, indent=2) if as_json else summary_text(summary))


@click.command(cls=CommandWithExamples)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, in the shape of SageMaker's DescribeAlgorithm.")
def hyperparameters(as_json: bool) -> None:  # noqa: FBT001
    """Show every hyperparameter, its range and its default."""
    from ipinsights.config.hyperparameters import describe, specification

    echo(json.dumps(specification(), indent=2) if as_json else describe())


def _local_job(
    *,
    train_path: Path | None,
    assignments: tuple[str, ...],
    hyperparameters: str | None,
    num_hosts: int,
    quiet: bool,
    keep_history: bool,
    history_rows_per_entity: int | None,
    ipv6: bool,
    **fields: Any,
) -> Job:
    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.data.both_families import join_families, read_families
    from ipinsights.distributed.launcher import has_several_processes
    from ipinsights.distributed.mpi_collectives import num_mpi_processes
    from ipinsights.training.automatic_sizes import SizeChoice
    from ipinsights.training.job import Job

    if train_path is None or fields["model_dir"] is None:
        raise click.UsageError("Give --train and --model-dir, or --base-dir for a container's tree.")
    given, source = _read_map(hyperparameters) if hyperparameters else (None, "the command line")
    history = history_hyperparameters(
        keep_history=keep_history, history_rows_per_entity=history_rows_per_entity, ipv6=ipv6
    )
    choice = SizeChoice.of({**parse_assignments(assignments), **history}, given)
    any_size = num_hosts > 1 or num_mpi_processes() > 1
    checked = choice.check(any_size=any_size)
    provided: Mapping[str, Any] = choice.given
    rows = None
    if choice.chosen:
        rows = read_families(train_path, ipv6=checked.ipv6)
        train = join_families(*rows)
        provided = choice.complete(train)
        if not quiet:
            echo_error(choice.describe(provided, len(train)))
    checked = Hyperparameters.parse(provided, any_size=any_size)
    job = Job(hyperparameters=checked, provided=provided, source=source, train=train_path, rows=rows, **fields)
    if job.log_file and has_several_processes(job, num_hosts):
        raise click.UsageError("--log-file is for training in one process. Redirect standard output instead.")
    return job


def _read_map(file_or_map: str) -> tuple[dict[str, Any], str]:
    """Return a map of hyperparameters and the name of its source for the log."""
    from ipinsights.sagemaker.environment import parse_json_object, read_json_object

    if file_or_map.lstrip().startswith("{"):
        given, source = parse_json_object(file_or_map, name="--hyperparameters"), "the command line"
    else:
        given, source = read_json_object(Path(file_or_map)), file_or_map
    # the whole answer of `aws sagemaker describe-training-job`
    inside = given.get("HyperParameters")
    return (inside if isinstance(inside, dict) else given), source


COMMANDS = (train, inspect, hyperparameters)

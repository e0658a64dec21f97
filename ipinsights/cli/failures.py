"""Reports of failures: one message on standard error, in the words of the command line."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from typing import TYPE_CHECKING

import click

import ipinsights
from ipinsights.cli.option_names import with_option_names
from ipinsights.cli.output import echo_error
from ipinsights.errors import AlgorithmError, MissingSizesError, OutputClosedError, RowsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipinsights.errors import IPInsightsError

__all__ = ["container_words", "report_bug", "report_failure", "report_usage", "report_with_options_of"]

_logger = logging.getLogger(__name__)

_CLEANING = (
    "`ipinsights extract --format csv --no-timestamps FILE -o CLEAN.csv` writes the rows that can be used, "
    "and counts the others."
)
# For commands that read more columns than entity and address.
_CLEANING_FOR = {
    "split": "`ipinsights extract --format csv FILE -o CLEAN.csv` writes the rows that have entity, address and time, "
    "and counts the others.",
    "evaluate": "`ipinsights extract --format csv --no-timestamps FILE -o CLEAN.csv` writes the rows that can be used, "
    "without their labels, and counts the others.",
}
# For JSON, which some commands read.
_NAMING = "JSON is read with the names of its fields: --entity FIELD --ip FIELD."
_CONVERTING = (
    "`ipinsights extract --format jsonl --entity FIELD --ip FIELD FILE -o CLEAN.csv` writes rows of JSON as CSV."
)
# The option that a file after the name of a command is most likely meant for.
_OPTION_OF_A_FILE = {
    "train": "--train {} --model-dir model",
    "tune": "--train {} --validation VALIDATION.csv --study study.db",
    "evaluate": "--model-dir model --train TRAIN.csv --test {}",
    "threshold": "--model-dir model --calibration {} --fpr 0.01",
    "serve": "--model-dir {}",
}
_EXTRA_ARGUMENT = "Got unexpected extra argument"


class _State:
    """The command that runs, and whether it is one of SageMaker's container."""

    # Context of the command, whose options a failure report names. None before a command begins.
    context: click.Context | None = None
    # Whether failures are reported to SageMaker, by the words of its contract.
    is_container = False


def report_with_options_of(context: click.Context) -> None:
    """Let failure reports name the options of a command."""
    _State.context = context


@contextlib.contextmanager
def container_words() -> Iterator[None]:
    """Keep the error prefix of SageMaker's contract in failure reports, also on a terminal."""
    _State.is_container = True
    yield
    # Not after a failure, which is reported later.
    _State.is_container = False


def report_failure(error: IPInsightsError) -> int:
    """Print a failure, unless the output was closed, and return its exit code."""
    if not isinstance(error, OutputClosedError):
        echo_error(with_option_names(f"{_prefix(error)}: {error}", _State.context))
    if advice := _advice(error):
        echo_error(advice)
    return error.exit_code


def report_usage(error: click.ClickException) -> int:
    """Print a command line error with a suggestion, and return the exit code."""
    shown = io.StringIO()
    error.show(shown)
    text = shown.getvalue().rstrip("\n")
    head, found, tail = text.rpartition("Error: ")
    click.echo(f"{head}error: {tail}" if found and sys.stderr.isatty() else text, err=True)
    for hint in (_hyperparameter_hint(error), _file_hint(error)):
        if hint:
            echo_error(hint)
    return error.exit_code


def report_bug(error: Exception) -> int:
    """Print an error that no command expects, and return the exit code."""
    _logger.error("Unexpected failure", exc_info=error)
    prefix = _prefix(AlgorithmError())
    echo_error(
        f"{prefix}: {error!r}. This is a bug in ipinsights {ipinsights.__version__}: please report it with these "
        "lines, in the repository that it was installed from."
    )
    return AlgorithmError.exit_code


def _advice(error: IPInsightsError) -> str | None:
    """Return what helps against an error, in options that the command has."""
    if isinstance(error, RowsError):
        return _rows_advice(error)
    if isinstance(error, MissingSizesError):
        options = " ".join(f"-H {size}=auto" for size in error.names)
        return f"Let the data decide: {options}"
    return None


def _rows_advice(error: RowsError) -> str:
    """Return what makes rows that cannot be used rows that the command reads."""
    command = _State.context.command if _State.context else None
    if error.is_json:
        reads_names = command is not None and any(option.name == "entity_names" for option in command.params)
        return _NAMING if reads_names else _CONVERTING
    return _CLEANING_FOR.get((command and command.name) or "", _CLEANING)


def _prefix(error: IPInsightsError) -> str:
    return "error" if sys.stderr.isatty() and not _State.is_container else error.prefix


def _hyperparameter_hint(error: click.ClickException) -> str | None:
    """Return how a hyperparameter is given, if one was taken for an option."""
    from ipinsights.config.hyperparameter_table import TABLE

    name = error.option_name.lstrip("-").replace("-", "_") if isinstance(error, click.NoSuchOption) else ""
    is_known = name in {row.name for row in TABLE}
    return f"Hyperparameters are given with -H: -H {name}=VALUE." if is_known else None


def _file_hint(error: click.ClickException) -> str | None:
    """Return the command with the option of a file, if the file was given without the option."""
    if not isinstance(error, click.UsageError) or not error.message.startswith(_EXTRA_ARGUMENT):
        return None
    name = error.ctx.command.name if error.ctx else None
    template = _OPTION_OF_A_FILE.get(name or "")
    file = error.message.partition("(")[2].partition(")")[0].partition(" ")[0]
    return f"Did you mean: ipinsights {name} {template.format(file)}" if template and file else None

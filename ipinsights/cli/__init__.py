"""The command line: each command parses its options, calls one function and prints.

What takes long to import is imported inside of the commands, so that ``--help`` is fast.
"""

from __future__ import annotations

import errno
import logging
import sys

import click

import ipinsights
from ipinsights.cli import (
    evaluation_commands,
    history_commands,
    scoring_commands,
    serving_commands,
    traffic_commands,
    training_commands,
    tuning_commands,
)
from ipinsights.cli.option_names import with_option_names
from ipinsights.cli.output import echo_error
from ipinsights.data.files import drop_unwritten, flush_output
from ipinsights.errors import AlgorithmError, ClientError, IPInsightsError, OutputClosedError, RowsError

__all__ = ["cli", "main"]

_logger = logging.getLogger(__name__)

# What click's own texts, and copies of standard input, may meet.
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
_CLEANING = (
    "`ipinsights extract --format csv --no-timestamps FILE -o CLEAN.csv` writes the rows that can be used, "
    "and counts the others."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(ipinsights.__version__, prog_name="ipinsights")
def cli() -> None:
    """IP Insights: learn which IPv4 addresses are normal for an entity, and score new pairs.

    A score is a dot product: HIGHER MEANS MORE NORMAL.
    """


for _room in (
    training_commands,
    tuning_commands,
    scoring_commands,
    serving_commands,
    evaluation_commands,
    history_commands,
    traffic_commands,
):
    for _command in _room.COMMANDS:
        cli.add_command(_command)


def main() -> None:
    """Run the command, and turn every failure into one line and the exit code of whose fault it is."""
    try:
        if exit_code := _exit_code():
            sys.exit(exit_code)
    finally:
        drop_unwritten(sys.stdout, sys.stderr)


def _exit_code() -> int | str:
    try:
        cli.main(standalone_mode=False)
        flush_output()
    except click.exceptions.Abort:
        return "Interrupted."
    except click.ClickException as error:
        error.show()
        _explain_if_hyperparameter(error)
        return error.exit_code
    except IPInsightsError as error:
        return _report(error)
    except Exception as error:  # noqa: BLE001 - a bug is reported in one sentence, too
        return _report_unexpected(error)
    return 0


def _report(error: IPInsightsError) -> int:
    if not isinstance(error, OutputClosedError):
        echo_error(with_option_names(error.report))
    if isinstance(error, RowsError):
        echo_error(_CLEANING)
    return error.exit_code


def _report_unexpected(error: Exception) -> int:
    """Print an error that no command expects, and return the exit code."""
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        return _report(ClientError(f"Standard output, or a temporary file, cannot be written: {error.strerror}."))
    if isinstance(error, ImportError):
        return _unfit_packages(error)
    _logger.error("Unexpected failure", exc_info=error)
    echo_error(f"{AlgorithmError.prefix}: {error!r}. This is a bug in ipinsights; please report it.")
    return AlgorithmError.exit_code


def _unfit_packages(error: ImportError) -> int:
    """Print which installed packages do not fit together, and return the exit code.

    PyArrow 26 does not declare that it needs NumPy 2, so an installer accepts it next to NumPy 1.
    """
    is_pyarrow = str(error).startswith("pyarrow requires NumPy")
    cure = "Install one that fits your NumPy: pip install 'pyarrow<26'" if is_pyarrow else "Install it again"
    echo_error(f"{ClientError.prefix}: A package cannot be imported: {error}. {cure}.")
    return ClientError.exit_code


def _explain_if_hyperparameter(error: click.ClickException) -> None:
    """Say how hyperparameters are given to whoever took one for an option."""
    from ipinsights.config.hyperparameter_table import TABLE

    name = error.option_name.lstrip("-").replace("-", "_") if isinstance(error, click.NoSuchOption) else ""
    if name in {row.name for row in TABLE}:
        echo_error(f"Hyperparameters are given with -H: -H {name}=VALUE.")

"""The door: the ``ipinsights`` command.

A command reads its options, calls one function and lets errors speak. What costs time to import (the engine, Arrow) is
imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import logging
import sys

import click

import ipinsights
from ipinsights.cli import judging, scoring, serving, traffic, training, tuning
from ipinsights.errors import AlgorithmError, ClientError, IPInsightsError, RowsError

__all__ = ["cli", "main"]

_logger = logging.getLogger(__name__)

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


for _room in (training, tuning, scoring, serving, judging, traffic):
    for _command in _room.COMMANDS:
        cli.add_command(_command)


def main() -> None:
    """Run the command, and turn every failure into one line and the exit code of whose fault it is."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit("Interrupted.")
    except click.ClickException as error:
        error.show()
        _explain_if_hyperparameter(error)
        sys.exit(error.exit_code)
    except IPInsightsError as error:
        click.echo(error.report, err=True)
        if isinstance(error, RowsError):
            click.echo(_CLEANING, err=True)
        sys.exit(error.exit_code)
    except ImportError as error:
        sys.exit(_unfit_packages(error))
    except Exception as error:
        _logger.exception("Unexpected failure")
        click.echo(f"{AlgorithmError.prefix}: {error!r}. This is a bug in ipinsights; please report it.", err=True)
        sys.exit(AlgorithmError.exit_code)


def _unfit_packages(error: ImportError) -> int:
    """Print which installed packages do not fit together, and return the exit code.

    PyArrow 26 does not declare that it needs NumPy 2, so an installer accepts it next to NumPy 1.
    """
    is_pyarrow = str(error).startswith("pyarrow requires NumPy")
    cure = "Install one that fits your NumPy: pip install 'pyarrow<26'" if is_pyarrow else "Install it again"
    click.echo(f"{ClientError.prefix}: A package cannot be imported: {error}. {cure}.", err=True)
    return ClientError.exit_code


def _explain_if_hyperparameter(error: click.ClickException) -> None:
    """Say how hyperparameters are given to whoever took one for an option."""
    from ipinsights.hyperparameter_table import TABLE

    name = error.option_name.lstrip("-").replace("-", "_") if isinstance(error, click.NoSuchOption) else ""
    if name in {row.name for row in TABLE}:
        click.echo(f"Hyperparameters are given with -H: -H {name}=VALUE.", err=True)

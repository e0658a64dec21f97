"""The command line: each command parses its options, calls one function and prints.

What takes long to import is imported inside of the commands, so that ``--help`` is fast.
"""

from __future__ import annotations

import errno
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
from ipinsights.cli.failures import report_bug, report_failure, report_usage
from ipinsights.cli.help_text import WorkflowGroup
from ipinsights.cli.output import open_missing_streams
from ipinsights.data.files import drop_unwritten, flush_output
from ipinsights.errors import ClientError, IPInsightsError

__all__ = ["cli", "main"]

# What click's own texts, and copies of standard input, may meet.
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO)


@click.group(cls=WorkflowGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(ipinsights.__version__, prog_name="ipinsights")
def cli() -> None:
    """IP Insights: learn which IPv4 addresses are normal for an entity, and score new pairs.

    A score is a dot product: HIGHER MEANS MORE NORMAL.
    """


for _module in (
    training_commands,
    tuning_commands,
    scoring_commands,
    serving_commands,
    evaluation_commands,
    history_commands,
    traffic_commands,
):
    for _command in _module.COMMANDS:
        cli.add_command(_command)


def main() -> None:
    """Run the command, and report any failure as one line and an exit code."""
    open_missing_streams()
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
        return report_usage(error)
    except IPInsightsError as error:
        return report_failure(error)
    except Exception as error:  # noqa: BLE001 - a bug is reported in one sentence, too
        return _report_unexpected(error)
    return 0


def _report_unexpected(error: Exception) -> int:
    """Print an error that no command expects, and return the exit code."""
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        return report_failure(
            ClientError(f"Standard output, or a temporary file, cannot be written: {error.strerror}.")
        )
    if isinstance(error, ImportError):
        return report_failure(ClientError(_unfit_packages(error)))
    return report_bug(error)


def _unfit_packages(error: ImportError) -> str:
    """Return which installed packages do not fit together.

    PyArrow 26 does not declare that it needs NumPy 2, so an installer accepts it next to NumPy 1.
    """
    is_pyarrow = str(error).startswith("pyarrow requires NumPy")
    cure = "Install one that fits your NumPy: pip install 'pyarrow<26'" if is_pyarrow else "Install it again"
    return f"A package cannot be imported: {error}. {cure}."

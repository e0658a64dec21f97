"""What commands show: the one way to standard output and to standard error."""

from __future__ import annotations

import shutil
import sys

import click

from ipinsights.data.files import open_output
from ipinsights.data.remote_names import as_given
from ipinsights.reporting.plain_text import printable

__all__ = ["echo", "echo_error", "terminal_width"]


def echo(text: str) -> None:
    """Write a text and the end of a line to standard output, with control characters as escapes."""
    with open_output(None) as stream:
        stream.write(f"{printable(as_given(text))}\n".encode(sys.stdout.encoding or "utf-8", "backslashreplace"))


def echo_error(text: str) -> None:
    """Write a text and the end of a line to standard error, with control characters as escapes."""
    click.echo(printable(as_given(text)), err=True)


def terminal_width() -> int | None:
    """Return the columns of the terminal on standard output, None if there is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None

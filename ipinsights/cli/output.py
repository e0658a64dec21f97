"""What commands show: the one way to standard output and to standard error."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from typing import TYPE_CHECKING

import click

from ipinsights.data.files import open_output
from ipinsights.data.remote_names import as_given
from ipinsights.reporting.plain_text import printable

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["echo", "echo_error", "echo_hint", "neighbour", "open_missing_streams", "terminal_width"]

_NUM_STANDARD_STREAMS = 3


def echo(text: str) -> None:
    """Write a text and the end of a line to standard output, with control characters as escapes."""
    with open_output(None) as stream:
        stream.write(f"{printable(as_given(text))}\n".encode(sys.stdout.encoding or "utf-8", "backslashreplace"))


def echo_error(text: str) -> None:
    """Write a text and the end of a line to standard error, with control characters as escapes."""
    click.echo(printable(as_given(text)), err=True)


def echo_hint(text: str) -> None:
    """Write a hint for a person: only if standard error is a terminal."""
    if sys.stderr is not None and sys.stderr.isatty():
        echo_error(text)


def neighbour(path: Path | None, name: str) -> str:
    """Return a file next to another one as a word of the shell, or FILE if it is missing."""
    found = path and path.parent / name
    return shlex.quote(str(found)) if found and found.is_file() else "FILE"


def terminal_width() -> int | None:
    """Return the columns of the terminal on standard output, None if there is no terminal."""
    return shutil.get_terminal_size().columns if sys.stdout is not None and sys.stdout.isatty() else None


def open_missing_streams() -> None:
    """Open the null device in place of closed standard streams.

    Otherwise the first files that a command opens get their descriptors, and what libraries print ends in these files.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < _NUM_STANDARD_STREAMS:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", errors="backslashreplace")

"""Paths on the command line that may be URLs.

A command gets local copies, and its outputs are uploaded at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from ipinsights.data.remote_names import is_remote, shown_url

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from pathlib import Path

    from ipinsights.data.remote import Role, Staging

__all__ = ["DataPath", "TextPath", "Url", "invoke_on_copies"]

_OTHER_THAN_TEXT = (".bz2", ".gz", ".parquet", ".xlsx", ".xz", ".zip", ".zst")


@dataclass(frozen=True)
class Url:
    """A URL on the command line, and what the path is for."""

    url: str
    role: Role


class DataPath(click.Path):
    """Path that may be a URL of ``data``, a ``model`` or ``output``. Without a role it is local."""

    def __init__(self, role: Role | None = "data", **options: Any) -> None:
        super().__init__(**options)
        self.role = role

    def convert(self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a local path, or a URL that is read when the command begins."""
        if not is_remote(value):
            return super().convert(value, param, ctx)
        url = str(value)
        if self.role is None:
            self.fail(f"'{shown_url(url)}' is a URL, and this must be a local path.", param, ctx)
        return Url(url, self.role)


class TextPath(DataPath):
    """Path of a text file that is written. A name that promises another kind of file is refused."""

    def convert(self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return a local path or a URL."""
        ending = next(filter(str(value).lower().endswith, _OTHER_THAN_TEXT), None)
        if ending is not None:
            self.fail(
                f"'{shown_url(str(value))}' would be plain text: give a name that does not end in {ending}.", param, ctx
            )
        return super().convert(value, param, ctx)


def invoke_on_copies(invoke: Callable[[click.Context], Any], ctx: click.Context) -> Any:
    """Run a command with local copies in place of URLs, and upload what it wrote into them."""
    if not any(isinstance(value, Url) for given in ctx.params.values() for value in _values(given)):
        return invoke(ctx)
    from ipinsights.data.remote import Staging

    with Staging() as staging:
        ctx.params = {name: _copied(value, staging) for name, value in ctx.params.items()}
        return invoke(ctx)


def _values(given: Any) -> tuple[Any, ...]:
    return given if isinstance(given, tuple) else (given,)


def _copied(given: Any, staging: Staging) -> Any:
    if isinstance(given, tuple):
        return tuple(_copied(value, staging) for value in given)
    path: Path | Any = staging.path(given.url, given.role) if isinstance(given, Url) else given
    return path

"""Names of parameters in messages of the library, as the command line calls them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["with_option_names"]

_OPTIONS = {
    "calibration_from": "--calibration-at",
    "concurrency": "--concurrency",
    "early_stopping_patience": "--early-stopping-patience",
    "encoding": "--encoding",
    "entity": "--entity",
    "fractions": "--fraction",
    "ip": "--ip",
    "ipv6": "--ipv6",
    "fields": "--fields",
    "force": "--force",
    "line_format": "--log-format",
    "log_format": "--format",
    "max_payload_mb": "--max-payload-mb",
    "no_header": "--no-header",
    "no_timestamps": "--no-timestamps",
    "output": "--output",
    "path": "--path",
    "port": "--port",
    "status": "--status",
    "test_from": "--at",
    "Threshold.calibrate": "`ipinsights threshold`",
    "time_format": "--time-format",
    "timestamp": "--timestamp",
    "validation": "--validation",
    "where": "--where",
    "year": "--year",
}
# A name in backquotes. Values of users stand in quotes.
_NAME = re.compile(r"(?<!['\"])`(" + "|".join(map(re.escape, _OPTIONS)) + r")`(?!['\"])")


def with_option_names(message: str, context: click.Context | None = None) -> str:
    """Return a message with options in place of names of parameters in backquotes.

    With the context of a command, an option that the command does not have is named with the command that has it.

    >>> with_option_names("`test_from` must be a date. Got '`path`'.")
    "--at must be a date. Got '`path`'."
    """
    return _NAME.sub(lambda found: _shown(_OPTIONS[found[1]], context), message)


def _shown(option: str, context: click.Context | None) -> str:
    """Return an option, with its command if the running command has no such option."""
    if context is None or not option.startswith("--") or option in _options_of(context.command):
        return option
    group = context.find_root().command
    others = group.commands.values() if isinstance(group, click.Group) else ()
    owner = next((command.name for command in others if option in _options_of(command)), None)
    return f"`ipinsights {owner} {option}`" if owner else option


def _options_of(command: click.Command) -> Iterator[str]:
    return (option for parameter in command.params for option in parameter.opts)

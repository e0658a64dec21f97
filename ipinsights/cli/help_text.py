"""Help texts: commands by workflow with whole summaries, and examples of each command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ipinsights.cli.data_paths import invoke_on_copies
from ipinsights.cli.examples import EXAMPLES
from ipinsights.cli.failures import report_with_options_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["WORKFLOW", "CommandWithExamples", "WorkflowGroup"]

WORKFLOW = {
    "Prepare data": ("simulate", "extract", "split"),
    "Train": ("train", "tune", "hyperparameters", "compare"),
    "Judge": ("inspect", "threshold", "evaluate"),
    "Score": ("score", "explain", "embeddings"),
    "Keep a history": ("update", "strip"),
    "Run as SageMaker does": ("serve", "transform"),
}
"""Commands by what they are for, in the order of use."""

_EXIT_CODES = (
    ("0", "done"),
    ("1", "an error of ipinsights or of the machine; of compare: worse"),
    ("2", "an error in the command, the data or a file"),
    ("141", "the reader of the output has ended, as in a pipe to head"),
)
_LONGEST_SUMMARY = 100


class CommandWithExamples(click.Command):
    """Command whose help ends with examples, and which works on local copies of URLs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for parameter in self.params:
            # Otherwise click writes INTEGER RANGE, and the range once more behind the help.
            if parameter.metavar is None and isinstance(parameter.type, (click.IntRange, click.FloatRange)):
                parameter.metavar = "N"

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, see :func:`ipinsights.cli.data_paths.invoke_on_copies`."""
        report_with_options_of(ctx)
        return invoke_on_copies(super().invoke, ctx)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the examples, each on lines of its own."""
        _write_section(formatter, "Examples", EXAMPLES.get(self.name or "", ()))


class WorkflowGroup(click.Group):
    """Group whose help lists the commands by workflow, and the exit codes."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands of each step of the workflow, with whole summaries."""
        widest = max(map(len, self.commands))
        for title, names in WORKFLOW.items():
            commands = [(name, self.get_command(ctx, name)) for name in names]
            rows = [
                (name.ljust(widest), command.get_short_help_str(_LONGEST_SUMMARY))
                for name, command in commands
                if command
            ]
            with formatter.section(title):
                formatter.write_dl(rows)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the exit codes."""
        with formatter.section("Exit codes"):
            formatter.write_dl(_EXIT_CODES)


def _write_section(formatter: click.HelpFormatter, title: str, lines: Sequence[str]) -> None:
    if lines:
        formatter.write(f"\n{title}:\n" + "".join(f"  {line}\n" for line in lines))

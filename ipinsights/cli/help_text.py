"""Help texts: commands by workflow with whole summaries, and examples of each command."""

from __future__ import annotations

import re
from typing import Any

import click

from ipinsights.cli.data_paths import invoke_on_copies
from ipinsights.cli.failures import report_with_options_of

__all__ = ["EXAMPLES", "WORKFLOW", "CommandWithExamples", "WorkflowGroup"]

WORKFLOW = {
    "Prepare data": ("simulate", "extract", "split"),
    "Train": ("train", "tune", "hyperparameters", "compare"),
    "Judge": ("inspect", "threshold", "evaluate"),
    "Score": ("score", "explain", "embeddings"),
    "Keep a history": ("update", "strip"),
    "Run as SageMaker does": ("serve", "transform"),
}
"""Commands by what they are for, in the order of use."""

EXAMPLES = {
    "simulate": ("ipinsights simulate --users 500 -o traffic",),
    "extract": (
        "ipinsights extract --format apache --status 200 traffic/access.log -o rows.csv",
        "cat traffic/access.log | ipinsights extract --format apache - > rows.csv",
    ),
    "split": (
        "ipinsights split rows.csv --at 2018-11-12 --calibration-at 2018-11-11 -o data",
        "ipinsights split rows.csv --fraction 0.8 0.1 0.1 -o shares",
    ),
    "hyperparameters": ("ipinsights hyperparameters",),
    "train": (
        "ipinsights train --train data/train.csv --model-dir model",
        "ipinsights train --train data/train.csv --validation data/calibration.csv \\",
        "    --model-dir second -H epochs=5 --seed 1 > second.log",
        "ipinsights train --train data/train.csv --model-dir third \\",
        "    -H num_entity_vectors=1000 -H vector_dim=64 -H mini_batch_size=auto \\",
        "    > third.log",
    ),
    "tune": (
        "ipinsights tune --train data/train.csv --validation data/calibration.csv \\",
        "    --tune learning_rate=0.001:0.1 --trials 2 --study study.db -o best.json \\",
        "    -H num_entity_vectors=1000 -H vector_dim=32 -H mini_batch_size=1000 \\",
        "    -H epochs=1",
    ),
    "compare": (
        "ipinsights compare second.log second.log",
        "ipinsights compare third.log second.log --tolerance auc=0.01 \\",
        "    --json-file runs.json || true",
    ),
    "inspect": ("ipinsights inspect model",),
    "threshold": (
        "ipinsights threshold --model-dir model --calibration data/calibration.csv \\",
        "    --fpr 0.01",
    ),
    "evaluate": (
        "ipinsights evaluate --model-dir model --train data/train.csv \\",
        "    --test data/test.csv --calibration data/calibration.csv --report report",
    ),
    "score": (
        "ipinsights score data/test.csv --model-dir model --extended -o scores.csv",
        "echo 'user_1,192.0.2.99' | ipinsights score - --model-dir model",
    ),
    "explain": ("ipinsights explain user_1 192.0.2.99 --model-dir model --train data/train.csv",),
    "embeddings": (
        "cut -d, -f2 data/test.csv > ips.txt",
        "ipinsights embeddings --model-dir model --ips ips.txt -o ips.npz",
    ),
    "update": (
        "ipinsights train --train data/train.csv --model-dir kept --keep-history \\",
        "    > kept.log",
        "ipinsights update data/test.csv --model-dir kept",
    ),
    "strip": ("ipinsights strip --model-dir kept",),
    "serve": ("ipinsights serve --model-dir model --port 8080",),
    "transform": ("ipinsights transform data/test.csv --model-dir model --output-dir out",),
}
"""Lines of each command's help. A line that ends with a backslash continues on the next one."""

_EXIT_CODES = (
    ("0", "done"),
    ("1", "an error of ipinsights or of the machine; of compare: worse"),
    ("2", "an error in the command, the data or a file"),
    ("141", "the reader of the output has ended, as in a pipe to head"),
)
_LONGEST_SUMMARY = 100
# What Python has in place of a byte that is not UTF-8.
_SURROGATE = re.compile("[\ud800-\udfff]")


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
        for parameter in self.params:
            _check_text(ctx, parameter)
        return invoke_on_copies(super().invoke, ctx)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the examples, each on lines of its own."""
        if lines := EXAMPLES.get(self.name or "", ()):
            formatter.write("\nExamples:\n" + "".join(f"  {line}\n" for line in lines))


def _check_text(ctx: click.Context, parameter: click.Parameter) -> None:
    """Refuse a text that is not UTF-8. Names of files may be any bytes."""
    values = ctx.params.get(parameter.name or "")
    if not isinstance(parameter.type, click.types.StringParamType):
        return
    for value in values if isinstance(values, tuple) else (values,):
        if isinstance(value, str) and not value.isascii() and _SURROGATE.search(value):
            raise click.BadParameter(f"{value!r} is not UTF-8 text.", ctx, parameter)


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

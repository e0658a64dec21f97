"""The command that searches hyperparameters: ``tune``."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import click

from ipinsights.cli.help_text import CommandWithExamples
from ipinsights.cli.options import COUNT, LOCAL_FILE, OUTPUT_FILE, PATH, SEED, parse_assignments
from ipinsights.cli.output import echo_error, echo_hint

if TYPE_CHECKING:
    from pathlib import Path

    from ipinsights.tuning.study import Outcome

__all__ = ["COMMANDS"]


@click.command(cls=CommandWithExamples)
@click.option("--train", "train_path", required=True, type=PATH, help="Training CSV (entity,ip), or a folder of them.")
@click.option("--validation", required=True, type=PATH, help="Rows whose AUC is maximised: CSV or folder.")
@click.option(
    "--tune",
    "ranges",
    multiple=True,
    metavar="NAME[=LOW:HIGH]",
    help="A hyperparameter to search; over its documented range when none is given. Repeatable.",
)
@click.option(
    "-H",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="A hyperparameter that is the same in all trials; repeatable.",
)
@click.option(
    "--keep-history",
    is_flag=True,
    help="Add _keep_history to the best map: train then keeps who was where (personal data).",
)
@click.option(
    "--trials",
    type=COUNT,
    default=20,
    show_default=True,
    help="Number of trials of the study, those of earlier runs included.",
)
@click.option("--study", type=LOCAL_FILE, required=True, help="SQLite file of the trials; the same command resumes it.")
@click.option("--stop-early", is_flag=True, help="End trials that are behind the median of those before.")
@click.option(
    "-o", "--output", type=OUTPUT_FILE, help="Where the best map goes as JSON; standard output when not given."
)
@click.option("--plot", type=OUTPUT_FILE, help="Draw the trials as PNG; needs the extra 'report'.")
@SEED
def tune(
    train_path: Path,
    validation: Path,
    ranges: tuple[str, ...],
    assignments: tuple[str, ...],
    keep_history: bool,  # noqa: FBT001
    trials: int,
    study: Path,
    stop_early: bool,  # noqa: FBT001
    output: Path | None,
    plot: Path | None,
    seed: int,
) -> None:
    """Search the hyperparameters with the highest validation AUC.

    The metric is validation:discriminator_auc.

    The best map is for train --hyperparameters. Needs the extra 'tune'.
    """
    from ipinsights.data.both_families import read_families
    from ipinsights.data.files import open_output, write_file
    from ipinsights.tuning.search_range import SearchRange
    from ipinsights.tuning.study import Tuner

    fixed = {**parse_assignments(assignments), **({"_keep_history": "true"} if keep_history else {})}
    accepts_ipv6 = fixed.get("_ipv6") == "true"
    searched = [SearchRange.parse(text) for text in ranges]
    tuner = Tuner(
        study,
        ranges=searched,
        fixed=fixed,
        train=read_families(train_path, ipv6=accepts_ipv6)[0],
        validation=read_families(validation, ipv6=accepts_ipv6)[0],
        seed=seed,
        stop_early=stop_early,
    )
    for outcome in tuner.run(trials):
        echo_error(_in_a_line(outcome))
    if plot:
        from ipinsights.reporting.plot_style import png
        from ipinsights.tuning.search_plot import draw_search

        write_file(plot, png(draw_search(tuner.outcomes(), searched)))
    with open_output(output) as stream:
        stream.write(f"{json.dumps(tuner.best(), indent=2)}\n".encode())
    if output:
        files = ("--train", str(train_path), "--model-dir", "model", "--hyperparameters", str(output))
        echo_hint(f"Next: ipinsights train {shlex.join(files)}")


def _in_a_line(outcome: Outcome) -> str:
    values = ", ".join(f"{name} {value}" for name, value in outcome.values.items())
    auc = "no AUC" if outcome.auc is None else f"AUC {outcome.auc:.5f}"
    return f"trial {outcome.number}: {auc}, {values}" + (f" ({outcome.note})" if outcome.note else "")


COMMANDS = (tune,)

"""Commands about the history of a model: ``update``, ``strip``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ipinsights.cli.help_text import CommandWithExamples
from ipinsights.cli.options import FILE, MODEL_DIR, PATH
from ipinsights.cli.output import echo

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["COMMANDS"]


@click.command(cls=CommandWithExamples)
@click.argument("source", metavar="[NEW.csv]", required=False, type=PATH)
@MODEL_DIR
@click.option("--normal-only", is_flag=True, help="Reject rows that the threshold of the scorer history finds odd.")
@click.option("--threshold", "threshold_file", type=FILE, help="Threshold to judge by; that of MODEL_DIR if not given.")
@click.option("--forget", multiple=True, metavar="ENTITY", help="Delete an entity from the history; repeatable.")
@click.option("--force", is_flag=True, help="Merge a file that was merged before.")
def update(
    source: Path | None,
    model_dir: Path,
    normal_only: bool,  # noqa: FBT001
    threshold_file: Path | None,
    forget: tuple[str, ...],
    force: bool,  # noqa: FBT001
) -> None:
    """Merge new events into the history of a model.

    Nothing is trained.

    NEW.csv is a file or a folder of entity,ip or entity,ip,time. Merge events that were judged normal only: an attack
    that is merged makes its network known. A running endpoint loads the model as it loads any new one.
    """
    if source is None and not forget:
        raise click.UsageError("Give NEW.csv, or --forget ENTITY.")
    if normal_only and source is None:
        raise click.UsageError("--normal-only is about the rows of NEW.csv: give the file, too.")
    from ipinsights.inference.history_update import update_history

    updated = update_history(
        model_dir, source, forget=forget, normal_only=normal_only, threshold_file=threshold_file, force=force
    )
    echo(updated.text())


@click.command(cls=CommandWithExamples)
@MODEL_DIR
def strip(model_dir: Path) -> None:
    """Remove the history, which is personal data, from a model.

    The rest stays as it is, to the byte.
    """
    from ipinsights.inference.history_update import strip_history

    echo(f"Removed: a history of {strip_history(model_dir):,} pairs.")


COMMANDS = (update, strip)

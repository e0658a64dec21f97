"""Options that several commands share."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import click

from ipinsights.cli.data_paths import DataPath, TextPath
from ipinsights.cli.option_names import with_option_names
from ipinsights.cli.output import echo_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipinsights.etl.records import KeptFields

__all__ = [
    "COUNT", "ENTITY", "FILE", "INPUT", "IP", "LOCAL_FILE", "LOCAL_FOLDER", "LOCAL_PATH", "MODEL", "MODEL_DIR",
    "OUTPUT_FILE", "OUTPUT_FOLDER", "OUTPUT_TEXT", "PATH", "SCORER", "SEED", "THRESHOLD", "history_hyperparameters",
    "pair_file", "parse_assignments", "parse_every",
]  # fmt: skip

_Source = TypeVar("_Source", bound="Path | None")

COUNT = click.IntRange(min=1)
PATH = DataPath(path_type=Path)
FILE = DataPath(path_type=Path, dir_okay=False)
INPUT = DataPath(path_type=Path, allow_dash=True)
MODEL = DataPath("model", path_type=Path)
OUTPUT_FILE = DataPath("output", path_type=Path, dir_okay=False)
OUTPUT_TEXT = TextPath("output", path_type=Path, dir_okay=False)
OUTPUT_FOLDER = DataPath("output", path_type=Path, file_okay=False)
LOCAL_FILE = DataPath(None, path_type=Path, dir_okay=False)
LOCAL_FOLDER = DataPath(None, path_type=Path, file_okay=False)
LOCAL_PATH = DataPath(None, path_type=Path)

SEED = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Random seed.")
MODEL_DIR = click.option(
    "--model-dir", required=True, type=MODEL, help="Model directory, model_algo-1 or model.tar.gz."
)
THRESHOLD = click.option(
    "--threshold", "threshold_file", type=FILE, help="Threshold to judge by; the one next to the model when not given."
)
SCORER = click.option(
    "--scorer",
    type=click.Choice(["dot_product", "history"]),
    default="dot_product",
    show_default=True,
    help="Score by the network alone, or by the history of a model trained with --keep-history.",
)


ENTITY = click.option(
    "--entity",
    "entity_names",
    metavar="COLUMN",
    multiple=True,
    help="Column with the entity, or a path to it: the data are CSV with a header, JSON or Parquet.",
)
IP = click.option("--ip", "ip_names", metavar="COLUMN", multiple=True, help="Column with the address, likewise.")


@contextlib.contextmanager
def pair_file(
    source: _Source, *, entity_names: tuple[str, ...], ip_names: tuple[str, ...], kept: KeptFields | None = None
) -> Iterator[_Source]:
    """Yield a file of the pairs in named columns, or the source if no column is named.

    Columns in ``kept`` stand behind the pairs, but for those of entities and addresses.
    """
    if source is None or not (entity_names or ip_names):
        yield source
        return
    from ipinsights.etl.named_pairs import named_pairs
    from ipinsights.etl.summary import NothingUsableError

    entity, ip = entity_names or ("entity",), ip_names or ("ip",)
    if kept is not None:
        kept.without = (*entity, *ip)
    with contextlib.ExitStack() as stack:
        try:
            path, summary = stack.enter_context(named_pairs(source, entity=entity, ip=ip, kept=kept))
        except NothingUsableError as error:
            _echo_summary(str(error.summary))
            raise
        if summary.skipped:
            _echo_summary(f"{source}: {summary}")
        yield cast("_Source", path)


def _echo_summary(text: str) -> None:
    echo_error(with_option_names(text, click.get_current_context()))


def parse_assignments(assignments: tuple[str, ...]) -> dict[str, str]:
    """Parse the values of ``-H`` to a map."""
    values = {}
    for assignment in assignments:
        name, separator, value = assignment.partition("=")
        if not separator:
            raise click.UsageError(f"-H takes NAME=VALUE, not '{assignment}'. For example: -H epochs=5.")
        values[name.strip()] = value
    return values


def history_hyperparameters(*, keep_history: bool, history_rows_per_entity: int | None, ipv6: bool) -> dict[str, str]:
    """Return the hyperparameters that the options about a history stand for."""
    if not keep_history and (history_rows_per_entity or ipv6):
        raise click.UsageError("--history-rows-per-entity and --ipv6 are about the history: give --keep-history, too.")
    values = {
        "_keep_history": "true" if keep_history else None,
        "_history_rows_per_entity": None if history_rows_per_entity is None else str(history_rows_per_entity),
        "_ipv6": "true" if ipv6 else None,
    }
    return {name: value for name, value in values.items() if value is not None}


def parse_every(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[int | None, float | None]:
    """Parse an interval to batches and seconds, one of them None, from 500, 90s or 10m."""
    found = re.fullmatch(r"([1-9]\d{0,8})([sm]?)", value.strip())
    if not found:
        raise click.BadParameter(f"'{value}' is neither a number of batches (500) nor a time (90s, 10m).")
    number, unit = int(found[1]), found[2]
    return (None, number * {"s": 1.0, "m": 60.0}[unit]) if unit else (number, None)

"""What ``ipinsights evaluate`` does: reads, judges, shows, and writes the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from ipinsights.data.arrow import mask
from ipinsights.data.channels import channel_files
from ipinsights.data.pairs import Pairs, read_blocks, read_pairs
from ipinsights.errors import ClientError
from ipinsights.evaluation.evaluation_tables import report
from ipinsights.evaluation.html_report import make_folder, write_pages
from ipinsights.evaluation.protocol import evaluate
from ipinsights.evaluation.results import TestSet
from ipinsights.inference.predictor import Predictor
from ipinsights.model import artifact
from ipinsights.runs.reader import read_run
from ipinsights.synthetic.ip_ranges import load_ranges

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from ipinsights.data.pairs import Block

__all__ = ["evaluate_model", "read_test"]

_LABEL_OR_TIME = r"^(?:[01]|\d{4}-\d{2}-\d{2}T\S*)$"


def evaluate_model(
    *,
    model_dir: Path,
    train: Path,
    test: Path,
    calibration: Path | None = None,
    asn_table: Path | None = None,
    log: Path | None = None,
    report_dir: Path | None = None,
    seed: int = 0,
    echo: Callable[[str], object] = print,
) -> None:
    """Judge a model, show how it does, and write the report where one is wanted.

    Raises
    ------
    ClientError
        Something cannot be read or written, or there are too few events.
    """
    if report_dir is not None:
        make_folder(report_dir)  # before the work is done
    model, training = artifact.load(model_dir), None if log is None else read_run(log)
    predictor = Predictor(model)
    train_pairs = read_pairs(train, progress=True)
    evaluation = evaluate(
        predictor,
        train_pairs,
        read_test(test),
        calibration=None if calibration is None else read_pairs(calibration, progress=True),
        ranges=None if asn_table is None else load_ranges(asn_table),
        seed=seed,
    )
    echo(report(evaluation).text())
    if report_dir is not None:
        write_pages(report_dir, evaluation, model=model, predictor=predictor, train=train_pairs, training=training)
        echo(f"Written: {report_dir / 'report.html'}, report.json and model_card.md.")


def read_test(path: Path) -> TestSet:
    """Read the events to test on: ``entity,ip``, perhaps with a label, 1 for an attack, or with a time (ISO 8601).

    Raises
    ------
    ClientError
        Something cannot be read, a label is neither 0 nor 1 nor a time, or there is no ordinary event.
    """
    parts = [
        (Pairs(block.entities, block.ips), _is_attack(block, file, first_row))
        for file in channel_files(path)
        for first_row, block in _numbered(file)
    ]
    is_attack = np.concatenate([attack for _, attack in parts]) if parts else np.zeros(0, dtype=bool)
    if is_attack.all():
        raise ClientError(
            f"{path} holds no ordinary events: give rows of entity,ip, or of entity,ip,label with label 0."
        )
    pairs = Pairs(
        np.concatenate([pairs.entities for pairs, _ in parts]), np.concatenate([pairs.ips for pairs, _ in parts])
    )
    attacks = Pairs(pairs.entities[is_attack], pairs.ips[is_attack]) if is_attack.any() else None
    return TestSet(Pairs(pairs.entities[~is_attack], pairs.ips[~is_attack]), attacks)


def _numbered(file: Path) -> list[tuple[int, Block]]:
    """Give the blocks of a file, each with the number of its first row, from 1."""
    numbered, first_row = [], 1
    for block in read_blocks(file, num_columns=None, progress=True):
        numbered.append((first_row, block))
        first_row += len(block)
    return numbered


def _is_attack(block: Block, file: Path, first_row: int) -> NDArray[np.bool_]:
    if len(block.columns) == 2:  # noqa: PLR2004 - no labels
        return np.zeros(len(block), dtype=bool)
    if len(block.columns) > 3:  # noqa: PLR2004
        raise ClientError(f"{file} has {len(block.columns)} columns: a test has entity,ip or entity,ip,label.")
    wrong = np.flatnonzero(~mask(pc.match_substring_regex(block.columns[2], _LABEL_OR_TIME)))
    if len(wrong):
        raise ClientError(
            f"{file}: the label of row {first_row + wrong[0]} must be 0, or 1 for an attack. "
            f"Got '{block.columns[2][int(wrong[0])]}'."
        )
    return mask(pc.equal(block.columns[2], "1"))

"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

__all__ = ["FILE", "FOLDER", "INPUT", "MODEL_DIR", "PATH", "SEED"]

PATH = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)
INPUT = click.Path(path_type=Path, allow_dash=True)

SEED = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of every random draw.")
MODEL_DIR = click.option("--model-dir", required=True, type=PATH, help="Model directory, model_algo-1 or model.tar.gz.")

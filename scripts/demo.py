"""Demonstrate ipinsights in a few minutes: simulate, train, validate, score and plot.

Run by ``make demo``. Every step is a command that is printed before it runs, to be tried again by hand.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import matplotlib as mpl
import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

if TYPE_CHECKING:
    from numpy.typing import NDArray

TRAIN_OPTIONS = (
    "-H num_entity_vectors=4000 -H vector_dim=128 -H epochs=5 -H learning_rate=0.01 "
    "-H mini_batch_size=1000 -H random_negative_sampling_rate=5"
)


@click.command()
@click.option("--users", default=2000, show_default=True, help="Users to simulate.")
@click.option("-o", "--output-dir", default="demo", type=click.Path(path_type=Path), show_default=True)
def main(users: int, output_dir: Path) -> None:
    """Simulate, train, score and draw."""
    run(f"simulate --users {users} --output-dir {output_dir} --no-access-log")
    run(
        f"train --train {output_dir}/train.csv --validation {output_dir}/validation.csv "
        f"--model-dir {output_dir}/model {TRAIN_OPTIONS} --quiet"
    )
    run(f"score {output_dir}/test.csv --model-dir {output_dir}/model --keep-columns --output {output_dir}/scores.csv")
    scores = pd.read_csv(output_dir / "scores.csv")
    normal, attacks = (scores.loc[scores["column_3"] == label, "dot_product"].to_numpy() for label in (0, 1))
    print_table(normal, attacks)
    draw(normal, attacks, output_dir / "scores.png")
    click.echo(f"\nThe scores are drawn in {output_dir}/scores.png. Try one login of your own next:\n")
    click.echo(f"  echo 'user_1,192.0.2.1' | .venv/bin/ipinsights score - --model-dir {output_dir}/model")


def run(arguments: str) -> None:
    """Print a command of ours and run it; its failure is ours."""
    click.secho(f"\n$ ipinsights {arguments}", bold=True)
    finished = subprocess.run([sys.executable, "-m", "ipinsights", *shlex.split(arguments)], check=False)  # noqa: S603
    if finished.returncode:
        sys.exit(finished.returncode)


def print_table(normal: NDArray[np.float64], attacks: NDArray[np.float64]) -> None:
    """Print how well the scores tell attacks (low) from normal logins (high)."""
    labels = np.repeat([0, 1], [len(normal), len(attacks)])
    auc = roc_auc_score(labels, -np.concatenate([normal, attacks]))
    strict = np.quantile(normal, 0.01)
    rows = {
        "normal logins / attacks": f"{len(normal):,} / {len(attacks):,}",
        "ROC AUC": f"{auc:.4f}",
        "attacks below score 0 (recall)": f"{(attacks < 0).mean():.1%}",
        "normal logins below score 0 (false positives)": f"{(normal < 0).mean():.1%}",
        "attacks found at 1% false positives": f"{(attacks < strict).mean():.1%}",
    }
    click.echo()
    for name, value in rows.items():
        click.echo(f"  {name:<46} {value}")


def draw(normal: NDArray[np.float64], attacks: NDArray[np.float64], path: Path) -> None:
    """Save the histogram of both kinds of scores."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    least, most = np.quantile(np.concatenate([normal, attacks]), [0.001, 0.999])
    bins = np.linspace(least, most, 80).tolist()
    axes.hist(normal, bins, alpha=0.7, label="normal logins", color="#0072B2")
    axes.hist(attacks, bins, alpha=0.7, label="attacks", color="#D55E00")
    axes.axvline(0, color="black", linewidth=1, linestyle="--")
    axes.set(xlabel="dot product (higher = more normal)", ylabel="logins", title="Scores of a simulated attack test")
    axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()

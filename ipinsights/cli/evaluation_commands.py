"""Commands that judge models and compare runs."""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from ipinsights.cli.help_text import CommandWithExamples
from ipinsights.cli.options import (
    ENTITY,
    FILE,
    INPUT,
    IP,
    MODEL_DIR,
    OUTPUT_FILE,
    OUTPUT_FOLDER,
    PATH,
    SCORER,
    SEED,
    THRESHOLD,
    pair_file,
)
from ipinsights.cli.output import echo, echo_error, echo_hint, neighbour, terminal_width

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["COMMANDS"]


@click.command(cls=CommandWithExamples)
@click.argument("logs", nargs=-1, required=True, type=INPUT)
@click.option(
    "--tolerance",
    "tolerances",
    multiple=True,
    metavar="METRIC=VALUE",
    help="Largest loss that is not worse: an amount (auc=0.005) or a share (throughput=20%); repeatable.",
)
@click.option("--ignore", "ignored", multiple=True, metavar="METRIC", help="Show a metric and do not judge it.")
@click.option("--markdown", type=OUTPUT_FILE, help="Write the report as Markdown too.")
@click.option("--json-file", type=OUTPUT_FILE, help="Write everything as JSON too.")
@click.option("--json", "old_json", type=OUTPUT_FILE, hidden=True)
@click.option("--plot", type=OUTPUT_FILE, help="Draw the metrics as PNG; needs the extra `report`.")
def compare(logs: tuple[Path, ...], json_file: Path | None, old_json: Path | None, **options: Any) -> None:
    """Compare training logs, ours or SageMaker's.

    The second log is judged by the first: exit code 0 if it is not worse, 1 if it is, 2 if there is nothing to judge.
    Given a folder, its runs are listed.
    """
    from ipinsights.runs.compare import compare_logs

    if old_json is not None:
        echo_error("warning: --json is now --json-file. The old name is removed in version 0.2.")
    sys.exit(1 if compare_logs(logs, json=json_file or old_json, **options, width=terminal_width(), echo=echo) else 0)


@click.command(cls=CommandWithExamples)
@MODEL_DIR
@click.option("--train", required=True, type=PATH, help="What the model was trained on: CSV or folder.")
@click.option(
    "--test", required=True, type=PATH, help="Later events; a third column may hold labels (1 is an attack) or times."
)
@click.option("--calibration", type=PATH, help="Ordinary events between the two, for thresholds and their alerts.")
@click.option("--asn-table", type=FILE, help="Announced ranges (iptoasn.com), for attackers who come from them.")
@click.option("--log", type=FILE, help="What training logged (ours or SageMaker's), for the report's curves.")
@click.option("--report", "report_dir", type=OUTPUT_FOLDER, help="Where report.html, report.json and model_card.md go.")
@SCORER
@ENTITY
@IP
@SEED
def evaluate(**options: Any) -> None:
    """Measure how many attacks a model catches, next to counting.

    Attacks are simulated, or come from the third column of the test. Values have 95 % intervals.
    """
    from ipinsights.etl.records import KeptFields
    from ipinsights.evaluation.evaluate import evaluate_model

    names = {name: options.pop(name) for name in ("entity_names", "ip_names")}
    with (
        pair_file(options["train"], **names) as train,
        pair_file(options["calibration"], **names) as calibration,
        pair_file(options["test"], **names, kept=KeptFields(("label",))) as test,
    ):
        files = {"train": train, "calibration": calibration, "test": test}
        model = evaluate_model(**options | files, width=terminal_width(), echo=echo)
    if model.history is None:
        echo_hint(
            "A model with a history counts, too. It holds personal data.\n"
            "Next: train with --keep-history, and evaluate with --scorer history"
        )


@click.command(cls=CommandWithExamples)
@MODEL_DIR
@click.option("--calibration", required=True, type=PATH, help="Ordinary events after those of training: CSV or folder.")
@click.option("--fpr", required=True, type=float, help="Share of ordinary events that may be flagged, such as 0.01.")
@click.option("--allow", multiple=True, metavar="NETWORK", help="Never flag this network (10.0.0.0/8); repeatable.")
@SCORER
@click.option("-o", "--output", type=OUTPUT_FILE, help="Where it is stored; MODEL_DIR/threshold.json when not given.")
@ENTITY
@IP
def threshold(
    model_dir: Path,
    calibration: Path,
    fpr: float,
    allow: tuple[str, ...],
    scorer: str,
    output: Path | None,
    entity_names: tuple[str, ...],
    ip_names: tuple[str, ...],
) -> None:
    """Choose the score below which an event is suspicious.

    The threshold comes with a guarantee and is stored next to the model.
    """
    from ipinsights.data.both_families import read_events
    from ipinsights.inference.scorers import load_scorer
    from ipinsights.inference.threshold import Threshold
    from ipinsights.inference.threshold_files import default_path

    path, loaded = output or default_path(model_dir, scorer), load_scorer(model_dir, scorer)
    with pair_file(calibration, entity_names=entity_names, ip_names=ip_names) as file:
        pairs = read_events(file, ipv6=loaded.accepts_ipv6)
    chosen = Threshold.calibrate(loaded, pairs, fpr=fpr, allow=allow)
    chosen.save(path)
    echo(f"{chosen.describe()}\nStored in {path}.")
    command = ["ipinsights", "score", neighbour(calibration, "test.csv"), "--model-dir", shlex.quote(str(model_dir))]
    options = [
        *(("--entity", name) for name in entity_names), *(("--ip", name) for name in ip_names),
        *([] if output is None else [("--threshold", str(output))]),
        *([] if scorer == "dot_product" else [("--scorer", scorer)]),
    ]  # fmt: skip
    command += [shlex.join(option) for option in options]
    echo_hint(f"Next: {' '.join(command)} --only-suspicious --keep-columns")


@click.command(cls=CommandWithExamples)
@click.argument("entity")
@click.argument("ip", metavar="IP")
@MODEL_DIR
@click.option("--train", type=PATH, help="What the model was trained on: CSV or folder. Not with --scorer history.")
@THRESHOLD
@SCORER
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(
    entity: str,
    ip: str,
    model_dir: Path,
    train: Path | None,
    threshold_file: Path | None,
    scorer: str,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Explain why an event is unusual for its entity.

    Shown are the usual networks, the nearest of them, and who else uses the address.
    With --scorer history, which needs no --train: what the score is made of, and which attacker explains the event.
    """
    if (train is None) == (scorer == "dot_product"):
        raise click.UsageError("Give --train, or --scorer history for a model that keeps its history.")
    from ipinsights.inference import explain as explanation
    from ipinsights.inference.scorers import load_scorer
    from ipinsights.inference.threshold_files import find_threshold

    threshold = find_threshold(model_dir, threshold_file, scorer)
    model = load_scorer(model_dir, scorer)
    found = explanation.explain(model, train, entity, ip, threshold=threshold, progress=True)
    echo(json.dumps(found.to_json(), indent=2) if as_json else found.text())


COMMANDS: tuple[click.Command, ...] = (compare, evaluate, threshold, explain)

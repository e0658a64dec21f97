"""The pages of an evaluation: report.html, which needs nothing but itself, report.json and model_card.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipinsights
from ipinsights.data.files import write_file
from ipinsights.errors import ClientError
from ipinsights.evaluation.evaluation_plots import draw_all
from ipinsights.evaluation.evaluation_tables import full_sections, headline, report
from ipinsights.evaluation.results import HEADLINE_METRIC
from ipinsights.inference.predictor import Predictor
from ipinsights.reporting.plain_text import html_text, markdown_text
from ipinsights.reporting.plot_style import new_figure
from ipinsights.reporting.report import json_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ipinsights.data.pairs import Pairs
    from ipinsights.evaluation.results import Evaluation
    from ipinsights.model.artifact import Artifact
    from ipinsights.reporting.report import Section
    from ipinsights.runs.run import RunLog

__all__ = ["make_folder", "write_pages"]

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p.headline { font-size: 1.15rem; border-left: 4px solid #0072b2; padding-left: 1rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .25rem .6rem; text-align: right; vertical-align: bottom; border-bottom: 1px solid #ddd; }
td, th:first-child { white-space: nowrap; } tr:first-child + tr { font-weight: 600; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: #fff; }
figure { margin: 1rem 0; overflow-x: auto; } figure svg { max-width: 100%; min-width: 40rem; height: auto; }
figcaption, .remarks { color: #444; }
"""


def make_folder(directory: Path) -> None:
    """Make the folder of a report if it does not exist, and refuse early what would be refused late.

    Raises
    ------
    ClientError
        It cannot be made, or matplotlib is not installed.
    """
    new_figure()
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ClientError(f"{directory} cannot be made: {error.strerror}.") from None


def write_pages(
    directory: Path,
    evaluations: Sequence[Evaluation],
    *,
    model: Artifact,
    train: Pairs,
    training: RunLog | None = None,
) -> None:
    """Write the report into a folder.

    Parameters
    ----------
    directory
        Where to.
    evaluations
        What was found, by address family, IPv4 first.
    model, train
        What was evaluated, and the IPv4 rows that it was trained on.
    training
        What its training logged, for the curves of each epoch.

    Raises
    ------
    ClientError
        It cannot be written, or matplotlib is not installed.
    """
    first, *others = evaluations
    has_ipv4 = first.family == "IPv4"
    figures = draw_all(first, predictor=Predictor(model), train=train, training=training) if has_ipv4 else {}
    content = {
        "headline": headline(first),
        "model": dict(model.meta),
        **_content(first),
        **{other.family: _content(other) for other in others},
    }
    write_file(directory / "report.json", json_text(content))
    write_file(directory / "report.html", _html(first, others, figures))
    write_file(directory / "model_card.md", _card(first, others, model))


def _content(evaluation: Evaluation) -> dict[str, Any]:
    families = evaluation.families
    return {
        "headline": headline(evaluation),
        "facts": evaluation.facts,
        "slices": evaluation.slices,
        "detection": evaluation.detection.to_dict("records"),
        "differences_to_best_baseline": {
            "metric": HEADLINE_METRIC,
            "rows": evaluation.differences.to_dict("records"),
        },
        "alerts": evaluation.alerts.to_dict("records"),
        **({} if families is None else {"attackers_from_the_other_family": families.to_dict("records")}),
    }


def _html(evaluation: Evaluation, others: Sequence[Evaluation], figures: Mapping[str, tuple[str, str]]) -> str:
    """Give the page; of each figure its title, its caption and its SVG."""
    told = report(evaluation)
    parts = [_section(section) for section in told.sections]
    for other in others:
        further = report(other)
        parts += [f"<h1>{other.family}</h1><p>{html_text(further.headline)}</p>", *map(_section, further.sections)]
    drawn = [
        f"<h2>{html_text(title)}</h2><figure>{svg}<figcaption>{html_text(caption)}</figcaption></figure>"
        for title, (caption, svg) in figures.items()
    ]
    details = "".join(_section(section) for section in full_sections(evaluation))
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>IP Insights: evaluation</title><style>{_STYLE}</style></head><body>"
        f'<h1>IP Insights: evaluation</h1><p class="headline">{html_text(told.headline)}</p>'
        f"{''.join(parts)}{''.join(drawn)}"
        f"<h2>Every metric</h2><details><summary>by attacker and slice</summary>{details}</details>"
        f"<p>Made by ipinsights {ipinsights.__version__}.</p></body></html>\n"
    )


def _section(section: Section) -> str:
    table = ""
    if section.table is not None:
        head = "".join(f"<th>{html_text(name)}</th>" for name in section.table.columns)
        rows = "".join(_row(row) for row in section.table.astype(str).to_numpy().tolist())
        table = f'<div class="wide"><table><tr>{head}</tr>{rows}</table></div>'
    remarks = "<br>".join(map(html_text, section.remarks))
    return f'<h2>{html_text(section.title)}</h2>{table}<p class="remarks">{remarks}</p>'


def _row(cells: list[str]) -> str:
    return f"<tr>{''.join(f'<td>{html_text(cell)}</td>' for cell in cells)}</tr>"


def _card(evaluation: Evaluation, others: Sequence[Evaluation], model: Artifact) -> str:
    """Give the model card. Source of its headings: Mitchell et al., Model Cards for Model Reporting, 2019."""
    told = report(evaluation).markdown().partition("\n")[2].replace("\n## ", "\n### ")
    told += "".join(f"\n## {other.family}\n{report(other).markdown().partition(chr(10))[2]}" for other in others)
    training = model.meta.get("training", {})
    noted = {markdown_text(name): markdown_text(value) for name, value in training.items() if name != "versions"}
    facts = "\n".join(f"- {name}: {value}" for name, value in noted.items())
    table = "\n".join(f"| {name} | {value} |" for name, value in model.hyperparameters.to_strings().items())
    return f"""# Model card: IP Insights

{headline(evaluation)}

## What it is

A model that scores pairs of an entity (a user, an account) and an IPv4 address by how normal the address is for the
entity: the dot product of two embeddings. **Higher is more normal.** The score is no probability of an attack.

Hyperparameters:

| name | value |
| --- | --- |
{table}

Training:

{facts or "- nothing was noted"}

{_history(model)}## What it is for

Ranking events for review, or asking for a second factor. It is not meant to lock anybody out by itself, nor to judge a
person by where they are.

## What it cannot do

- Entities that training never saw get a score that means nothing; it is close to 0.
- Entities whose hashes fall on the same row of the table share one embedding.
- It knows nothing of time: one address after another, across the world within minutes, is not odd to it.
- It does not know IPv6, and cannot tell who else is behind an address (carrier-grade NAT, VPN, a proxy).
- It was tested on simulated attackers, described below, and on ordinary events that were taken to be harmless.
- What is normal changes. Train anew regularly, and watch the number of alerts.

## How well it does
{told}"""


def _history(model: Artifact) -> str:
    """Return the model card's section about the history, empty for a model without one."""
    if model.history is None:
        return ""
    return f"""## What it keeps of people

**The model holds personal data.** Its history has who was where: {model.history.num_rows:,} pairs of a hash of
{len(model.history.entities):,} entities and an address in clear, from {model.history.num_events:,} events. Whoever has
the model can find out where an entity was. `ipinsights strip` removes the history, `ipinsights update --forget` a
single entity.

"""

"""Files of an evaluation report: self-contained report.html, report.json and model_card.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipinsights
from ipinsights.data.files import make_folder, write_file
from ipinsights.errors import missing_package_reported
from ipinsights.evaluation.evaluation_plots import draw_all
from ipinsights.evaluation.evaluation_tables import finding, full_sections, headline, report
from ipinsights.evaluation.results import HEADLINE_METRIC
from ipinsights.inference.predictor import Predictor
from ipinsights.reporting.plain_text import markdown_text, printable
from ipinsights.reporting.plot_style import new_figure
from ipinsights.reporting.report import json_text, section_markdown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from jinja2 import Environment

    from ipinsights.data.pairs import Pairs
    from ipinsights.evaluation.results import Evaluation
    from ipinsights.evaluation.suspicious_events import SuspiciousEvent
    from ipinsights.model.artifact import Artifact
    from ipinsights.reporting.report import Report
    from ipinsights.runs.run import RunLog

__all__ = ["prepare_pages", "write_pages"]


def prepare_pages(directory: Path) -> None:
    """Make the folder of a report, and check that the packages of the report are installed."""
    _templates()
    new_figure()
    make_folder(directory)


def write_pages(
    directory: Path,
    evaluations: Sequence[Evaluation],
    *,
    model: Artifact,
    train: Pairs,
    training: RunLog | None = None,
    suspicious: Sequence[SuspiciousEvent] = (),
) -> None:
    """Write the report of evaluations by address family, IPv4 first, into a folder.

    ``train`` are the model's IPv4 training rows. The log of its training, if given, adds curves of each epoch.
    ``suspicious`` are explained by name in ``report.html``, and in no other file.
    """
    first, *others = evaluations
    has_ipv4 = first.family == "IPv4"
    figures = draw_all(first, predictor=Predictor(model), train=train, training=training) if has_ipv4 else {}
    content = {
        "finding": finding(first),
        "headline": headline(first),
        "model": dict(model.meta),
        **_content(first),
        **{other.family: _content(other) for other in others},
    }
    write_file(directory / "report.json", json_text(content))
    write_file(directory / "report.html", _page(first, others, figures, suspicious))
    write_file(directory / "model_card.md", _card(first, others, model))


def _content(evaluation: Evaluation) -> dict[str, Any]:
    families = evaluation.families
    return {
        "finding": finding(evaluation),
        "headline": headline(evaluation),
        "facts": evaluation.facts,
        "slices": evaluation.slices,
        "detection": evaluation.detection.to_dict("records"),
        "differences_to_best_baseline": {"metric": HEADLINE_METRIC, "rows": evaluation.differences.to_dict("records")},
        "alerts": evaluation.alerts.to_dict("records"),
        **({} if families is None else {"attackers_from_the_other_family": families.to_dict("records")}),
    }


def _page(
    first: Evaluation,
    others: Sequence[Evaluation],
    figures: Mapping[str, tuple[str, str]],
    suspicious: Sequence[SuspiciousEvent],
) -> str:
    """Return the text of ``report.html``."""
    return _rendered(
        "report.html.j2",
        report=report(first),
        main_scorer=first.main_scorer,
        others={other.family: report(other) for other in others},
        suspicious=suspicious,
        figures=figures,
        details=full_sections(first),
        version=ipinsights.__version__,
    )


def _card(first: Evaluation, others: Sequence[Evaluation], model: Artifact) -> str:
    """Return the text of ``model_card.md``."""
    facts = model.meta.get("training", {})
    training = {name: value for name, value in facts.items() if name != "versions" and value is not None}
    # Source of the headings: Mitchell et al., Model Cards for Model Reporting, 2019.
    return _rendered(
        "model_card.md.j2",
        report=report(first),
        others={other.family: _nested(report(other)) for other in others},
        hyperparameters=model.hyperparameters.to_strings(),
        history=model.history,
        training=training,
        sections=_nested(report(first)),
    )


def _rendered(template: str, **values: Any) -> str:
    return _templates().get_template(template).render(**values)


def _nested(told: Report) -> str:
    """Return the sections of a report as Markdown, one level below their usual one."""
    return "\n\n".join(f"#{section_markdown(section)}" for section in told.sections)


def _templates() -> Environment:
    with missing_package_reported("Reports need jinja2", "jinja2 matplotlib"):
        from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
    environment = Environment(
        loader=PackageLoader("ipinsights.evaluation"),
        autoescape=select_autoescape(enabled_extensions=("html.j2",)),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["shown"] = lambda value: printable(str(value))
    environment.filters["markdown"] = markdown_text
    environment.filters["number"] = "{:,}".format
    return environment

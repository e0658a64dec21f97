"""Judge the logs of many training runs by one baseline, for continuous integration.

Exit code 0 if no candidate is worse, 1 if one is, 2 if one cannot be read (the others are judged all the same).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import click
import pandas as pd

from ipinsights.data.files import write_file
from ipinsights.errors import ClientError
from ipinsights.reporting.report import Report, Section, number, signed
from ipinsights.runs.compare import check_metrics
from ipinsights.runs.comparison_report import judgement_table, verdict_line
from ipinsights.runs.criteria import METRICS, parse_tolerances
from ipinsights.runs.reader import read_run
from ipinsights.runs.run_comparison import RunComparison, compare

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ipinsights.runs.run import RunLog
    from ipinsights.runs.run_comparison import Judgement

PATH = click.Path(path_type=Path)
# What XML 1.0 cannot hold at all, not even escaped.
_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@click.command(help=__doc__)
@click.argument("baseline", type=PATH)
@click.argument("candidates", type=PATH, nargs=-1, required=True)
@click.option(
    "--tolerance",
    "tolerances",
    multiple=True,
    metavar="METRIC=VALUE",
    help="How much worse is not worse yet, as `ipinsights compare` takes it.",
)
@click.option("--ignore", "ignored", multiple=True, metavar="METRIC", help="Show a metric and do not judge it.")
@click.option("--markdown", type=PATH, help="Write a summary as Markdown.")
@click.option("--junit", type=PATH, help="Write the judgements as JUnit XML.")
def main(
    baseline: Path,
    candidates: tuple[Path, ...],
    tolerances: tuple[str, ...],
    ignored: tuple[str, ...],
    markdown: Path | None,
    junit: Path | None,
) -> None:
    """Judge every candidate, print and write what is wanted."""
    check_metrics(ignored)
    allowed, reference = parse_tolerances(tolerances), read_run(baseline)
    results: dict[str, RunComparison | str] = {}
    for path in candidates:
        try:
            results[str(path)] = compare(reference, read_run(path), tolerances=allowed, ignored=ignored)
        except ClientError as error:
            results[str(path)] = str(error)
    report = summary_report(reference, results)
    click.echo(report.text())
    if markdown:
        write_file(markdown, report.markdown())
    if junit:
        write_file(junit, junit_xml(results))
    sys.exit(exit_code(list(results.values())))


def exit_code(results: list[RunComparison | str]) -> int:
    """Return 2 if a log could not be read, else 1 if a run is worse, else 0."""
    if any(isinstance(result, str) for result in results):
        return 2
    return int(any(result.regressions for result in results if isinstance(result, RunComparison)))


def summary_report(baseline: RunLog, results: Mapping[str, RunComparison | str]) -> Report:
    """Return a report with a row per candidate.

    A text in place of a comparison is the reason why the candidate was not compared.
    """
    sections = [Section("Candidates", pd.DataFrame([_summary_row(name, result) for name, result in results.items()]))]
    unreadable = tuple(result for result in results.values() if isinstance(result, str))
    worse = [result for result in results.values() if isinstance(result, RunComparison) and result.regressions]
    sections += [Section(verdict_line(result), judgement_table(result.judgements)) for result in worse]
    if unreadable:
        sections.append(Section("Not read", remarks=unreadable))
    counts = f"{len(results)} compared with {baseline.name}, {len(worse)} worse, {len(unreadable)} not read."
    return Report(("REGRESSION" if worse else "NOT READ" if unreadable else "OK") + f": {counts}", tuple(sections))


def _summary_row(name: str, result: RunComparison | str) -> dict[str, str]:
    if isinstance(result, str):
        return {"candidate": name, "verdict": "not read", **{metric.name: "-" for metric in METRICS}}
    values = {
        judgement.name: f"{number(judgement.candidate, judgement.digits)} "
        f"({signed(judgement.difference, judgement.digits)})"
        for judgement in result.judgements
    }
    verdict = "WORSE" if result.regressions else "ok"
    return {"candidate": name, "verdict": verdict, **{metric.name: values[metric.name] for metric in METRICS}}


def junit_xml(comparisons: Mapping[str, RunComparison | str]) -> bytes:
    """Return JUnit XML with a suite per candidate and a case per judgement.

    A text in place of a comparison is the reason why the candidate was not compared.

    A regression is a failure, an unreadable log an error, and what is not judged is skipped.
    """
    root = ET.Element("testsuites", name="ipinsights compare_runs")
    for name, comparison in comparisons.items():
        suite = ET.SubElement(root, "testsuite", name=_text(name))
        if isinstance(comparison, str):
            case = ET.SubElement(suite, "testcase", classname=_text(name), name="log is readable")
            ET.SubElement(case, "error", message=_text(comparison))
        else:
            for judgement in comparison.judgements:
                _add_case(suite, name, judgement)
        for attribute, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"),
                               ("skipped", "skipped")):  # fmt: skip
            suite.set(attribute, str(len(list(suite.iter(tag)))))
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _add_case(suite: ET.Element, name: str, judgement: Judgement) -> None:
    case = ET.SubElement(suite, "testcase", classname=_text(name), name=judgement.name)
    if judgement.verdict.is_regression:
        ET.SubElement(case, "failure", message=_text(_sentence(judgement)), type=judgement.verdict.name)
    elif judgement.allowed is None and judgement.verdict.name == "NOT_JUDGED":
        ET.SubElement(case, "skipped", message=_text(_sentence(judgement)))


def _sentence(judgement: Judgement) -> str:
    numbers = f"baseline {judgement.baseline}, candidate {judgement.candidate}"
    allowed = "" if judgement.allowed is None else f", may be worse by {judgement.allowed:g}"
    return f"{judgement.name} {judgement.verdict.value}: {numbers}{allowed}" + (
        f" ({judgement.reason})" if judgement.reason else ""
    )


def _text(text: str) -> str:
    return _FORBIDDEN.sub("?", text)


if __name__ == "__main__":
    try:
        main()
    except ClientError as error:
        click.echo(error.report, err=True)
        sys.exit(error.exit_code)

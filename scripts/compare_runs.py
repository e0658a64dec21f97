"""Judge the logs of many training runs by one baseline, for continuous integration.

Exit code 0 if no candidate is worse, 1 if one is, 2 if one cannot be read (the others are judged all the same).
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ipinsights.data.files import write_file
from ipinsights.errors import ClientError
from ipinsights.runs.compare import check_metrics
from ipinsights.runs.comparison_report import summary_report
from ipinsights.runs.criteria import parse_tolerances
from ipinsights.runs.junit import junit_xml
from ipinsights.runs.reader import read_run
from ipinsights.runs.run_comparison import RunComparison, compare

PATH = click.Path(path_type=Path)


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


if __name__ == "__main__":
    try:
        main()
    except ClientError as error:
        click.echo(error.report, err=True)
        sys.exit(error.exit_code)

"""Commands that make or read traffic: ``simulate``, ``extract``, ``split``."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from ipinsights.cli.help_text import CommandWithExamples
from ipinsights.cli.option_names import with_option_names
from ipinsights.cli.options import FILE, INPUT, OUTPUT_FOLDER, OUTPUT_TEXT, PATH, SEED
from ipinsights.cli.output import echo_error, echo_hint

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["COMMANDS"]


@click.command(cls=CommandWithExamples)
@click.option("--users", default=10_000, show_default=True, help="Users to simulate, at least 2.")
@click.option("--days", default=10, show_default=True, help="Days to simulate, at least 3.")
@click.option("-o", "--output-dir", required=True, type=OUTPUT_FOLDER, help="Where the files go.")
@click.option("--asn-table", type=FILE, help="Real IP ranges in iptoasn.com's format; synthetic ones when not given.")
@click.option("--no-access-log", is_flag=True, help="Write no Apache access log.")
@click.option("--access-log", "old_access_log", is_flag=True, hidden=True)
@SEED
def simulate(
    users: int,
    days: int,
    output_dir: Path,
    asn_table: Path | None,
    no_access_log: bool,  # noqa: FBT001
    old_access_log: bool,  # noqa: FBT001
    seed: int,
) -> None:
    """Simulate logins of users with a home and a work network.

    The recipe is the AWS tutorial's.

    Writes train.csv, validation.csv (entity,ip), test.csv (entity,ip,label with 1 for an attack) and access.log.
    """
    import numpy as np

    from ipinsights.synthetic import logins
    from ipinsights.synthetic.ip_ranges import load_ranges, synthetic_ranges
    from ipinsights.synthetic.traffic_files import write_traffic

    if old_access_log:
        echo_error(
            "warning: --access-log is removed in version 0.2. The log is written unless --no-access-log is given."
        )
    rng = np.random.default_rng(seed)
    ranges = load_ranges(asn_table) if asn_table else synthetic_ranges(rng)
    events = logins.simulate(num_users=users, num_days=days, ranges=ranges, rng=rng)
    test = logins.attack_test(events, ranges, rng=rng)
    counts = write_traffic(output_dir, events, test, rng=rng, access_log=not no_access_log)
    echo_error(
        f"{output_dir}: {counts.train} rows to train, {counts.validation} to validate, {counts.test} to test"
        + (f", {counts.access_log} lines of access log." if counts.access_log else ".")
    )


_FORMATS = [
    "apache", "nginx", "sshd", "cloudtrail", "vpcflow", "csv", "jsonl", "parquet", "logfmt", "alb", "auth0", "elb",
    "entra", "github", "google-workspace", "keycloak", "m365", "nextcloud", "okta", "s3",
]  # fmt: skip


_ROWS_SHOWN = 5
# Filters that keep log-ins in which the entity was proven.
_SUCCESSES = {
    "apache": "--status 200,302",
    "nginx": "--status 200,302",
    "sshd": "--where event=Accepted",
    "cloudtrail": "--where responseElements.ConsoleLogin=Success",
    "auth0": "--where type=s",
    "entra": "--where status.errorCode=0",
    "google-workspace": "--where events[0].name=login_success",
    "keycloak": "--where type=LOGIN",
    "m365": "--where Operation=UserLoggedIn",
    "okta": "--where outcome.result=SUCCESS",
}


def _names_of_fields(_ctx: click.Context, _param: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Parse names of fields, also as flow logs are configured: ``${srcaddr} ${start}``."""
    return tuple((value or "").replace("${", " ").replace("}", " ").replace(",", " ").split())


@click.command(cls=CommandWithExamples)
@click.argument("sources", nargs=-1, required=True, metavar="LOG...", type=INPUT)
@click.option(
    "--format",
    "log_format",
    required=True,
    type=click.Choice(_FORMATS),
    metavar="FORMAT",
    help=f"Log format: {', '.join(_FORMATS)}.",
)
@click.option("-o", "--output", type=OUTPUT_TEXT, help="Where the rows go; standard output when not given.")
@click.option("--path", metavar="REGEX", help="Only requests with a match in their path, which is without the query.")
@click.option("--status", metavar="CODE,...", default="", help="Only responses of these status codes.")
@click.option("--where", metavar="FIELD=VALUE", multiple=True, help="Only records with this value; all must hold.")
@click.option(
    "--entity",
    metavar="FIELD",
    multiple=True,
    help="Field with the entity, or a path to it. Repeatable: the next is for records without the one before.",
)
@click.option("--ip", metavar="FIELD", multiple=True, help="Field with the address, likewise.")
@click.option("--timestamp", metavar="FIELD", multiple=True, help="Field with the time, likewise.")
@click.option(
    "--time-format", metavar="FORMAT", help="Format of times that are not recognised, as for strptime: %d/%m/%Y %H:%M."
)
@click.option(
    "--log-format",
    "line_format",
    metavar="FORMAT",
    help="Format of the lines of nginx or Apache, as in its configuration.",
)
@click.option(
    "--fields",
    callback=_names_of_fields,
    metavar="NAMES",
    help="Names of the fields of flow logs or CSV without a header, by blanks or commas.",
)
@click.option(
    "--skip-lines", type=click.IntRange(min=0), default=0, help="Number of lines to skip before the header of CSV."
)
@click.option("--no-timestamps", is_flag=True, help="Write entity,ip alone, to train on at once; no time is needed.")
@click.option(
    "--timezone", default="UTC", show_default=True, help="Time zone of times without an offset, such as Europe/Berlin."
)
@click.option(
    "--encoding", metavar="NAME", help="Encoding of text that is neither UTF-8, UTF-16 nor UTF-32, such as cp1252."
)
@click.option("--ipv6", is_flag=True, help="Keep IPv6 addresses, for train --keep-history --ipv6.")
@click.option("--no-header", is_flag=True, help="The first row of CSV is a record; columns are called 1, 2, 3.")
@click.option("--dry-run", is_flag=True, help="Show the first five rows and the counts, and write no file.")
@click.option(
    "--year", type=int, help="Year of the first line of each file of sshd; from the time of the file when not given."
)
def extract(
    sources: tuple[Path, ...],
    log_format: str,
    output: Path | None,
    path: str | None,
    status: str,
    where: tuple[str, ...],
    dry_run: bool,  # noqa: FBT001
    **options: Any,
) -> None:
    """Turn log files into rows of entity,ip,timestamp.

    What was skipped is reported with the reason.

    LOG is a file or a folder, packed or not, or - for standard input. The rows have no header. Times are in UTC.

    CSV may come from a spreadsheet: with a header or without, in UTF-8 or UTF-16, with commas, semicolons or TABs.
    """
    if options["timestamp"] and options["no_timestamps"]:
        raise click.UsageError("Give either --timestamp or --no-timestamps.")
    from ipinsights.data.channels import check_outputs
    from ipinsights.etl.filters import Filters
    from ipinsights.etl.pipeline import extract
    from ipinsights.etl.records import LogOptions, Reason
    from ipinsights.etl.summary import NothingUsableError

    check_outputs([None if dry_run else output], sources)
    try:
        summary = extract(
            sources,
            None if dry_run else output,
            log_format=log_format,
            options=LogOptions(**options),
            filters=Filters.parse(path=path, status=status, where=where),
            num_shown=_ROWS_SHOWN if dry_run else None,
        )
    except NothingUsableError as error:
        echo_error(with_option_names(str(error.summary)))
        raise
    echo_error(with_option_names(str(summary)))
    if log_format in _SUCCESSES and not (status or where):
        echo_hint(
            "Note: failed log-ins are among the rows, and a model that is trained on them takes attackers for normal. "
            f"Leave them out with {_SUCCESSES[log_format]}."
        )
    if summary.skipped[Reason.IPV6]:
        echo_hint("Note: the network knows IPv4 only. --ipv6 keeps IPv6 rows, for train --keep-history --ipv6.")
    if output and not dry_run:
        rows = shlex.quote(str(output))
        echo_error(
            f"Next: ipinsights train --train {rows} --model-dir model"
            if options["no_timestamps"]
            else f"Next: ipinsights split {rows} --fraction 0.7 0.1 0.2 --keep-timestamps -o data"
        )


@click.command(cls=CommandWithExamples)
@click.argument("source", metavar="INPUT", type=PATH)
@click.option("-o", "--output-dir", required=True, type=OUTPUT_FOLDER, help="Where train.csv, test.csv, ... go.")
@click.option("--at", "test_from", metavar="TIME", help="Test from this date or time (UTC) on; train before it.")
@click.option(
    "--calibration-at", "calibration_from", metavar="TIME", help="Calibrate from this date or time on, up to --at."
)
@click.option(
    "--fraction",
    nargs=3,
    type=float,
    metavar="TRAIN CALIBRATION TEST",
    help="Shares of the rows by time, such as 0.7 0.1 0.2, instead of --at.",
)
@click.option(
    "--keep-timestamps", is_flag=True, help="Keep times as a third column of test.csv, for score --keep-columns."
)
@click.option("--ipv6", is_flag=True, help="Accept IPv6 rows, for train --keep-history --ipv6.")
@SEED
def split(
    source: Path,
    output_dir: Path,
    test_from: str | None,
    calibration_from: str | None,
    fraction: tuple[float, float, float] | None,
    keep_timestamps: bool,  # noqa: FBT001
    ipv6: bool,  # noqa: FBT001
    seed: int,
) -> None:
    """Split rows by time into training, calibration and test.

    The output is train.csv, calibration.csv and test.csv with rows of entity,ip.

    INPUT is what extract writes, or a folder of such files. Rows to train on are mixed, others in the order of time.
    """
    if (test_from is None) == (fraction is None) or (fraction and calibration_from):
        raise click.UsageError("Give either --at, perhaps with --calibration-at, or --fraction.")
    import numpy as np

    from ipinsights.data.channels import check_outputs
    from ipinsights.etl import splitting

    check_outputs((output_dir / f"{name}.csv" for name in splitting.PARTS), [source])
    events = splitting.read_timed_rows(source, ipv6=ipv6)
    if fraction:
        parts = splitting.parts_by_fraction(events, fraction)
    else:
        parts = splitting.parts_by_time(events, test_from=str(test_from), calibration_from=calibration_from)
    rng = np.random.default_rng(seed)
    splitting.write_parts(output_dir, events, parts, rng=rng, keep_timestamps=keep_timestamps)
    echo_error(splitting.describe_parts(events, parts))
    echo_error(f"Next: ipinsights train --train {shlex.quote(str(output_dir / 'train.csv'))} --model-dir model")


COMMANDS = (simulate, extract, split)

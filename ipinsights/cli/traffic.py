"""Commands that make or read traffic: ``simulate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ipinsights.cli.options import FILE, FOLDER, SEED

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["COMMANDS"]


@click.command()
@click.option("--users", default=10_000, show_default=True, help="Users to simulate, at least 2.")
@click.option("--days", default=10, show_default=True, help="Days to simulate, at least 3.")
@click.option("-o", "--output-dir", required=True, type=FOLDER, help="Where the files go.")
@click.option("--asn-table", type=FILE, help="Real IP ranges in iptoasn.com's format; synthetic ones when not given.")
@click.option("--access-log/--no-access-log", default=True, show_default=True, help="Write an Apache access log too.")
@SEED
def simulate(users: int, days: int, output_dir: Path, asn_table: Path | None, access_log: bool, seed: int) -> None:  # noqa: FBT001
    """Simulate log-ins of users with a home and a work network, as the AWS tutorial does.

    Writes train.csv, validation.csv (entity,ip), test.csv (entity,ip,label; 1 is an attack) and access.log.
    """
    import numpy as np

    from ipinsights import simulate as traffic

    rng = np.random.default_rng(seed)
    ranges = traffic.load_ranges(asn_table) if asn_table else traffic.synthetic_ranges(rng)
    events = traffic.simulate(num_users=users, num_days=days, ranges=ranges, rng=rng)
    test = traffic.attack_test(events, ranges, rng=rng)
    counts = traffic.write_traffic(output_dir, events, test, rng=rng, access_log=access_log)
    click.echo(
        f"{output_dir}: {counts.train} rows to train, {counts.validation} to validate, {counts.test} to test"
        + (f", {counts.access_log} lines of access log." if access_log else "."),
        err=True,
    )


COMMANDS = (simulate,)

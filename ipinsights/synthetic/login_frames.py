"""Simulated logins as DataFrames, to try the estimator on."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ipinsights.synthetic.ip_ranges import synthetic_ranges
from ipinsights.synthetic.logins import attack_test, simulate
from ipinsights.synthetic.traffic_files import write_traffic

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SimulatedLogins", "simulate_logins"]

_COLUMNS = ["entity", "ip"]


@dataclass(frozen=True)
class SimulatedLogins:
    """Simulated logins by day.

    Attributes
    ----------
    train
        The first days, shuffled: columns ``entity`` and ``ip``.
    validation
        The next day, all normal: columns ``entity`` and ``ip``.
    test
        The last days and as many attacks: columns ``entity``, ``ip`` and ``label``, 1 for an attack.

    Examples
    --------
    >>> import ipinsights
    >>> ipinsights.simulate_logins(num_users=20, num_days=3).train.columns.tolist()
    ['entity', 'ip']
    """

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame


def simulate_logins(num_users: int = 300, num_days: int = 10, *, seed: int = 0) -> SimulatedLogins:
    """Return simulated logins, the same as those of ``ipinsights simulate``.

    Parameters
    ----------
    num_users
        Number of users, at least 2.
    num_days
        Number of days, at least 3. Of ten days seven train, one validates, and two test.
    seed
        Seed of every random draw.

    Raises
    ------
    ClientError
        There are too few users or days.

    Examples
    --------
    >>> import ipinsights
    >>> logins = ipinsights.simulate_logins(num_users=20, num_days=3)
    >>> logins.test.columns.tolist()
    ['entity', 'ip', 'label']
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    ranges = synthetic_ranges(rng)
    events = simulate(num_users=num_users, num_days=num_days, ranges=ranges, rng=rng)
    attacks = attack_test(events, ranges, rng=rng)
    with tempfile.TemporaryDirectory(prefix="ipinsights-") as name:
        folder = Path(name)
        write_traffic(folder, events, attacks, rng=rng, access_log=False)
        train, validation = (pd.read_csv(folder / f"{part}.csv", names=_COLUMNS) for part in ("train", "validation"))
        return SimulatedLogins(train, validation, pd.read_csv(folder / "test.csv", names=[*_COLUMNS, "label"]))

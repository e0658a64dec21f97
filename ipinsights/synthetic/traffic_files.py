"""Files of simulated traffic: training, validation and test rows, and an access log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ipinsights.data.csv_writer import csv_lines
from ipinsights.data.files import write_files
from ipinsights.data.ipv4 import format_ips
from ipinsights.synthetic.logins import SECONDS_PER_DAY, midnight

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from ipinsights.synthetic.logins import AttackTest, Events

__all__ = ["TrafficCounts", "write_traffic"]

# Enough for Arrow to run at full speed, and few enough to stay far below its 2 GB of text per array.
_ROWS_AT_A_TIME = 500_000
_REQUEST = ' +0000] "POST /login HTTP/1.1" 200 512 "-" "'
_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:63.0) Gecko/20100101 Firefox/63.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:60.0) Gecko/20100101 Firefox/60.0",
    "curl/7.62.0",
)


@dataclass(frozen=True)
class TrafficCounts:
    """Rows written to each file. ``access_log`` is 0 without an access log."""

    access_log: int
    train: int
    validation: int
    test: int


def write_traffic(
    directory: Path, events: Events, test: AttackTest, *, rng: np.random.Generator, access_log: bool = True
) -> TrafficCounts:
    """Write the traffic as files ready for use, and return their numbers of rows.

    ``train.csv`` and ``validation.csv`` are headerless ``entity,ip``. The train rows are mixed, since
    training keeps the order of the file. ``test.csv`` is ``entity,ip,label``, 1 for an attack. ``access.log``
    holds all events in Apache's combined format. All files are renamed to their targets when all are complete.
    """
    train, validation, _ = events.splits()
    mixed = rng.permutation(np.arange(train.start, train.stop))
    files = {
        "train.csv": _csv_lines(events.user[mixed], events.ip[mixed]),
        "validation.csv": _csv_lines(events.user[validation], events.ip[validation]),
        "test.csv": _csv_lines(test.user, test.ip, test.label),
    }
    if access_log:
        files["access.log"] = _log_lines(events)
    write_files(directory, files)
    num_validation = validation.stop - validation.start
    return TrafficCounts(len(events) if access_log else 0, len(mixed), num_validation, len(test))


def _csv_lines(
    user: NDArray[np.int32], ip: NDArray[np.uint32], label: NDArray[np.int8] | None = None
) -> Iterator[memoryview]:
    for part in _parts(len(user)):
        last = [] if label is None else [pa.array(label[part]).cast(pa.string())]
        yield csv_lines([_user_texts(user[part]), format_ips(ip[part]), *last])


def _log_lines(events: Events) -> Iterator[memoryview]:
    midnights = midnight(events.end) - np.arange(events.num_days, 0, -1) * SECONDS_PER_DAY
    dates = _time_texts(midnights, "%d/%b/%Y:")
    clock = _time_texts(np.arange(SECONDS_PER_DAY), "%H:%M:%S")
    agents = pa.array(_AGENTS)
    for part in _parts(len(events)):
        user = events.user[part]
        day, second = np.divmod(events.time[part] - events.start, SECONDS_PER_DAY)
        time = [dates.take(pa.array(day)), clock.take(pa.array(second))]
        agent = agents.take(pa.array(user % len(_AGENTS)))
        columns = [format_ips(events.ip[part]), " - ", _user_texts(user), " [", *time, _REQUEST, agent, '"\n']
        # Arrow stores the texts of a column one after another, which is the layout of the file.
        yield memoryview(pc.binary_join_element_wise(*columns, "").buffers()[2])


def _parts(size: int) -> Iterator[slice]:
    return (slice(start, start + _ROWS_AT_A_TIME) for start in range(0, size, _ROWS_AT_A_TIME))


def _user_texts(user: NDArray[np.int32]) -> pa.StringArray:
    return pc.binary_join_element_wise("user_", pa.array(user).cast(pa.string()), "")


def _time_texts(seconds: NDArray[np.int64], template: str) -> pa.StringArray:
    # The C locale: an access log has English months everywhere.
    return pc.strftime(pa.array(seconds, pa.timestamp("s")), template, locale="C")

"""Reader of the lines of a job, which become a run."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from ipinsights.data.input_streams import STANDARD_INPUT
from ipinsights.errors import ClientError
from ipinsights.runs.parse_line import Kind, Line, parse_line
from ipinsights.runs.run import COUNTERS, SPEED, THROUGHPUT, TIME_COST, TIMINGS, UPDATE_TIME, Note, RunLog
from ipinsights.runs.unwrap import read_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ipinsights.runs.unwrap import LogLine

__all__ = ["read_run"]

_MOST_NOTES = 1000
_LONGEST_NOTE = 1000
# A start of one looks at all.
_MOST_SOURCES = 1000


def read_run(path: Path) -> RunLog:
    """Read the log of a training run, ours or SageMaker's, in whatever it is wrapped.

    Memory is bounded by the number of metrics in it. Of a job that was started several times (or of several jobs in
    one notebook) the last start counts. If it resumed from a checkpoint, earlier lines up to this point count, too. A
    log without training metrics of IP Insights is a ClientError.
    """
    name = "standard input" if path == STANDARD_INPUT else str(path)
    reader = _Reader()
    for line in read_lines(path):
        reader.take(line)
    run = reader.run(name)
    if others := run.other_metrics:
        names = ", ".join(others)
        raise ClientError(f"{name} is the log of another algorithm: it has {names}, and no metric of IP Insights.")
    if run.per_epoch().empty and run.batches.empty:
        raise ClientError(_no_metrics(run))
    return run


def _no_metrics(run: RunLog) -> str:
    count = sum(run.counts.values())
    if count == 0:
        return f"{run.name} has no line in it: `ipinsights train --quiet` logs nothing. Train without it."
    sentence = f"{run.name} holds no training metrics: none of its {count:,} lines is a #quality_metric line."
    if run.errors:
        return f"{sentence} Line {run.errors[0].number} tells why: {run.errors[0].text}"
    return f"{sentence} Give the log of a training job, as CloudWatch, a notebook or `ipinsights train` shows it."


_Values = dict[str, Any]
# Who a line is from: ("host", name), or ("source", name of stream or thread) until the host is known.
_Who = tuple[str, str]
# Metrics by epoch, or by epoch and batch.
_Rows = dict[tuple[int, ...], dict[str, float]]


class _Reader:
    """Values of the lines that were read so far."""

    def __init__(self) -> None:
        self._counts: Counter[Kind] = Counter()
        self._unknown: list[Note] = []
        self._errors: list[Note] = []
        self._rows: dict[_Who, _Rows] = {}
        self._timings: dict[str, float] = {}
        self._start: float | None = None
        self._configuration: dict[str, dict[str, str]] = {}
        self._hosts: dict[str, str] = {}  # by stream or thread
        self._epoch: dict[_Who, int] = {}  # the one each is in
        self._host_names: set[str] = set()
        self._expected: dict[str | None, Kind] = {}  # what a line that is nothing by itself would continue
        self._started: set[str | None] = set()  # streams with a start whose host is not known yet
        self._num_restarts = 0
        self._earlier: dict[_Who, _Rows] = {}  # rows of the starts before
        self._resumed: dict[_Who, tuple[int, int]] = {}  # epoch and batch after which each resumes

    def take(self, given: LogLine) -> None:
        """Take in the next line."""
        line = parse_line(given.text)
        kind = self._kind_in_place(line, given)
        self._counts[kind] += 1
        if kind is Kind.ERROR:
            self._note(self._errors, given, str(line.fields.get("message", given.text)))
        elif kind is Kind.UNKNOWN:
            self._note(self._unknown, given, given.text)
        else:
            is_start = kind is Kind.START and line.fields["command"] == "train"
            if is_start or line.fields.get("role") == "default":
                self._started.add(given.stream)
            self._take_values(line, given)

    def _kind_in_place(self, line: Line, given: LogLine) -> Kind:
        """Return the kind of a line in its context. Tracebacks, errors and warnings continue."""
        if line.kind is Kind.BLANK:
            return Kind.BLANK
        expected = self._expected.pop(given.stream, None)
        kind: Kind = line.kind
        if kind is Kind.UNKNOWN and not line.is_prefixed:
            kind = _continued(expected, is_indented=given.text[0].isspace())
        if kind in {Kind.TRACEBACK, Kind.ERROR}:
            self._expected[given.stream] = kind
        elif kind is Kind.CONTINUATION and expected is not None:  # of several lines, or of several hosts
            self._expected[given.stream] = expected
        elif "category" in line.fields:  # Python shows the line of code that it warns of
            self._expected[given.stream] = Kind.WARNING
        return kind

    @staticmethod
    def _note(notes: list[Note], given: LogLine, text: str) -> None:
        if len(notes) < _MOST_NOTES:
            notes.append(Note(given.number, text[:_LONGEST_NOTE]))

    def _take_values(self, line: Line, given: LogLine) -> None:
        values = line.fields
        if handler := self._HANDLERS.get(line.kind):
            handler(self, values, self._who(values.get("host"), given.stream, line.thread))
            if not math.isfinite(values.get("value", 0.0)):
                self._note(self._errors, given, given.text)

    def _who(self, host: str | None, stream: str | None, thread: str | None) -> _Who:
        source = stream or thread
        if host is None:
            return ("source", source or "")
        if source:
            self._hosts[source] = host
        if self._started & {stream, None}:
            self._started -= {stream, None}
            self._forget(host)
        return ("host", host)

    def _forget(self, host: str) -> None:
        """Move the rows of an earlier start of a host aside, each once."""
        sources = [who for who in self._rows if self._host_of(who) == host]
        if not sources:
            return
        for who in sources:
            self._earlier.setdefault(who, {}).update(self._rows.pop(who))
        self._resumed = {who: place for who, place in self._resumed.items() if self._host_of(who) != host}
        self._num_restarts += 1
        self._timings, self._start, self._errors = {}, None, []

    def _all_rows(self) -> dict[_Who, _Rows]:
        """Return the rows of each host's last start, and earlier rows up to the resume point."""
        resumed = {self._host_of(who): place for who, place in self._resumed.items()}
        rows: dict[_Who, _Rows] = {}
        for who, earlier in self._earlier.items():
            end = resumed.get(self._host_of(who))
            rows[who] = {place: row for place, row in earlier.items() if end is not None and _is_over(place, *end)}
        return {who: {**rows.get(who, {}), **self._rows.get(who, {})} for who in {**rows, **self._rows}}

    def _host_of(self, who: _Who) -> str:
        role, name = who
        if role == "host":
            return name
        in_name = re.search(r"algo-\d+", name)
        if known := self._hosts.get(name) or (in_name and in_name[0]):
            return known
        return next(iter(self._host_names)) if len(self._host_names) == 1 else "algo-1"

    def _row(self, who: _Who, *place: int) -> dict[str, float]:
        self._epoch[who] = place[0]
        if len(self._epoch) > _MOST_SOURCES:
            raise ClientError(f"The log names more than {_MOST_SOURCES:,} hosts and streams. Give the log of one job.")
        if who[0] == "host":
            self._host_names.add(who[1])
        return self._rows.setdefault(who, {}).setdefault(place, {})

    def _take_configuration(self, values: _Values, _: _Who) -> None:
        self._configuration[values["role"]] = values["configuration"]

    def _take_resumption(self, values: _Values, who: _Who) -> None:
        self._resumed[who] = values["epoch"], values["last_batch"]

    def _take_metric(self, values: _Values, who: _Who) -> None:
        """Keep a metric of an epoch, or a running one."""
        place = (values["epoch"], values["batch"]) if "batch" in values else (values["epoch"],)
        self._row(who, *place)[f"{values['phase'].lower()}:{values['metric']}"] = values["value"]

    def _take_speed(self, values: _Values, who: _Who) -> None:
        """Keep the speed and the metrics of its line, which are rounded to six digits."""
        row = self._row(who, values["epoch"], values["batch"])
        row.update({f"train:{name}": value for name, value in values["running"].items()})
        row[SPEED] = values["value"]

    def _take_time_cost(self, values: _Values, who: _Who) -> None:
        """Keep the seconds that training took, without validation."""
        self._row(who, values["epoch"])[TIME_COST] = values["value"]

    def _take_throughput(self, values: _Values, who: _Who) -> None:
        """Keep the records per second of the epoch that just ended."""
        self._row(who, self._epoch.get(who, 0))[THROUGHPUT] = values["value"]

    def _take_metrics(self, values: _Values, who: _Who) -> None:
        """Keep durations and counters."""
        sums, start = values["sums"], values["start"]
        self._start = start if self._start is None else min(start, self._start)
        for name in sums.keys() & set(TIMINGS):
            self._timings[name] = max(sums[name], self._timings.get(name, 0.0))
        if values["epoch"] is not None:
            self._row(who, values["epoch"]).update({name: sums[name] for name in COUNTERS if name in sums})
        elif UPDATE_TIME in sums:
            self._row(who, self._epoch.get(who, 0))[UPDATE_TIME] = sums[UPDATE_TIME]

    def run(self, name: str) -> RunLog:
        """Return the run that was read from the lines."""
        epochs = self._table("host", "epoch")
        first_epochs = range(max((epoch for epoch, _ in self._resumed.values()), default=0))
        return RunLog(
            name=name,
            configuration=self._configuration.get("Final") or self._configuration.get("provided", {}),
            epochs=epochs,
            batches=self._table("host", "epoch", "batch"),
            timings={name: self._timings[name] for name in TIMINGS if name in self._timings},  # in a fixed order
            start=self._start,
            num_starts=1 + self._num_restarts,
            errors=tuple(self._errors),
            unknown=tuple(self._unknown),
            counts=dict(self._counts),
            num_epochs_before=len(set(first_epochs) - set(epochs.index.get_level_values("epoch"))),
        )

    def _table(self, *index: str) -> pd.DataFrame:
        merged: dict[tuple[Any, ...], dict[str, float]] = {}
        rows = self._all_rows()
        # Lines that name their host come last: what they tell has more digits.
        for who in sorted(rows, key=lambda who: who[0] == "host"):
            for place, row in rows[who].items():
                if len(place) == len(index) - 1:
                    merged.setdefault((self._host_of(who), *place), {}).update(row)
        keys = pd.MultiIndex.from_arrays(list(zip(*merged, strict=True)) or [[]] * len(index), names=index)
        return pd.DataFrame(list(merged.values()), index=keys).sort_index()

    _HANDLERS: ClassVar[Mapping[Kind, Callable[[_Reader, _Values, _Who], None]]] = {
        Kind.BATCH_METRIC: _take_metric,
        Kind.CONFIGURATION: _take_configuration,
        Kind.EPOCH_METRIC: _take_metric,
        Kind.METRICS: _take_metrics,
        Kind.RESUMPTION: _take_resumption,
        Kind.ROUNDED_METRIC: _take_metric,
        Kind.SPEED: _take_speed,
        Kind.THROUGHPUT: _take_throughput,
        Kind.TIME_COST: _take_time_cost,
    }


def _is_over(place: tuple[int, ...], epoch: int, batch: int) -> bool:
    """Return whether an epoch, or a batch of it, is complete when a run resumes after a batch."""
    return place[0] < epoch or (place[0] == epoch and len(place) > 1 and place[1] <= batch)


def _continued(expected: Kind | None, *, is_indented: bool) -> Kind:
    """Return the kind of a line that has no kind of its own."""
    if expected is Kind.TRACEBACK:
        return Kind.TRACEBACK if is_indented else Kind.ERROR
    if expected is Kind.ERROR or (expected is Kind.WARNING and is_indented):
        return Kind.CONTINUATION
    return Kind.UNKNOWN

"""Prometheus metrics of the endpoint, added up over all workers.

Every process counts in memory-mapped files of its own, in a private folder. That is the multiprocess mode of
``prometheus_client``. The files outlive a killed worker, so no count is lost. A process of its own exports the sum, see
`metrics_exporter`.
"""

from __future__ import annotations

import errno
import logging
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipinsights._system import folder_in_memory
from ipinsights.data.files import locked
from ipinsights.errors import ClientError
from ipinsights.serving.access_log import OTHER, ROUTES

if TYPE_CHECKING:
    from types import ModuleType

    from ipinsights.serving.access_log import RequestRecord

__all__ = ["ServerMetrics"]

_logger = logging.getLogger(__name__)

# A request of one row takes half a millisecond, the platform allows a minute.
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
# Statuses of the server, and 499 for a client that hung up. Others count as their hundred, so that labels are bounded.
_STATUSES = (200, 400, 404, 405, 406, 408, 411, 413, 414, 415, 417, 431, 499, 500, 501, 503)
# These appear with 0 from the beginning, so that an alert sees the first of them as an increase.
_EXPECTED = (200, 400, 500, 503)
_KINDS = ("counter", "gauge_livesum", "histogram")
# Stands for the process id in the names of files that hold the sums of all ended processes.
_ENDED = "ended"
# What prometheus_client makes a file of. All label values together need less than half of it.
_FILE_BYTES = 2**16


class ServerMetrics:
    """Counters of the endpoint in a private folder, which the exporter removes at the end.

    Create one object before the workers are forked.
    """

    def __init__(self) -> None:
        # Mapped files on a disk would be written back by the kernel all the time.
        self.folder = Path(tempfile.mkdtemp(prefix="ipinsights-metrics-", dir=folder_in_memory()))
        self._pid = 0
        self._is_usable = True
        self._ended: list[int] = []
        try:
            _reserve_files(self.folder, str(os.getpid()))
            _reserve_files(self.folder, _ENDED)
        except OSError as error:
            raise ClientError(f"Metrics cannot be kept in {self.folder}: {error.strerror}. Free space there.") from None
        self._client = _multiprocess_client(self.folder)
        self._define()

    def _define(self) -> None:
        client, registry = self._client, self._client.CollectorRegistry()
        requests = client.Counter("ipinsights_requests", "Answered requests.", ["route", "status"], registry=registry)
        seconds = client.Histogram(
            "ipinsights_request_seconds", "Time to answer a request.", ["route"], buckets=_SECONDS, registry=registry
        )
        in_flight = client.Gauge(
            "ipinsights_requests_in_flight",
            "Requests that are not answered yet.",
            ["route"],
            multiprocess_mode="livesum",
            registry=registry,
        )
        loads = client.Counter("ipinsights_model_loads", "Loaded models.", ["outcome"], registry=registry)
        routes = (*ROUTES, OTHER)
        self._requests = requests
        self._by_status = {("/invocations", status): requests.labels("/invocations", status) for status in _EXPECTED}
        self._seconds = {route: seconds.labels(route) for route in routes}
        self._in_flight = {route: in_flight.labels(route) for route in routes}
        self._loads = {succeeded: loads.labels(name) for succeeded, name in ((True, "success"), (False, "failure"))}
        self._rows = client.Counter("ipinsights_rows", "Scored records.", registry=registry)
        self._received = client.Counter("ipinsights_received_bytes", "Bytes of request bodies.", registry=registry)
        self._sent = client.Counter("ipinsights_sent_bytes", "Bytes of response bodies.", registry=registry)
        self._pid = os.getpid()

    def request_started(self, route: str) -> None:
        """Count a request as in flight until `request_finished` is called."""
        if self._is_usable_here():
            self._in_flight.get(route, self._in_flight[OTHER]).inc()

    def request_finished(self, record: RequestRecord) -> None:
        """Count an answered request that was started before."""
        if not self._is_usable_here():
            return
        route = record.route if record.route in self._in_flight else OTHER
        self._in_flight[route].dec()
        self._counter_of(route, record.status).inc()
        self._seconds[route].observe(record.seconds)
        for counter, amount in (
            (self._rows, record.rows),
            (self._received, record.bytes_received),
            (self._sent, record.bytes_sent),
        ):
            if amount:
                counter.inc(amount)

    def model_loaded(self, *, succeeded: bool) -> None:
        """Count an attempt to load a model."""
        if self._is_usable_here():
            self._loads[succeeded].inc()

    def worker_ended(self, pid: int) -> None:
        """Drop what an ended worker had in flight, and add its counts to those of all ended workers.

        Called in the master process. Without it each reload of the model would leave files behind.
        """
        self._ended.append(pid)
        try:
            self._client.multiprocess.mark_process_dead(pid, str(self.folder))
            with locked(self.folder, wait=False):
                while self._ended:
                    _merge_files(self.folder, self._ended.pop())
        except BlockingIOError:
            pass  # The exporter reads: the next call merges.
        except OSError as error:
            _logger.error("Counts of ended workers cannot be merged: %s.", error.strerror)  # noqa: TRY400

    def _counter_of(self, route: str, status: int) -> Any:
        counter = self._by_status.get((route, status))
        if counter is None:
            # int, because before Python 3.11 the text of an HTTPStatus is its name
            label = int(status) if status in _STATUSES else status // 100 * 100
            counter = self._by_status[route, status] = self._requests.labels(route, label)
        return counter

    def _is_usable_here(self) -> bool:
        """Return whether this process can count. A new process reserves its files first."""
        if self._pid != os.getpid():
            self._pid = os.getpid()
            try:
                _reserve_files(self.folder, str(self._pid))
            except OSError as error:
                self._is_usable = False
                _logger.error(  # noqa: TRY400 - a traceback adds nothing to the reason
                    "Worker %d does not count requests: %s in %s.", self._pid, error.strerror, self.folder
                )
        return self._is_usable


def _multiprocess_client(folder: Path) -> ModuleType:
    """Return ``prometheus_client``, set to count in files of this folder.

    The library decides at its first import, by an environment variable, and reads the variable again for each file.
    The second assignment is for a process in which something else has imported the library before.
    """
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    import prometheus_client
    import prometheus_client.multiprocess
    from prometheus_client import values

    values.ValueClass = values.MultiProcessValue()
    return prometheus_client


def _reserve_files(folder: Path, pid: str) -> None:
    """Allocate the files of a process.

    A write to a mapped page without disk space would kill the process.
    """
    for kind in _KINDS:
        descriptor = os.open(folder / f"{kind}_{pid}.db", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            is_new = os.fstat(descriptor).st_size == 0
            if is_new and os.write(descriptor, bytes(_FILE_BYTES)) < _FILE_BYTES:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(descriptor)


def _merge_files(folder: Path, pid: int) -> None:
    """Add the counts of an ended process to those of all ended processes, and remove its files."""
    from prometheus_client.mmap_dict import MmapedDict

    for own in folder.glob(f"*_{pid}.db"):
        total = MmapedDict(str(folder / own.name.replace(str(pid), _ENDED)))
        for key, count, *_ in MmapedDict.read_all_values_from_file(str(own)):
            total.write_value(key, total.read_value(key)[0] + count, 0.0)
        total.close()
        own.unlink()

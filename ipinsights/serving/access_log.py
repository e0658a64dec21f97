"""The access log: one JSON line for each answered request, without entities and addresses.

Every worker appends to the same file. A line is a single ``write`` with ``O_APPEND``, so that lines of several workers
do not interleave.
"""

from __future__ import annotations

import logging
import os
import random
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import orjson

from ipinsights.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["OTHER", "REQUEST_ID_HEADERS", "ROUTES", "AccessLog", "RequestRecord", "new_request_id", "request_id_of"]

# A path may contain anything, also a user's name: only these are ever logged or counted by name.
ROUTES = ("/invocations", "/ping", "/livez", "/execution-parameters")
OTHER = "other"

_logger = logging.getLogger(__name__)

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
REQUEST_ID_HEADERS = (b"x-amzn-requestid", b"x-request-id")
# A reader of a pipe that has stopped reading must not stop a worker: such a write fails at once.
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
_MODE = 0o640


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """Facts about one answered request. No field contains an entity or an address."""

    request_id: str  # identifier that the client sent or the server generated
    route: str  # path of the route, logged and counted as `OTHER` outside of `ROUTES`
    status: int  # of the response
    rows: int  # number of scored records
    bytes_received: int  # size of the request body
    bytes_sent: int  # size of the response body
    seconds: float  # time between the request and its answer


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the request id that a client sent, or a new one.

    It is the first valid value of ``X-Amzn-RequestId`` or ``X-Request-Id``, in this order. Valid are 1 to 128 letters,
    digits, dots, hyphens and underscores, so that a client cannot write lines of its own into a log.

    >>> request_id_of([(b"host", b"localhost"), (b"x-request-id", b"order-17")])
    'order-17'
    """
    sent: dict[bytes, bytes] = {}
    for name, value in headers:
        lower = name.lower()
        if lower in REQUEST_ID_HEADERS and _REQUEST_ID.fullmatch(value):
            sent.setdefault(lower, value)
    found = next((sent[name] for name in REQUEST_ID_HEADERS if name in sent), None)
    return found.decode("ascii") if found else new_request_id()


def new_request_id() -> str:
    """Return a random id. Most requests come without one, and uuid4 takes several times as long."""
    digits = f"{random.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


class AccessLog:
    """A file of JSON lines, a named pipe or ``/dev/stdout``, to which all workers append.

    A line that cannot be written is dropped. The first drop is reported in the server's log, and so is the number of
    dropped lines when writing succeeds again. No request fails because of its log line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._num_dropped = 0
        self._torn = False
        try:
            self._descriptor = os.open(path, _FLAGS, _MODE)
        except OSError as error:
            raise ClientError(
                f"The access log {path} cannot be opened: {error.strerror}. Choose a file that can be written."
            ) from None

    def write(self, record: RequestRecord) -> None:
        """Append a line for the request, or count the line as dropped."""
        line = orjson.dumps(_line_of(record), option=orjson.OPT_APPEND_NEWLINE)
        # What a full disk cut off stays in the file, so the next line begins on a line of its own.
        line = b"\n" + line if self._torn else line
        try:
            num_written = os.write(self._descriptor, line)
        except OSError as error:
            self._drop(os.strerror(error.errno or 0))
            return
        self._torn = num_written < len(line)
        if self._torn:
            self._drop("No space left on device")
        elif self._num_dropped:
            _logger.warning("The access log can be written again. Dropped lines: %d.", self._num_dropped)
            self._num_dropped = 0

    def reopen(self) -> None:
        """Open the path anew, after a log rotation has renamed the file.

        If the path cannot be opened, the old file stays in use.
        """
        try:
            opened = os.open(self._path, _FLAGS, _MODE)
        except OSError as error:
            _logger.error(  # noqa: TRY400 - a traceback adds nothing to the reason
                "The access log %s cannot be reopened: %s. Lines are still written to the old file.",
                self._path,
                error.strerror,
            )
            return
        os.close(self._descriptor)
        self._descriptor, self._torn = opened, False

    def _drop(self, reason: str) -> None:
        self._num_dropped += 1
        if self._num_dropped == 1:
            _logger.error(
                "The access log %s cannot be written: %s. Lines are dropped until it can.", self._path, reason
            )


def _line_of(record: RequestRecord) -> dict[str, str | int | float]:
    now = datetime.now(timezone.utc)
    return {
        "time": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "request_id": record.request_id,
        "route": record.route if record.route in ROUTES else OTHER,
        "status": record.status,
        "rows": record.rows,
        "bytes_received": record.bytes_received,
        "bytes_sent": record.bytes_sent,
        "milliseconds": round(record.seconds * 1000, 3),
    }

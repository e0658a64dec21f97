"""The endpoint as an ASGI application: routes, bounded bodies, and responses.

Source: SageMaker's contract for inference containers (``/ping``, ``/invocations``) and for batch transform
(``/execution-parameters``), and the route of its runtime (``/endpoints/<name>/invocations``), so that an unchanged
``boto3`` client can talk to a server on a laptop.

A request is complete before it is scored. Small bodies are scored at once. Large ones wait in order for a thread, so
that ``/ping`` and small requests are answered meanwhile.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import re
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TextIO

from ipinsights.errors import IPInsightsError
from ipinsights.serving.access_log import OTHER, RequestRecord, new_request_id
from ipinsights.serving.bodies import BodyReader
from ipinsights.serving.media_types import JSON, RequestError
from ipinsights.serving.messages import Request, Response, refusal, send_large, send_small

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import TypeVar

    from ipinsights.serving.access_log import AccessLog
    from ipinsights.serving.messages import Receive, Scope, Send
    from ipinsights.serving.server_metrics import ServerMetrics
    from ipinsights.serving.service import Answer, InferenceModel

    _T = TypeVar("_T")

__all__ = ["Application"]

_logger = logging.getLogger(__name__)

# The log line of a request, but for the time and the route. `logging` would take longer than the score of a pair.
_COUNT = (
    '#metrics {"StartTime": %(now)r, "EndTime": %(now)r, "Dimensions": {"Algorithm": "IPInsightsModel", '
    '"Host": "UNKNOWN", "Operation": "scoring"}, "Metrics": {"%(what)s.count": {"sum": 1.0, "count": 1, "min": 1, '
    '"max": 1}}}\n\n'
)
_RUNTIME_ROUTE = re.compile(r"/endpoints/[^/]+/invocations")
_MAX_TRANSFORM_MB = 100
_ROUTES = "GET /ping, GET /execution-parameters and POST /invocations"
# What is counted for a client that has hung up before it was answered, as in nginx.
_CUT_OFF = Response(499, [], b"")
_STOPPING = "The server is shutting down."


@dataclass
class Application:
    """ASGI application of one worker process."""

    model: InferenceModel  # the model that scores
    num_workers: int  # number of worker processes, reported to batch transform
    max_payload_mb: int  # largest body in mebibytes
    default: str  # media type for clients without an ``Accept`` header
    timeout: float  # seconds in which a body must arrive, and in which a client must read each piece of its answer
    log: TextIO | Any  # stream for the original's log line of each request, which neither blocks nor raises
    metrics: ServerMetrics | None = None
    access_log: AccessLog | None = None
    is_stopping: bool = False  # whether the server ends, so that ``/ping`` returns 503
    _bodies: BodyReader = field(init=False)

    def __post_init__(self) -> None:
        self._bodies = BodyReader(self.max_payload_mb, self.timeout)
        self._handlers: dict[str, tuple[tuple[str, ...], Callable[..., Awaitable[Response]]]] = {
            "/invocations": (("POST",), self._invocations),
            "/ping": (("GET", "HEAD"), self._ping),
            "/livez": (("GET", "HEAD"), self._livez),
            "/execution-parameters": (("GET",), self._execution_parameters),
        }

    @functools.cached_property
    def _thread(self) -> ThreadPoolExecutor:
        """Thread for large bodies, started by the worker because threads do not survive a fork."""
        return ThreadPoolExecutor(1, "large-bodies")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request.parse(scope)
        route = request.path
        if route not in self._handlers:
            route = "/invocations" if _RUNTIME_ROUTE.fullmatch(request.path) else OTHER
        if self.metrics is None and self.access_log is None:
            await self._answer(request, route, receive, send)
        else:
            await self._observe(request, route, receive, send)

    def record_refusal(self, status: int) -> None:
        """Count and log a request that was refused before it had a route."""
        if self.metrics is not None:
            self.metrics.request_started(OTHER)
        self._record(RequestRecord(new_request_id(), OTHER, status, 0, 0, 0, 0.0))

    async def _observe(self, request: Request, route: str, receive: Receive, send: Send) -> None:
        """Answer a request, then count and log it."""
        started = time.perf_counter()
        if self.metrics is not None:
            self.metrics.request_started(route)
        is_finished = False

        def finish(response: Response) -> None:
            """Count and log the request once, with the first response that ends it."""
            nonlocal is_finished
            if not is_finished:
                is_finished = True
                seconds = time.perf_counter() - started
                self._record(
                    RequestRecord(
                        request.id,
                        route,
                        response.status,
                        response.rows,
                        request.bytes_received,
                        response.bytes_sent,
                        seconds,
                    )
                )

        try:
            await self._answer(request, route, receive, send, finish)
        finally:
            finish(_CUT_OFF)

    def _record(self, record: RequestRecord) -> None:
        if self.metrics is not None:
            self.metrics.request_finished(record)
        if self.access_log is not None:
            self.access_log.write(record)

    async def _answer(
        self,
        request: Request,
        route: str,
        receive: Receive,
        send: Send,
        finish: Callable[[Response], None] | None = None,
    ) -> None:
        try:
            response = await self._handler(request, route)(request, receive)
        except Exception as error:  # noqa: BLE001 - a bug must not end in a closed connection
            response = _refusal(error, request, route)
        if response.is_small:
            response.bytes_sent = len(response.body)
            # A client that has the answer can rely on its count, even if this worker is killed now.
            if finish is not None:
                finish(response)
            await send_small(response, request, send)
        else:
            await self._send_large(response, request, send)
            if finish is not None:
                finish(response)
        if not request.is_received:
            await self._bodies.discard(receive)

    async def _send_large(self, response: Response, request: Request, send: Send) -> None:
        try:
            with self._bodies.hold(len(response.body)):
                await send_large(response, request, send, seconds=self.timeout, next_piece=self._in_thread)
        except asyncio.TimeoutError:
            _logger.warning("A client did not read its answer within %g seconds.", self.timeout)

    def _handler(self, request: Request, route: str) -> Callable[[Request, Receive], Awaitable[Response]]:
        if not request.path:
            raise RequestError(HTTPStatus.BAD_REQUEST, "The target of the request is not valid.", reason="bad target")
        if request.version == "1.1" and b"host" not in request.headers:
            raise RequestError(HTTPStatus.BAD_REQUEST, "The request has no Host header.", reason="no Host header")
        if route == OTHER:
            raise RequestError(
                HTTPStatus.NOT_FOUND,
                f"There is nothing at {request.path}: this server answers {_ROUTES}.",
                reason="unknown path",
            )
        methods, handler = self._handlers[route]
        if request.method not in methods:
            raise RequestError(
                HTTPStatus.METHOD_NOT_ALLOWED,
                f"{request.path} answers {methods[0]}, not {request.method}.",
                reason=f"the method is not {methods[0]}",
                headers={"Allow": ", ".join(methods)},
            )
        return handler

    async def _ping(self, _request: Request, _receive: Receive) -> Response:
        """Return 200 if the worker can score (readiness)."""
        if self.is_stopping:
            raise RequestError(HTTPStatus.SERVICE_UNAVAILABLE, _STOPPING, reason="the server is shutting down")
        self.model.check_usable()
        return Response(HTTPStatus.OK, [], b"")

    async def _livez(self, _request: Request, _receive: Receive) -> Response:
        """Return 200 as long as the worker runs (liveness)."""
        return Response(HTTPStatus.OK, [], b"")

    async def _execution_parameters(self, _request: Request, _receive: Receive) -> Response:
        self._count("execution_parameters")
        # The platform refuses to have more megabytes under way.
        most = max(1, _MAX_TRANSFORM_MB // self.max_payload_mb)
        parameters = {
            "MaxConcurrentTransforms": min(self.num_workers, most),
            "BatchStrategy": "MULTI_RECORD",
            "MaxPayloadInMB": self.max_payload_mb,
        }
        return Response.of(JSON, json.dumps(parameters).encode())

    async def _invocations(self, request: Request, receive: Receive) -> Response:
        self._count("invocations")
        body = await self._bodies.read(request, receive)
        if self.model.is_small(len(body), request.accept):
            return Response.begin(self._score(body, request))
        with self._bodies.hold(len(body)):
            return await self._in_thread(lambda: Response.begin(self._score(body, request)))

    def _score(self, body: bytes, request: Request) -> Answer:
        return self.model.answer(body, content_type=request.content_type, accept=request.accept, default=self.default)

    async def _in_thread(self, function: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def _count(self, what: str) -> None:
        self.log.write(_COUNT % {"now": time.time(), "what": what})


def _refusal(error: Exception, request: Request, route: str) -> Response:
    """Log why a request is not answered, and return the response that says so."""
    from_runtime = route == "/invocations" and request.path != route
    if isinstance(error, RequestError):
        _logger.warning("Refused a request to %s with %d: %s.", route, error.status, error.reason)
        return refusal(error.status, str(error), error.headers, from_runtime=from_runtime)
    if isinstance(error, IPInsightsError):
        message = str(error)
        _logger.error("%s", message)
    else:
        message = "This is a bug in ipinsights; the server's log tells more."
        # The error's own text may quote the payload.
        frames = "".join(traceback.format_tb(error.__traceback__))
        _logger.error("A request cannot be answered: %s.\n%s", type(error).__name__, frames)
    return refusal(HTTPStatus.INTERNAL_SERVER_ERROR, message, from_runtime=from_runtime)

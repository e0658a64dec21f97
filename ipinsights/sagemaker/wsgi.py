"""The routes of an inference container as a WSGI application: whose requests come in whole, and go out whole.

Source: SageMaker's contract for inference containers (``/ping``, ``/invocations``), for batch transform
(``/execution-parameters``), and its runtime's own route (``/endpoints/<name>/invocations``), so that an unchanged
``boto3`` client can talk to a server on a laptop.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from dataclasses import dataclass
from http import HTTPStatus
from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple

from ipinsights.errors import AlgorithmError
from ipinsights.sagemaker.formats import JSON, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from wsgiref.types import StartResponse, WSGIEnvironment

    from ipinsights.sagemaker.inference import InferenceModel

__all__ = ["MEBIBYTE", "Application"]

MEBIBYTE = 2**20

_logger = logging.getLogger(__name__)

# What a request leaves in the log, but for the time and the name of what was asked for. It is no record of ``logging``,
# which would take longer than to score a pair.
_COUNT = (
    '#metrics {"StartTime": %(now)r, "EndTime": %(now)r, "Dimensions": {"Algorithm": "IPInsightsModel", '
    '"Host": "UNKNOWN", "Operation": "scoring"}, "Metrics": {"%(what)s.count": {"sum": 1.0, "count": 1, "min": 1, '
    '"max": 1}}}\n\n'
)
_RUNTIME_ROUTE = re.compile(r"/endpoints/[^/]+/invocations")
_MAX_TRANSFORM_MB = 100
_ROUTES = "GET /ping, GET /execution-parameters and POST /invocations"


class _Response(NamedTuple):
    body: Iterable[bytes]
    status: HTTPStatus
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Application:
    """What gunicorn calls, once a request.

    Attributes
    ----------
    model
        What answers.
    num_workers
        Requests that are answered at a time, told to batch transform.
    max_payload_mb
        Mebibytes that a body may have; told to batch transform, too.
    default
        Media type for clients without a wish.
    """

    model: InferenceModel
    num_workers: int
    max_payload_mb: int
    default: str

    @property
    def max_payload_bytes(self) -> int:
        """Bytes that a body may have."""
        return self.max_payload_mb * MEBIBYTE

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        response = self._respond(environ)
        start_response(f"{response.status.value} {response.status.phrase}", list(response.headers.items()))
        return response.body

    def _respond(self, environ: WSGIEnvironment) -> _Response:
        path = environ.get("PATH_INFO", "")
        try:
            return self._route(path, environ["REQUEST_METHOD"])(environ)
        except RequestError as error:
            headers = {"Allow": error.allow} if error.allow else {}
            return _refusal(error.status, str(error), headers, from_runtime=_is_runtime_route(path))
        except AlgorithmError as error:
            _logger.error("%s", error)  # noqa: TRY400 - the sentence says it all
            return _refusal(HTTPStatus.INTERNAL_SERVER_ERROR, str(error), {}, from_runtime=_is_runtime_route(path))
        except Exception:
            _logger.exception("A request could not be answered")
            message = "This is a bug in ipinsights; the server's log tells more."
            return _refusal(HTTPStatus.INTERNAL_SERVER_ERROR, message, {}, from_runtime=_is_runtime_route(path))

    def _route(self, path: str, method: str) -> Callable[[WSGIEnvironment], _Response]:
        routes = {
            "/invocations": ("POST", self._invocations),
            "/ping": ("GET", self._ping),
            "/execution-parameters": ("GET", self._execution_parameters),
        }
        found = routes.get("/invocations" if _is_runtime_route(path) else path)
        if found is None:
            raise RequestError(HTTPStatus.NOT_FOUND, f"There is nothing at {path}: this server answers {_ROUTES}.")
        allowed, handler = found
        if method != allowed:
            raise RequestError(HTTPStatus.METHOD_NOT_ALLOWED, f"{path} answers {allowed}, not {method}.", allow=allowed)
        return handler

    def _ping(self, _environ: WSGIEnvironment) -> _Response:
        return _whole(b"", {})

    def _execution_parameters(self, _environ: WSGIEnvironment) -> _Response:
        _count("execution_parameters")
        # The platform refuses to have more megabytes under way.
        most = max(1, _MAX_TRANSFORM_MB // self.max_payload_mb)
        parameters = {
            "MaxConcurrentTransforms": min(self.num_workers, most),
            "BatchStrategy": "MULTI_RECORD",
            "MaxPayloadInMB": self.max_payload_mb,
        }
        return _whole(json.dumps(parameters).encode(), {"Content-Type": JSON})

    def _invocations(self, environ: WSGIEnvironment) -> _Response:
        _count("invocations")
        answer = self.model.answer(
            _read_body(environ, self.max_payload_bytes),
            content_type=environ.get("CONTENT_TYPE", ""),
            accept=environ.get("HTTP_ACCEPT", ""),
            default=self.default,
        )
        return _in_pieces(answer.pieces, {"Content-Type": answer.media_type})


def _read_body(environ: WSGIEnvironment, limit: int) -> bytes:
    """Read a body, of known length or in chunks, up to the limit."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if environ.get("HTTP_CONTENT_ENCODING", "identity") != "identity":
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The payload is packed: send it without Content-Encoding."
        )
    try:
        body: bytes = environ["wsgi.input"].read(limit + 1) if length <= limit else b""
    except Exception as error:  # noqa: BLE001 - whose own classes are the server's
        raise RequestError(HTTPStatus.BAD_REQUEST, f"The payload did not come in whole: {error}.") from None
    if max(length, len(body)) > limit:
        raise RequestError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"The payload is larger than {limit // MEBIBYTE} MB: split it, or start the server with --max-payload-mb.",
        )
    if len(body) < length:
        raise RequestError(HTTPStatus.BAD_REQUEST, f"The payload ended after {len(body)} of {length} bytes.")
    return body


def _is_runtime_route(path: str) -> bool:
    return _RUNTIME_ROUTE.fullmatch(path) is not None


def _whole(body: bytes, headers: Mapping[str, str], status: HTTPStatus = HTTPStatus.OK) -> _Response:
    return _Response([body], status, {**headers, "Content-Length": str(len(body))})


def _in_pieces(pieces: Iterator[bytes], headers: Mapping[str, str]) -> _Response:
    """Give a body piece by piece; a small one, of a block of records and its end, as a whole."""
    small = list(islice(pieces, 2))
    third = next(pieces, None)
    if third is None:
        return _whole(b"".join(small), headers)
    return _Response(chain(small, [third], pieces), HTTPStatus.OK, headers)


def _refusal(status: HTTPStatus, message: str, headers: Mapping[str, str], *, from_runtime: bool) -> _Response:
    """Say why a request is refused; to a client of SageMaker's runtime in the form of its ``ModelError``."""
    if not from_runtime:
        return _whole(f"{message}\n".encode(), {**headers, "Content-Type": "text/plain; charset=utf-8"}, status)
    whose = "client" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server"
    content = {
        "Message": f'Received {whose} error ({status.value}) from primary with message "{message}".',
        "OriginalStatusCode": status.value,
        "OriginalMessage": message,
    }
    headers = {**headers, "Content-Type": JSON, "X-Amzn-ErrorType": "ModelError"}
    return _whole(json.dumps(content).encode(), headers, status)


def _count(what: str) -> None:
    sys.stdout.write(_COUNT % {"now": time.time(), "what": what})
    sys.stdout.flush()

"""Media types of requests and responses, and content negotiation.

Source: the inference formats of the developer guide, and the loaders and encoders that the original's log names.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.request import parse_http_list

from ipinsights.errors import ClientError
from ipinsights.inference.scorers import SCORERS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CSV", "JSON", "JSON_LINES", "RequestError", "ResponseFormat", "default_media_type", "request_media_type"]

CSV = "text/csv"
JSON = "application/json"
JSON_LINES = "application/jsonlines"

_REQUESTS = (CSV, JSON, JSON_LINES)
_RESPONSES = (JSON, JSON_LINES)
# Headers whose meaning is kept: clients send the same ones again and again.
_HEADERS_KEPT = 64
_CHARSETS = ("utf-8", "utf8", "us-ascii", "ascii")


class RequestError(ClientError):
    """A request that is refused with a status, a sentence for the client and further headers.

    ``reason`` is what the server's log says: the same without anything of what was sent.
    """

    def __init__(
        self, status: HTTPStatus, message: str, *, reason: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.headers = headers


@dataclass(frozen=True)
class ResponseFormat:
    """What an answer looks like."""

    media_type: str  # ``application/json`` or ``application/jsonlines``
    verbose: bool = False  # with the embeddings of address and entity, as the original gives them
    # with what the original does not tell: whether the entity is known, the probability, the verdict
    extended: bool = False
    scorer: str | None = None  # ``dot_product`` or ``history``, None for that of the server

    @classmethod
    @lru_cache(_HEADERS_KEPT)
    def negotiate(cls, accept: str, *, default: str) -> ResponseFormat:
        """Return the response format for an ``Accept`` header (RFC 9110), empty without one.

        Quality decides, then the most specific range, then the order in the header. ``default`` is the media type for a
        client that has no wish.
        """
        ranges = [_MediaRange.parse(text) for text in parse_http_list(accept)] or [_MediaRange("*/*", {})]
        offers = sorted((default, *_RESPONSES), key=lambda media_type: media_type != default)
        wishes = [(found.quality, -ranges.index(found), media_type, found)
                  for media_type in dict.fromkeys(offers)
                  if (found := _most_specific(ranges, media_type)) and found.quality > 0]  # fmt: skip
        if not wishes:
            raise _not_acceptable(
                f"Accept type '{accept}' is not supported: ask for {JSON} or {JSON_LINES}, or leave the header out.",
                "the Accept header asks for another media type",
            )
        _, _, media_type, wish = max(wishes, key=lambda each: each[:2])
        return cls(media_type, verbose=wish.flag("verbose"), extended=wish.flag("extended"), scorer=wish.scorer)


@lru_cache(_HEADERS_KEPT)
def request_media_type(content_type: str) -> str:
    """Return the media type of a request by its ``Content-Type`` header, CSV without a header."""
    media_type, parameters = _parse_header(content_type)
    if media_type not in ("", *_REQUESTS):
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Content-Type '{content_type}' is not supported: send {CSV}, {JSON} or {JSON_LINES}.",
            reason="the Content-Type is not supported",
        )
    if parameters.get("charset", "utf-8").lower() not in _CHARSETS:
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"Charset '{parameters['charset']}' is not supported: send UTF-8.",
            reason="the charset is not supported",
        )
    return media_type or CSV


def default_media_type(environ: Mapping[str, str]) -> str:
    """Return the default media type: JSON in real time, JSON Lines in a batch transform.

    SageMaker sets ``SAGEMAKER_BATCH`` to ``true``, its local mode to ``True``.
    """
    return JSON_LINES if environ.get("SAGEMAKER_BATCH", "").lower() == "true" else JSON


@dataclass(frozen=True)
class _MediaRange:
    """One wish of an ``Accept`` header."""

    media_type: str
    parameters: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> _MediaRange:
        return cls(*_parse_header(text))

    @property
    def quality(self) -> float:
        text = self.parameters.get("q", "1")
        try:
            quality = float(text)
        except ValueError:
            quality = -1.0
        if not 0 <= quality <= 1:
            raise _not_acceptable(
                f"Quality must be a number from 0 to 1. Got q={text}.", "a quality of the Accept header is not valid"
            )
        return quality

    @property
    def scorer(self) -> str | None:
        name = self.parameters.get("scorer")
        if name not in (None, *SCORERS):
            raise _not_acceptable(f"Parameter 'scorer' of Accept must be {' or '.join(SCORERS)}. Got '{name}'.")
        return name

    def flag(self, name: str) -> bool:
        value = self.parameters.get(name, "false")
        if value.lower() not in ("true", "false"):
            raise _not_acceptable(f"Parameter '{name}' of Accept must be True or False. Got '{value}'.")
        return value.lower() == "true"


def _not_acceptable(message: str, reason: str = "a parameter of the Accept header is not valid") -> RequestError:
    return RequestError(HTTPStatus.NOT_ACCEPTABLE, message, reason=reason)


def _most_specific(ranges: list[_MediaRange], media_type: str) -> _MediaRange | None:
    patterns = (media_type, f"{media_type.partition('/')[0]}/*", "*/*")
    return next((each for pattern in patterns for each in ranges if each.media_type == pattern), None)


def _parse_header(text: str) -> tuple[str, dict[str, str]]:
    """Return a media type and its parameters, with names in lower case, values without quotes."""
    media_type, *parts = text.split(";")
    pairs = (part.partition("=") for part in parts)
    parameters = {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
    return media_type.strip().lower(), parameters

"""Decoding of request bodies, CSV, JSON or JSON Lines, to pairs.

An error refuses the body.
"""

from __future__ import annotations

import codecs
import io
import json
from http import HTTPStatus
from socket import inet_aton
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pyarrow as pa

from ipinsights.data.csv_errors import Source
from ipinsights.data.entity_hash import hash_entities
from ipinsights.data.file_kinds import GZIP_MAGIC
from ipinsights.data.ipv4 import BLANKS, explain_ip, is_ip, parse_ips
from ipinsights.data.ipv6 import explain_address, parse_addresses
from ipinsights.data.pairs import Pairs, read_blocks
from ipinsights.errors import ClientError
from ipinsights.reporting.plain_text import shortened
from ipinsights.serving.media_types import CSV, JSON, JSON_LINES, RequestError, request_media_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

__all__ = ["decode"]

# Up to here, splitting in Python is faster than waking Arrow.
_SMALL = 16 * 2**10
# Up to here, one address after the other is faster than a column at a time.
_FEW = 20
_SHAPES = '{"features": [entity, ip]} or {"data": {"features": {"values": [entity, ip]}}}'
# The developer guide's own example of JSON Lines has commas and a bracket behind its objects.
_BEHIND_OBJECT = b",] \t\r"


class _RecordError(Exception):
    """A record, by its index, that is no pair. The reason is the end of a sentence."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index


def decode(
    body: bytes, content_type: str, *, name: str = "the payload", first_line: int = 1, ipv6: bool = False
) -> Pairs:
    """Return the pairs of a request's body, in their order.

    The body is CSV (entity,ip, no header), JSON (``{"instances": [...]}``) or JSON Lines (an instance per line). An
    instance is ``{"features": [entity, ip]}`` or ``{"data": {"features": {"values": [entity, ip]}}}``. An empty
    ``content_type`` means CSV. ``name`` and ``first_line`` are what messages call the body and its first line.
    """
    decoder = _DECODERS[request_media_type(content_type)]
    if body.startswith(GZIP_MAGIC):
        # What is small packed can be huge unpacked.
        raise _unreadable(
            "The payload is packed with gzip: send it unpacked.", reason="the payload is packed with gzip"
        )
    pairs = decoder(body, name, first_line, ipv6)
    if len(pairs) == 0:
        raise _unreadable(
            "The payload holds no record: send at least one pair of entity and IPv4 address.",
            reason="the payload holds no record",
        )
    return pairs


def _decode_csv(body: bytes, name: str, first_line: int, ipv6: bool) -> Pairs:  # noqa: FBT001
    pairs = _split_plain_csv(body, ipv6=ipv6) if len(body) <= _SMALL else None
    if pairs is not None:
        return pairs
    source = Source.stream(io.BytesIO(body), name, first_line=first_line)
    try:
        blocks = list(read_blocks(source, count_faults=False, ipv6=ipv6))
    except ClientError as error:
        raise _unreadable(str(error), reason="a row is not valid") from None
    return Pairs.joined(blocks)


def _split_plain_csv(body: bytes, *, ipv6: bool) -> Pairs | None:
    """Return the pairs of plain CSV, or None for quotes, a second mark or a fault."""
    if b'"' in body or b"\r" in body or b"\0" in body or body.startswith(2 * codecs.BOM_UTF8):
        return None
    try:
        rows = [line.split(",") for line in body.removeprefix(codecs.BOM_UTF8).decode().split("\n") if line]
        entities, texts = zip(*rows, strict=True)
        return _pairs(entities, texts, ipv6=ipv6)
    except (ValueError, _RecordError):
        return None


def _decode_json(body: bytes, name: str, _first_line: int, ipv6: bool) -> Pairs:  # noqa: FBT001
    content = _parse(body, name)
    if isinstance(content, str):
        raise _unreadable(
            "The payload is a JSON string: it was encoded twice. Send the object itself.",
            reason="the payload is a JSON string",
        )
    instances = content.get("instances") if isinstance(content, dict) else None
    if not isinstance(instances, list):
        raise _unreadable(
            f'The payload must be {{"instances": [...]}}, each of them {_SHAPES}.',
            reason="the payload has no list of instances",
        )
    try:
        return _instance_pairs(instances, ipv6=ipv6)
    except _RecordError as error:
        raise _invalid(f"{name}, instance {error.index + 1}", error) from None


def _decode_json_lines(body: bytes, name: str, first_line: int, ipv6: bool) -> Pairs:  # noqa: FBT001
    lines = body.split(b"\n")
    numbers = [number for number, line in enumerate(lines) if line.strip(_BEHIND_OBJECT)]
    instances = (_parse(_instance_text(lines[number]), f"{name}:{first_line + number}") for number in numbers)
    try:
        return _instance_pairs(instances, ipv6=ipv6)
    except _RecordError as error:
        raise _invalid(f"{name}:{first_line + numbers[error.index]}", error) from None


def _instance_text(line: bytes) -> bytes:
    """Return the text of an object without what stands behind it. A list keeps its bracket."""
    return line.rstrip(_BEHIND_OBJECT) if line.lstrip().startswith(b"{") else line


_DECODERS = {CSV: _decode_csv, JSON: _decode_json, JSON_LINES: _decode_json_lines}


def _parse(text: bytes, place: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if not _is_utf8(text):
            raise _unreadable(f"{place}: it is not UTF-8 text.", reason="the payload is not UTF-8 text") from None
        raise _unreadable(f"{place}: it is no JSON: {error}.", reason="the payload is not valid JSON") from None


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _instance_pairs(instances: Iterable[Any], *, ipv6: bool) -> Pairs:
    features = [_features(index, instance) for index, instance in enumerate(instances)]
    if not features:
        return Pairs.joined([])
    entities, texts = zip(*features, strict=True)
    return _pairs(entities, texts, ipv6=ipv6)


def _features(index: int, instance: Any) -> tuple[str, str]:
    """Return entity and address of an instance in any accepted JSON format."""
    try:
        features = instance.get("data", instance)["features"]
        entity, ip = _list(features["values"] if isinstance(features, dict) else features)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise _RecordError(index, f"an instance must be {_SHAPES}, this one is {_shown(instance)}") from None
    if type(entity) is int:  # in CSV a number is the text of its digits, too
        entity = str(entity)
    for value, what in ((entity, "entity"), (ip, "IPv4 address")):
        if not isinstance(value, str):
            raise _RecordError(index, f"the {what} must be a string, this one is {_shown(value)}")
    return entity, ip


def _list(value: Any) -> list[Any]:
    """Return a list unchanged, and raise an error for other values that could be unpacked."""
    if not isinstance(value, list):
        raise TypeError
    return value


def _pairs(entities: Sequence[str], texts: Sequence[str], *, ipv6: bool) -> Pairs:
    """Return pairs from entity and address texts, (n,) each."""
    if not all(entities):
        raise _RecordError(entities.index(""), "the entity is empty")
    if ipv6 and any(":" in text for text in texts):
        return _pairs_of_both(entities, texts)
    return Pairs(hash_entities(entities), _few_ips(texts) if len(texts) <= _FEW else _many_ips(texts))


def _pairs_of_both(entities: Sequence[str], texts: Sequence[str]) -> Pairs:
    addresses = parse_addresses(pa.array(texts, pa.string()))
    if not addresses.is_valid.all():
        text = texts[index := int(np.argmin(addresses.is_valid))]
        raise _RecordError(index, f"{_shown(text)} is not an address that can be used: {explain_address(text)}")
    return Pairs(hash_entities(entities), addresses.ips, addresses)


def _few_ips(texts: Sequence[str]) -> NDArray[np.uint32]:
    for index, text in enumerate(texts):
        if not is_ip(text):
            raise _not_an_ip(index, text)
    packed = b"".join([inet_aton(text.strip(BLANKS)) for text in texts])
    return np.frombuffer(packed, dtype=">u4").astype(np.uint32)


def _many_ips(texts: Sequence[str]) -> NDArray[np.uint32]:
    ips, valid = parse_ips(pa.array(texts, pa.string()))
    if not valid.all():
        index = int(np.argmin(valid))
        raise _not_an_ip(index, texts[index])
    return ips


def _not_an_ip(index: int, text: str) -> _RecordError:
    return _RecordError(index, f"{_shown(text)} is no IPv4 address: {explain_ip(text)}")


def _shown(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return f"nested too deeply ({type(value).__name__})"
    return shortened(text)


def _invalid(place: str, error: _RecordError) -> RequestError:
    return _unreadable(f"{place}: {error}.", reason=f"record {error.index + 1} is not valid")


def _unreadable(message: str, *, reason: str) -> RequestError:
    return RequestError(HTTPStatus.BAD_REQUEST, message, reason=reason)

"""JSON: the records of AWS CloudTrail, and records of any kind.

Source: "CloudTrail record contents" and "CloudTrail userIdentity element" of the AWS CloudTrail user guide.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import orjson
import pyarrow as pa

from ipinsights.etl.field_values import NOTHING
from ipinsights.etl.json_documents import BLANK, Malformed, Path, batches_of_records, inner_record, scalar_text
from ipinsights.etl.presets import Preset
from ipinsights.etl.records import LogRecords, Reason, names_or

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ipinsights.data.timestamps import TimeColumn
    from ipinsights.etl.records import LogOptions

__all__ = ["read_cloudtrail", "read_jsonl", "records_of"]

_MOST_FIELDS_SHOWN = 30
_HAS_ADDRESS = re.compile(
    r"""[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]"""
    r"""|^[\["' ]*[0-9A-Fa-f]{0,4}:[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]*(?![^%\]"' ,;/])"""
).search
_DEEPEST_SHOWN = 8
_CLOUDTRAIL = Preset(
    "jsonl",
    # Users of IAM Identity Center have no ARN, nor have those of SAML.
    ("userIdentity.arn", "userIdentity.onBehalfOf.userId", "userIdentity.userName", "userIdentity.principalId"),
    ("sourceIPAddress",),
    ("eventTime",),
)


def read_cloudtrail(stream: IO[bytes], options: LogOptions) -> Iterator[LogRecords]:
    """Yield the records of CloudTrail.

    The entity is the caller's ARN, or else the most permanent name.
    """
    return read_jsonl(stream, _CLOUDTRAIL.applied(options))


def read_jsonl(stream: IO[bytes], options: LogOptions) -> Iterator[LogRecords]:
    """Yield the records of JSON by the paths to their fields: entity, ip and timestamp."""
    time = options.time_column()
    paths = [*names_or(options.entity, ("entity",)), *names_or(options.ip, ("ip",))]
    for records in batches_of_records(stream, paths):
        yield records_of(records, options, time)


def records_of(records: list[Any], options: LogOptions, time: TimeColumn) -> LogRecords:
    """Return objects, and placeholders for invalid lines, as columns.

    Each path of ``options`` is for records without those before. ``time`` parses the times of the whole log.
    """
    entities, ips = names_or(options.entity, ("entity",)), names_or(options.ip, ("ip",))
    entity_texts, ip_texts = _texts(records, entities), _address_texts(records, ips)
    for index in [index for index, text in enumerate(entity_texts) if text is None and ip_texts[index] is None]:
        if isinstance(record := records[index], dict):
            records[index] = {**record, **(inner_record(record) or {})}
            entity_texts[index : index + 1] = _texts(records[index : index + 1], entities)
            ip_texts[index : index + 1] = _address_texts(records[index : index + 1], ips)

    def field(name: str) -> pa.StringArray:
        """Return the values of a field as text, null where a record lacks the field."""
        path = Path(name)
        return _column([scalar_text(path.value(record)) for record in records])

    def shown(index: int) -> str:
        """Return a record as JSON, or the line of an invalid record."""
        record = records[index]
        return record.line if isinstance(record, Malformed) else _as_json(record)

    stamps = _texts(records, names_or(options.timestamp, ("timestamp",)))
    reasons = [
        Reason.BLANK if record is BLANK else Reason.NONE if isinstance(record, dict) else Reason.MALFORMED
        for record in records
    ]
    names = tuple(_field_names(next((record for record in records if isinstance(record, dict)), {})))
    return LogRecords(
        _column(entity_texts),
        _column(ip_texts),
        *time.parse(_column(stamps)),
        np.array(reasons, dtype=np.uint8),
        _known_fields(names),
        field,
        shown,
        names,
    )


def _texts(records: list[Any], names: tuple[str, ...]) -> list[str | None]:
    """Return for each record the first value at some paths."""
    first, *others = map(Path, names)
    texts = [scalar_text(first.value(record)) for record in records]
    missing = [index for index, text in enumerate(texts) if text is None or text in NOTHING] if others else []
    for index in missing:
        found = (scalar_text(path.value(records[index])) for path in others)
        texts[index] = next((text for text in found if text is not None and text not in NOTHING), texts[index])
    return texts


def _address_texts(records: list[Any], names: tuple[str, ...]) -> list[str | None]:
    """Return for each record the first value at some paths that is an address or a list of such."""
    first, *others = map(Path, names)
    texts = [_address_text(first.value(record)) for record in records]
    for path in others:
        for index, text in enumerate(texts):
            if text is None or not _HAS_ADDRESS(text):
                texts[index] = _address_text(path.value(records[index])) or text
    return texts


def _column(texts: list[str | None]) -> pa.StringArray:
    """Return texts (n,) as a column, with escapes for halves of surrogate pairs."""
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:
        return pa.array([text and text.encode("utf-8", "backslashreplace").decode() for text in texts], pa.string())


def _address_text(value: Any) -> str | None:
    """Return an address, or a list of them, as text."""
    return _as_json(value) if isinstance(value, list) else scalar_text(value)


def _known_fields(names: Sequence[str]) -> str:
    """Return a sentence that names the first fields, or nothing without fields."""
    shown = [ascii(name)[1:-1] for name in names[:_MOST_FIELDS_SHOWN]]
    more = ["..."] if len(names) > _MOST_FIELDS_SHOWN else []
    return f"The fields are {', '.join([*shown, *more])}." if shown else ""


def _field_names(record: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in record.items():
        if isinstance(value, dict) and value and prefix.count(".") < _DEEPEST_SHOWN:
            yield from _field_names(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _as_json(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError as error:
        with contextlib.suppress(RecursionError):
            if "surrogates" in str(error):
                return json.dumps(value)
        return "a value that is nested too deeply to be shown"  # orjson reads more levels than it writes

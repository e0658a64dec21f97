"""JSON in every layout becomes the same records."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from ipinsights.etl.json_documents import BLANK, Malformed, batches_of_records, inner_record

if TYPE_CHECKING:
    from collections.abc import Callable

RECORDS = st.lists(
    st.fixed_dictionaries({"entity": st.text(max_size=5), "ip": st.just("192.0.2.7"), "n": st.integers(-9, 9)}),
    max_size=5,
)
LAYOUTS: dict[str, Callable[[list[dict[str, Any]]], str]] = {
    "lines": lambda records: "\n".join(map(json.dumps, records)),
    "list": json.dumps,
    "pretty list": lambda records: json.dumps(records, indent=2),
    "joined": lambda records: "".join(map(json.dumps, records)),
    "pretty": lambda records: "\n".join(json.dumps(record, indent=4) for record in records),
    "Records": lambda records: json.dumps({"Records": records}),
    "value": lambda records: json.dumps({"@odata.context": "x", "value": records}, indent=1),
    "hits": lambda records: json.dumps({"took": 1, "hits": {"total": 1, "hits": records}}),
    "bundles": lambda records: "".join(json.dumps({"Records": [record]}) for record in records),
    "server-sent": lambda records: "".join(f"data: {json.dumps(record)}\n\n" for record in records),
    "sequence": lambda records: "".join(f"\x1e{json.dumps(record)}\n" for record in records),
    "commas": lambda records: "[\n" + ",\n".join(map(json.dumps, records)) + "\n]",
}


def read(text: str, *names: str) -> list[Any]:
    """Return the records of a text."""
    return [record for batch in batches_of_records(io.BytesIO(text.encode()), names) for record in batch]


@given(RECORDS, st.sampled_from(sorted(LAYOUTS)))
def test_every_layout(records: list[dict[str, Any]], layout: str) -> None:
    """The records are those that were written, in their order."""
    assert [record for record in read(LAYOUTS[layout](records)) if record is not BLANK] == records


@given(RECORDS, RECORDS, st.sampled_from(sorted(LAYOUTS)), st.sampled_from(sorted(LAYOUTS)))
def test_one_layout_behind_another(
    first: list[dict[str, Any]], then: list[dict[str, Any]], layout: str, other: str
) -> None:
    """Files in two layouts, joined as by `cat`, give the records of both."""
    text = LAYOUTS[layout](first) + "\n" + LAYOUTS[other](then)
    assert [record for record in read(text) if record is not BLANK] == first + then


def test_lines_that_are_not_json() -> None:
    """Invalid lines are counted one by one, and the lines around them are read."""
    assert read('{"a": 1}\noops\n\n{"a": 2\n{"a": 3}\n') == [
        {"a": 1},
        Malformed("oops"),
        BLANK,
        Malformed('{"a": 2'),
        {"a": 3},
    ]


def test_a_document_that_is_cut_off() -> None:
    """Each line of a document that is cut off is malformed."""
    assert read('{"a": 1}\n{\n"a":\n') == [{"a": 1}, Malformed("{"), Malformed('"a":')]


def test_a_record_with_a_list_is_not_an_envelope() -> None:
    """An object that has a field that is wanted is a record."""
    record = {"actor": {"email": "ann"}, "events": [{"name": "login"}]}
    assert read(json.dumps(record), "actor.email") == [record]
    assert read(json.dumps({"items": [record]}), "actor.email") == [record]
    assert read(json.dumps(record)) == [{"name": "login"}]


def test_records_inside_of_records() -> None:
    """A record within a record is found as text or as an object."""
    assert inner_record({"CloudTrailEvent": '{"a": 1}'}) == {"a": 1}
    assert inner_record({"message": "oops", "detail": {"a": 1}}) == {"a": 1}
    assert inner_record({"message": "{oops"}) is None

"""Records of AWS CloudTrail become rows."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

from ipinsights.etl.filters import Filters
from ipinsights.etl.records import Reason

from .log_samples import CALLER, TRAIL

if TYPE_CHECKING:
    from .log_samples import Bench


class TestCloudTrail:
    """Records of AWS CloudTrail."""

    @pytest.mark.parametrize(
        "content",
        {
            "as delivered": json.dumps({"Records": [TRAIL, TRAIL]}),
            "laid out": json.dumps({"Records": [TRAIL, TRAIL]}, indent=2),
            "a bare list": json.dumps([TRAIL, TRAIL]),
            "one a line": f"{json.dumps(TRAIL)}\n{json.dumps(TRAIL)}\n",
            "lists line by line": f"{json.dumps({'Records': [TRAIL]})}\n{json.dumps({'Records': [TRAIL]})}",
            "packed": gzip.compress(json.dumps({"Records": [TRAIL, TRAIL]}).encode()),
        }.values(),
    )
    def test_every_shape_of_file(self, bench: Bench, content: str | bytes) -> None:
        """One object with all records, laid out or not, or one record a line."""
        assert bench.of("cloudtrail", content) == ([CALLER, CALLER], {})

    def test_another_entity(self, bench: Bench) -> None:
        """A path with dots leads inside of objects."""
        rows, _ = bench.of("cloudtrail", json.dumps(TRAIL), entity="userIdentity.principalId")
        assert rows[0][0] == "AIDACKCEVSQ6C2EXAMPLE"

    def test_why_records_are_skipped(self, bench: Bench) -> None:
        """Calls of AWS services, callers without ARN, IPv6, what is no record."""
        records = [
            TRAIL,
            {**TRAIL, "sourceIPAddress": "AWS Internal"},
            {**TRAIL, "sourceIPAddress": "ec2.amazonaws.com"},
            {**TRAIL, "userIdentity": {"type": "AWSService", "invokedBy": "ec2.amazonaws.com"}},
            {**TRAIL, "userIdentity": None},
            {**TRAIL, "sourceIPAddress": "2001:db8::7"},
            {**TRAIL, "eventTime": "yesterday"},
            "no object",
        ]
        rows, skipped = bench.of("cloudtrail", json.dumps({"Records": records}))
        assert rows == [CALLER]
        assert skipped == {"HOST_NAME": 2, "NO_USER": 2, "IPV6": 1, "NO_TIME": 1, "MALFORMED": 1}

    def test_callers_that_are_nobody(self, bench: Bench) -> None:
        """Names that do not exist are hidden under one text, and are not one caller."""
        hidden = {"type": "IAMUser", "accountId": "1", "userName": "HIDDEN_DUE_TO_SECURITY_REASONS"}
        anonymous = {"type": "AWSAccount", "principalId": "ANONYMOUS_PRINCIPAL"}
        records = [TRAIL, *({**TRAIL, "userIdentity": identity} for identity in (hidden, anonymous))]
        assert bench.of("cloudtrail", json.dumps({"Records": records})) == ([CALLER], {"NO_USER": 2})

    def test_lines_that_are_no_json(self, bench: Bench) -> None:
        """Invalid lines are counted one by one, wherever they stand."""
        line = json.dumps(TRAIL)
        assert bench.of("cloudtrail", f"\n{line}\n{line[:-1]}\n{line}") == (
            [CALLER, CALLER],
            {"BLANK": 1, "MALFORMED": 1},
        )
        assert bench.of("cloudtrail", f"{line[:-1]}\n{line}\n") == ([CALLER], {"MALFORMED": 1})

    def test_filters_reach_inside(self, bench: Bench) -> None:
        """A truth is true or false, a missing value empty."""
        bench.put(f"{json.dumps(TRAIL)}\n{json.dumps({**TRAIL, 'errorCode': 'Failed'})}\n")
        where = ["errorCode=", "userIdentity.sessionContext.attributes.mfaAuthenticated=true"]
        summary = bench.extract("cloudtrail", filters=Filters.parse(path=None, status="", where=where))
        assert (summary.num_written, summary.skipped) == (1, {Reason.FILTERED: 1})


ROW = {"entity": "ann", "ip": "192.0.2.7", "timestamp": "2018-11-11T09:30:05Z"}


@pytest.mark.parametrize("tail", ["", ", "], ids=["line", "documents in a line"])
class TestUnusualValues:
    """Values that JSON allows and that few programs write."""

    def test_half_of_a_surrogate_pair(self, bench: Bench, tail: str) -> None:
        """A name with half a pair is an entity as the file spells the half."""
        log = rf'{{"entity": "an\ud83d", "ip": "192.0.2.7", "timestamp": "2018-11-11T09:30:05Z"}}{tail}'
        rows, skipped = bench.of("jsonl", f"{log}\n{json.dumps(ROW)}")
        assert [row[0] for row in rows] == [r"an\ud83d", "ann"]
        assert skipped == {}

    @pytest.mark.parametrize("digits", ["123456789012345678901", "9" * 300, "1" * 5000])
    def test_numbers_of_more_than_64_bits(self, bench: Bench, tail: str, digits: str) -> None:
        """Such a number has lost digits and is not an entity. It may stand in other fields."""
        log = json.dumps({**ROW, "entity": 0, "size": 1}).replace(": 0", f": {digits}") + tail
        other = json.dumps({**ROW, "size": 0}).replace(": 0", f": {digits}") + tail
        rows, skipped = bench.of("jsonl", f"{log}\n{other}")
        assert [row[0] for row in rows] == ["ann"]
        assert skipped == {"NO_USER": 1}

    def test_numbers_of_64_bits(self, bench: Bench, tail: str) -> None:
        """Identifiers of 64 bits keep all digits."""
        names = [2**64 - 1, 2**63 + 1, -(2**63), 1234567890123456789]
        log = "\n".join(json.dumps({**ROW, "entity": name}) + tail for name in names)
        assert [row[0] for row in bench.of("jsonl", log)[0]] == list(map(str, names))


def test_an_unusual_record_is_shown(bench: Bench) -> None:
    """An example of a skipped record with half a surrogate pair shows the record."""
    bench.put('{"entity": "\\ud83d", "ip": "192.0.2.256"} \n' + json.dumps(ROW))
    summary = bench.extract("jsonl")
    assert list(summary.examples.values()) == [
        rf"""{bench.logs / "log"}: '{{"entity": "\\ud83d", "ip": "192.0.2.256"}}'"""
    ]


@pytest.mark.parametrize("ip", ["2a00:1::2", "[2a00:1::2]:443", ["2a00:1::2", "192.0.2.9"]])
def test_ipv6_is_not_replaced_by_another_address(bench: Bench, ip: str | list[str]) -> None:
    """A record whose first field is an IPv6 address is set aside, or kept with that address."""
    log = json.dumps({**ROW, "ip": ip, "proxy": "192.0.2.9"}) + "\n" + json.dumps(ROW)
    rows, skipped = bench.of("jsonl", log, ip=("ip", "proxy"))
    assert ([row[1] for row in rows], skipped) == (["192.0.2.7"], {"SEVERAL" if isinstance(ip, list) else "IPV6": 1})
    rows, skipped = bench.of("jsonl", log, ip=("ip", "proxy"), ipv6=True)
    assert ([row[1] for row in rows], skipped) == (["2a00:1::2", "192.0.2.7"], {})

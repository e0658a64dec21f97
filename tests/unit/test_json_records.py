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

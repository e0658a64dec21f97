"""Flow logs of Amazon VPC become rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ipinsights.data import bounded_lines
from ipinsights.errors import ClientError
from ipinsights.etl.filters import Filters

from .log_samples import FLOW, HEADER

if TYPE_CHECKING:
    from .log_samples import Bench


class TestVpcFlow:
    """Flow logs of Amazon VPC."""

    def test_default_fields(self, bench: Bench) -> None:
        """A network interface and who sends to it, with or without a header."""
        row = ["eni-0a1b", "192.0.2.7", "2014-12-14T04:06:50Z"]
        assert bench.of("vpcflow", FLOW) == ([row], {})
        assert bench.of("vpcflow", f"{HEADER}\n{FLOW}\n") == ([row], {"OTHER": 1})

    def test_own_fields(self, bench: Bench) -> None:
        """A header says where things stand; entity, address and time can be others."""
        header = "instance-id start end pkt-srcaddr srcaddr interface-id"
        log = f"{header}\ni-01 1418530010 1418530070 192.0.2.7 10.0.0.1 eni-1"
        assert bench.of("vpcflow", log)[0] == [["eni-1", "10.0.0.1", "2014-12-14T04:06:50Z"]]
        columns = {"entity": "instance-id", "ip": "pkt-srcaddr", "timestamp": "end"}
        assert bench.of("vpcflow", log, **columns)[0] == [["i-01", "192.0.2.7", "2014-12-14T04:07:50Z"]]

    def test_why_lines_are_skipped(self, bench: Bench) -> None:
        """No flow, no interface, IPv6, too few or too many fields."""
        nothing = "2 123456789010 eni-0a1b - - - - - - - 1431280876 1431280934 - NODATA"
        lines = [FLOW, nothing, nothing.replace("NODATA", "SKIPDATA"), nothing.replace("NODATA", "OK"),
                 FLOW.replace("eni-0a1b", "-"), FLOW.replace("192.0.2.7", "2001:db8::7"), FLOW[2:], f"{FLOW} OK",
                 FLOW.replace("1418530010", "-"), ""]  # fmt: skip
        rows, skipped = bench.of("vpcflow", "\n".join(lines) + "\n")
        assert len(rows) == 1
        assert skipped == {
            "OTHER": 2, "NO_ADDRESS": 1, "NO_USER": 1, "IPV6": 1, "MALFORMED": 2, "NO_TIME": 1, "BLANK": 1
        }  # fmt: skip

    @pytest.mark.parametrize(
        "line",
        [
            "5 vpc-1 subnet-1 198.51.100.1 i-0123 ingress 6 49761 22 192.0.2.7 1418530010 1418530070 ACCEPT OK",
            FLOW.replace("eni-0a1b", "i-0123"),
            FLOW.replace("REJECT OK", "OK REJECT"),
            FLOW.replace(" 1418530010 1418530070 REJECT OK", " REJECT OK 1418530010 1418530070"),
            FLOW.replace("REJECT", "6"),
            f"{FLOW} vpc-1",
        ],
    )
    def test_other_fields_without_a_header(self, bench: Bench, line: str) -> None:
        """Fourteen fields that do not look like the default fields need a header."""
        bench.put(line)
        with pytest.raises(ClientError) as caught:
            bench.extract("vpcflow")
        assert str(caught.value) == (
            "None of the 1 records is in the format vpcflow. "
            "A flow log with other fields than the default ones needs its header, with their names, in front, or "
            "`fields`."
        )

    @pytest.mark.parametrize("size", [4 * 2**20, 64])
    def test_headers_in_mid_stream(self, bench: Bench, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
        """Each names the fields of the lines behind it, also those of the next block."""
        monkeypatch.setattr(bounded_lines, "_BLOCK_BYTES", size)
        flows = [
            (1, "interface-id srcaddr start"),
            (2, "start interface-id srcaddr"),
            (3, "srcaddr dstaddr start interface-id"),
        ]
        lines = []
        for number, header in flows:
            values = {
                "interface-id": f"eni-{number}",
                "srcaddr": f"192.0.2.{number}",
                "start": "1418530010",
                "dstaddr": "-",
            }
            lines += [header, *[" ".join(values[name] for name in header.split())] * 2, header]
        rows, skipped = bench.of("vpcflow", "\ufeff" + "\n".join(lines))
        assert [row[:2] for row in rows] == [[f"eni-{n}", f"192.0.2.{n}"] for n in (1, 1, 2, 2, 3, 3)]
        assert skipped == {"OTHER": 6}

    def test_flows_in_messages(self, bench: Bench) -> None:
        """What CloudWatch's subscribers write as JSON is unwrapped, with and without other fields."""
        nodata = FLOW.replace("REJECT OK", "- NODATA")
        lines = [json.dumps({"message": FLOW}), json.dumps({"id": 7, "message": nodata}), '{"message": 1', "{}"]
        rows, skipped = bench.of("vpcflow", "\n".join(lines))
        assert (rows, skipped) == ([["eni-0a1b", "192.0.2.7", "2014-12-14T04:06:50Z"]], {"OTHER": 1, "MALFORMED": 2})

    @pytest.mark.parametrize(
        "log",
        [
            json.dumps({"messageType": "DATA_MESSAGE", "logEvents": [{"id": "1", "message": FLOW}]}),
            json.dumps({"events": [{"timestamp": 1, "message": FLOW}]}, indent=4),
            f"2014-12-14T04:06:50.000Z {FLOW}",
            f"2014-12-14T04:06:50.000000+00:00 eni-0a1b-all {FLOW}",
        ],
        ids=["subscription", "aws logs filter-log-events", "export to S3", "aws logs tail"],
    )
    def test_what_cloudwatch_writes(self, bench: Bench, log: str) -> None:
        """Flows are read inside of what CloudWatch puts around them."""
        assert bench.of("vpcflow", log) == ([["eni-0a1b", "192.0.2.7", "2014-12-14T04:06:50Z"]], {})

    def test_aligned_fields(self, bench: Bench) -> None:
        """TABs and several blanks separate fields, too."""
        row = ["eni-0a1b", "192.0.2.7", "2014-12-14T04:06:50Z"]
        log = "\n".join([FLOW.replace(" ", "\t"), f"{FLOW} ", FLOW.replace(" ", "   ")])
        assert bench.of("vpcflow", log) == ([row] * 3, {})

    def test_filters_go_by_the_names_of_fields(self, bench: Bench) -> None:
        """A filter names a field of the flow log, such as action."""
        bench.put(f"garbage\n{FLOW}\n{FLOW.replace('REJECT', 'ACCEPT').replace('192.0.2.7', '192.0.2.8')}")
        bench.extract("vpcflow", filters=Filters.parse(path=None, status="", where=["action=ACCEPT"]))
        assert [row[1] for row in bench.rows()] == ["192.0.2.8"]

    def test_a_field_that_there_is_not(self, bench: Bench) -> None:
        """The message names the file, the field and those there are."""
        path = bench.put("srcaddr start\n192.0.2.7 1418530010")
        with pytest.raises(ClientError) as caught:
            bench.extract("vpcflow")
        assert str(caught.value) == (
            f"{path}: The flow log has no field 'interface-id'. The fields are srcaddr, start."
        )

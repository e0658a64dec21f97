"""Log files of every format become rows; what does not is counted, with the reason."""

from __future__ import annotations

import gzip
import json
import lzma
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ipinsights.cli import traffic_commands
from ipinsights.data.entity_hash import hash_entities
from ipinsights.data.file_kinds import text_encoding
from ipinsights.errors import ClientError
from ipinsights.etl.filters import Filters
from ipinsights.etl.pipeline import FORMATS
from ipinsights.etl.presets import PRESETS
from ipinsights.etl.records import LogOptions, Reason
from ipinsights.etl.summary import NothingUsableError

from .log_samples import (
    ALICE,
    CALLER,
    COMBINED,
    FLOW,
    FRANK,
    HEADER,
    SSHD,
    TABLE,
    TRAIL,
    as_csv,
    as_jsonl,
    as_parquet,
)

if TYPE_CHECKING:
    from .log_samples import Bench


@pytest.mark.parametrize(
    ("log_format", "content", "row"),
    [
        ("apache", COMBINED, FRANK[:2]),
        ("sshd", SSHD, ALICE[:2]),
        ("vpcflow", FLOW, ["eni-0a1b", "192.0.2.7"]),
        ("cloudtrail", json.dumps(TRAIL), CALLER[:2]),
        ("jsonl", '{"entity": "a", "ip": "192.0.2.7"}', ["a", "192.0.2.7"]),
        ("parquet", as_parquet(pa.table({"entity": ["a"], "ip": ["192.0.2.7"]})), ["a", "192.0.2.7"]),
    ],
)
def test_no_format_needs_times_that_nobody_wants(
    bench: Bench, log_format: str, content: str | bytes, row: list[str]
) -> None:
    """The rows are pairs of entity and address, and the summary tells no period."""
    rows, _ = bench.of(log_format, content, no_timestamps=True)
    assert rows == [row]
    assert str(bench.extract(log_format, LogOptions(no_timestamps=True))).endswith("\nWritten: 1 row of 1 entity.")


NOTHING = [
    "", "-", "--", "-----", " ", "NULL", "null", "(null)", "<null>", r"\N", "nan", "NaN", "None", "none", "N/A", "NA",
    "<NA>", "nil", "undefined", '""', "\u2013", " NULL ", "\tnan",
]  # fmt: skip


class TestNobody:
    """Words that stand for no value are neither an entity nor an address."""

    @pytest.mark.parametrize("word", NOTHING)
    def test_no_entity(self, bench: Bench, word: str) -> None:
        """Otherwise all anonymous events would be one user's."""
        lines = [json.dumps({"entity": entity, "ip": "192.0.2.7"}) for entity in (word, "ann")]
        rows, skipped = bench.of("jsonl", "\n".join(lines), no_timestamps=True)
        assert (rows, skipped) == ([["ann", "192.0.2.7"]], {"NO_USER": 1})

    @pytest.mark.parametrize("word", NOTHING)
    def test_no_address(self, bench: Bench, word: str) -> None:
        """A text for "no value" counts as an empty field, not as a host name."""
        lines = [json.dumps({"entity": "ann", "ip": ip}) for ip in (word, "192.0.2.7")]
        rows, skipped = bench.of("jsonl", "\n".join(lines), no_timestamps=True)
        assert (rows, skipped) == ([["ann", "192.0.2.7"]], {"NO_ADDRESS": 1})

    def test_a_truth_is_nobody(self, bench: Bench) -> None:
        """Some programs write `false` for a user who is not logged in."""
        assert bench.of("jsonl", '{"entity": false, "ip": "192.0.2.7"}\n{"entity": 7, "ip": "192.0.2.7"}',
                        no_timestamps=True) == ([["7", "192.0.2.7"]], {"NO_USER": 1})  # fmt: skip

    @pytest.mark.parametrize("name", ["nano", "nulla", "n", "-x", "x-", "0", "anonymous", "guest", "N", "no one"])
    def test_names_that_are_alike(self, bench: Bench, name: str) -> None:
        """Names that resemble words for "no value" are users."""
        line = json.dumps({"entity": name, "ip": "192.0.2.7"})
        assert bench.of("jsonl", line, no_timestamps=True) == ([[name, "192.0.2.7"]], {})

    def test_every_format(self, bench: Bench) -> None:
        """Tables and logs have the same words."""
        table = pa.table({"entity": ["NULL", None, "ann"], "ip": ["192.0.2.7"] * 3})
        for log_format, content in (
            ("parquet", as_parquet(table)),
            ("csv", "entity,ip\nNULL,192.0.2.7\n,192.0.2.7\nann,192.0.2.7\n"),
            ("apache", "\n".join(COMBINED.replace("frank", user) for user in ("--", "null", "ann"))),
        ):
            rows, skipped = bench.of(log_format, content, no_timestamps=True)
            assert (rows, skipped) == ([["ann", "192.0.2.7"]], {"NO_USER": 2})


class TestAddresses:
    """Why a text is not an address is told apart."""

    @pytest.mark.parametrize(
        ("ip", "reason"),
        [
            ("[2001:db8::7]:443", "IPV6"),
            ("[2001:db8::7]", "IPV6"),
            ("fe80::1%eth0", "IPV6"),
            ("2001:db8::7, 198.51.100.1", "SEVERAL"),
            ([], "NO_ADDRESS"),
            (None, "NO_ADDRESS"),
            ({"v4": "192.0.2.7"}, "NO_ADDRESS"),
            ("www.example.org", "HOST_NAME"),
            ("ec2.amazonaws.com", "HOST_NAME"),
            ("AWS Internal", "HOST_NAME"),
            ("localhost:22", "HOST_NAME"),
            ("192.0.2.256", "BAD_ADDRESS"),
            ("192.0.2.256:443", "BAD_ADDRESS"),
            (["192.0.2.256"], "BAD_ADDRESS"),
            ("192.0.2.07", "BAD_ADDRESS"),
            ("192.0.2.0/24", "BAD_ADDRESS"),
            (3221225985, "BAD_ADDRESS"),
        ],
    )
    def test_reasons(self, bench: Bench, ip: Any, reason: str) -> None:
        """Ports, lists, names of hosts, empty fields and other texts have a reason each."""
        lines = [json.dumps({"entity": "ann", "ip": address}) for address in (ip, "192.0.2.7")]
        assert bench.of("jsonl", "\n".join(lines), no_timestamps=True)[1] == {reason: 1}

    @pytest.mark.parametrize("ip", [
        "192.0.2.7:443", "[192.0.2.7]:443", "192.0.2.7, 198.51.100.1", "192.0.2.7,198.51.100.1",
        "192.0.2.7 198.51.100.1",
        ["192.0.2.7"], ["192.0.2.7", "198.51.100.1"], "192.0.2.7%0", "[192.0.2.7]", "192.0.2.7/32",
        "::ffff:192.0.2.7",
        "[::ffff:192.0.2.7]:443", "'192.0.2.7'", "192.0.2.7:443, 198.51.100.1:80", "192.0.2.7; 198.51.100.1",
    ])  # fmt: skip
    def test_what_may_stand_around_an_address(self, bench: Bench, ip: Any) -> None:
        """Decoration is removed, and of a list the first address is taken."""
        assert bench.of("jsonl", json.dumps({"entity": "ann", "ip": ip}), no_timestamps=True) == (
            [["ann", "192.0.2.7"]],
            {},
        )


def test_values_that_are_nested_deeply(bench: Bench) -> None:
    """Deeply nested values are read, counted and shown without a failure."""
    deep = "[" * 900 + "]" * 900
    lines = [deep, f'{{"entity": "ann", "ip": {deep}}}', '{"entity": "ann", "ip": "192.0.2.7"}']
    bench.put("\n".join(lines))
    summary = bench.extract("jsonl", LogOptions(no_timestamps=True))
    assert summary.skipped == {Reason.MALFORMED: 1, Reason.HOST_NAME: 1}


class TestNothingUsable:
    """If there is no row, there is an error with what would help."""

    def refused(self, bench: Bench, log_format: str, content: str, **columns: Any) -> NothingUsableError:
        """Return the error, and check that no output is left."""
        bench.put(content)
        with pytest.raises(NothingUsableError) as caught:
            bench.extract(log_format, LogOptions(**columns))
        assert not bench.output.exists()
        return caught.value

    def test_an_entity_that_is_missing(self, bench: Bench) -> None:
        """The error names the option and the fields; the summary shows a record for each reason."""
        ip = "192.0.2.7"
        records = [{"actor": {"name": "ann", "id": 7}, "ip": ip}, {"actor": {}, "ip": ip}]
        error = self.refused(bench, "jsonl", as_jsonl(records), entity="user", no_timestamps=True)
        assert str(error) == (
            "No row was written: most records name no entity. Name the field of the entity with `entity`: "
            "the fields are actor.name, actor.id, ip."
        )
        assert str(error.summary) == (
            "2 records in 1 file: 0 written, 2 skipped.\n"
            "               2  no entity\n"
            f"                  for example {bench.logs / 'log'}: "
            """'{"actor":{"name":"ann","id":7},"ip":"192.0.2.7"}'"""
        )

    @pytest.mark.parametrize(
        ("ip", "why"),
        [
            ("::2 192.0.2.8", "lists of addresses stand where one address must"),
            ("host", "names stand where addresses must"),
            ("-", "most records have no address"),
            ("1.2.3", "most records have no address"),
            ("::1", "the addresses are IPv6, which the model does not know"),
        ],
    )
    def test_addresses_that_are_none(self, bench: Bench, ip: str, why: str) -> None:
        """The most frequent reason is told."""
        error = self.refused(bench, "csv", f"entity,ip\nann,{ip}\nben,{ip}\n-,x\n", no_timestamps=True)
        assert str(error) == (
            f"No row was written: {why}. Name the field of the address with `ip`: the columns are entity, ip."
        )

    def test_times_that_are_none(self, bench: Bench) -> None:
        """The error about invalid times says that times can be left out."""
        error = self.refused(bench, "csv", "entity,ip,timestamp\nann,192.0.2.7,noon\n")
        assert str(error) == (
            "No row was written: most records have no time that can be read. Name the field of the time with "
            "`timestamp`, its format with `time_format`, or leave times out with `no_timestamps`: the columns are "
            "entity, ip, timestamp."
        )

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            (
                "frank",
                "-",
                "most records name no entity. If the user is not the third field, name the fields with `line_format`, "
                "and the one of the user with `entity`.",
            ),
            (
                COMBINED.partition(" ")[0],
                "host",
                "names stand where addresses must. If the client is not the first field, name the fields with "
                "`line_format`, and the one of the client with `ip`.",
            ),
            (
                COMBINED.partition(" ")[0],
                "::1",
                "the addresses are IPv6, which the model does not know. Keep them with `ipv6`: a model with a history "
                "scores them.",
            ),
        ],
    )
    def test_a_format_with_fixed_places(self, bench: Bench, old: str, new: str, message: str) -> None:
        """A format of the user's can have the field elsewhere."""
        error = self.refused(bench, "apache", COMBINED.replace(old, new))
        assert str(error) == f"No row was written: {message}"

    def test_filters_that_nothing_passes(self, bench: Bench) -> None:
        """The error names the filters."""
        bench.put(COMBINED)
        with pytest.raises(ClientError) as caught:
            bench.extract("apache", filters=Filters(statuses=("404",)))
        assert str(caught.value) == (
            "No row was written: no record passes `path`, `status` and `where`. Choose other values."
        )

    def test_a_filter_among_other_programs(self, bench: Bench) -> None:
        """The error names the filters also where most lines are of other programs."""
        bench.put("\n".join([SSHD, *[SSHD.replace("sshd", "cron")] * 3]))
        with pytest.raises(ClientError) as caught:
            bench.extract("sshd", LogOptions(year=2018), filters=Filters(where=(("event", "accepted"),)))
        assert str(caught.value) == (
            "No row was written: no record passes `path`, `status` and `where`. Choose other values."
        )

    def test_other_programs(self, bench: Bench) -> None:
        """A log of something else is one without rows."""
        error = self.refused(bench, "sshd", SSHD.replace("sshd", "cron"), year=2018)
        assert str(error) == (
            "No row was written: the records are about something else. See `log_format` for the formats."
        )

    def test_a_record_is_cut_and_escaped(self, bench: Bench) -> None:
        """An example is cut, and its control characters are escaped."""
        error = self.refused(bench, "apache", "\x1b]0;x\x07" + "\u202e" + "y" * 500)
        (example_shown,) = error.summary.examples.values()
        assert example_shown == f"{bench.logs / 'log'}: '\\x1b]0;x\\x07\\u202e{'y' * 193}...'"


class TestNumbersAsTimes:
    """Only numbers of plausible years are times, and a column has one unit."""

    @pytest.mark.parametrize(
        ("text", "time"),
        [
            ("20231115102233", "2023-11-15T10:22:33Z"),
            ("20231115102233.25Z", "2023-11-15T10:22:33.250000Z"),
            ("20231115T102233+0200", "2023-11-15T08:22:33Z"),
            ("1700043753", "2023-11-15T10:22:33Z"),
            ("1700043753000", "2023-11-15T10:22:33Z"),
            ("1700043753000001", "2023-11-15T10:22:33.000001Z"),
            ("1700043753000001999", "2023-11-15T10:22:33.000001Z"),
        ],
    )
    def test_times(self, bench: Bench, text: str, time: str) -> None:
        """Compact calendar times, and seconds to nanoseconds since 1970."""
        assert bench.of("csv", f"entity,ip,timestamp\nann,192.0.2.7,{text}\n")[0] == [["ann", "192.0.2.7", time]]

    @pytest.mark.parametrize(
        "text",
        ["20231315102233", "99991115102233", "2023111510", "2023111510223300", "133446205530000000",
         "638357005530000000", "3909032553", "3782888553", "721736553", "49301234567", "13344620553000000", "20231115",
         "99999999999"],
    )  # fmt: skip
    def test_numbers_that_are_none(self, bench: Bench, text: str) -> None:
        """No such month or year, and what Windows, .NET, NTP, Macs, browsers and telephones count."""
        log = f"entity,ip,timestamp\nann,192.0.2.7,{text}\nben,192.0.2.8,2023-11-15T10:22:33Z\n"
        assert bench.of("csv", log)[1] == {"NO_TIME": 1}

    @pytest.mark.parametrize("log_format", ["csv", "jsonl", "vpcflow", "parquet"])
    def test_two_units(self, bench: Bench, log_format: str) -> None:
        """A column in seconds and milliseconds is refused, also in another block."""
        times = [1700043753, 1700043753000]
        flows = "\n".join(f"eni-1 192.0.2.7 {time}" for time in times)
        table = pa.table({"entity": ["a"] * 2, "ip": ["192.0.2.7"] * 2, "timestamp": times})
        contents: dict[str, str | bytes] = {
            "csv": "entity,ip,timestamp\n" + "".join(f"a,192.0.2.7,{time}\n" for time in times),
            "jsonl": "".join(f'{{"entity":"a","ip":"192.0.2.7","timestamp":{time}}}\n' for time in times),
            "vpcflow": f"interface-id srcaddr start\n{flows}\n",
            "parquet": as_parquet(table),
        }
        path = bench.put(contents[log_format])
        with pytest.raises(ClientError) as caught:
            bench.extract(log_format)
        assert str(caught.value) == (
            f"{path}: The times are numbers of different units: 1700043753 is in seconds, 1700043753000 in "
            "milliseconds. Convert them to one unit first."
        )


def test_the_command_knows_every_format() -> None:
    """The choices of the command are the readers and the presets."""
    assert [*FORMATS, *PRESETS] == traffic_commands._FORMATS


SAMPLES = [COMBINED, SSHD, FLOW, HEADER, json.dumps(TRAIL), as_csv(TABLE), as_jsonl(TABLE), "entity,ip,timestamp"]
PIECES = [
    *(piece.encode() for sample in SAMPLES for piece in sample.split(" ")),
    b" ", b"\n", b"\r\n", b"\r", b"\0", b'"', b"[", b"]", b"{", b"\xff", b"\\", b",", b"::1", b"-", b"9" * 20,
]  # fmt: skip
GARBAGE = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from(PIECES), max_size=40).map(b" ".join),
    st.lists(st.sampled_from([sample.encode() for sample in SAMPLES] + PIECES), max_size=8).map(b"\n".join),
)


@pytest.mark.parametrize("log_format", [name for name in FORMATS if name not in ("parquet", "nginx")])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=GARBAGE, packed=st.booleans())
@example(content=b'"' + b"x" * 200_000, packed=False)
@example(content=b"\n\n[]", packed=False)
def test_garbage_is_counted(bench: Bench, log_format: str, content: bytes, packed: bool) -> None:  # noqa: FBT001
    """Each line of any content is read or counted, or an error is reported."""
    if log_format == "csv":
        content = b"entity,ip,timestamp\n" + content
    bench.put(gzip.compress(content) if packed else content)
    try:
        summary = bench.extract(log_format, LogOptions(year=2018))
    except ClientError as error:
        told = ("None of the ", "The flow log has no field", " is a damaged ", "No row was written: ",
                "holds no file with data", "cannot be read: it is ", "The times are numbers of different units",
                "The first row cannot be read as CSV")  # fmt: skip
        assert any(part in str(error) for part in told)  # noqa: PT017
        return
    assert summary.num_written == len(bench.rows())
    assert summary.num_records == summary.num_written + sum(summary.skipped.values())
    if text_encoding(content):
        return
    num_lines = len(content.split(b"\n")) - content.endswith(b"\n") if content else 0
    if log_format in ("apache", "sshd", "vpcflow", "jsonl"):
        assert summary.num_records == num_lines


def test_damage_is_told_with_the_name_once(bench: Bench) -> None:
    """The name of a file stands once in an error, also where damage is found late."""
    rows = "".join(f"{hash_entities([str(number)])[0]},192.0.2.7\n" for number in range(2000))
    path = bench.put(lzma.compress(f"entity,ip\n{rows}".encode())[:-100])
    with pytest.raises(ClientError) as caught:
        bench.extract("csv", LogOptions(no_timestamps=True))
    assert str(caught.value) == f"{path} is a damaged xz file: it ends too early."

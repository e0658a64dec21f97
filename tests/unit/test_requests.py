"""Bodies of requests to pairs."""

from __future__ import annotations

import gzip
import io
import json
from typing import TYPE_CHECKING, Any

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.data.entity_hash import hash_entities
from ipinsights.data.pairs import Pairs, read_blocks
from ipinsights.errors import ClientError
from ipinsights.serving.media_types import CSV, JSON, JSON_LINES, RequestError
from ipinsights.serving.requests import decode

if TYPE_CHECKING:
    from collections.abc import Callable

# The examples of the developer guide, to the letter: that of JSON Lines has a comma and a bracket too many.
DOCUMENTED = {
    CSV: "entity_id_1, 192.168.1.2\nentity_id_2, 10.10.1.2",
    JSON: '{"instances": [{"data": {"features": {"values": ["entity_id_1", "192.168.1.2"]}}},'
    ' {"features": ["entity_id_2", "10.10.1.2"]}]}',
    JSON_LINES: '{"data": {"features": {"values": ["entity_id_1", "192.168.1.2"]}}},\n'
    '{"features": ["entity_id_2", "10.10.1.2"]}]',
}
SHAPES = '{"features": [entity, ip]} or {"data": {"features": {"values": [entity, ip]}}}'


def refusal(body: bytes, content_type: str) -> str:
    """Return the error message for an invalid body."""
    with pytest.raises(RequestError) as caught:
        decode(body, content_type)
    assert caught.value.status == 400
    return str(caught.value)


def lines(*instances: Any) -> bytes:
    """Return JSON Lines."""
    return "".join(json.dumps(instance) + "\n" for instance in instances).encode()


class TestDecode:
    """What can be read."""

    @pytest.mark.parametrize("content_type", DOCUMENTED)
    def test_documented_examples(self, content_type: str) -> None:
        """Each is the same two pairs."""
        pairs = decode(DOCUMENTED[content_type].encode(), content_type)
        assert pairs.entities.tolist() == hash_entities(["entity_id_1", "entity_id_2"]).tolist()
        assert pairs.ips.tolist() == [0xC0A80102, 0x0A0A0102]

    def test_an_instance_may_have_more(self) -> None:
        """A configuration, keys and a shape in an instance change nothing.

        The common format of the developer guide has them.
        """
        instance = {"configuration": {}, "data": {"features": {"keys": [], "values": ["a", "1.2.3.4"], "shape": [2]}}}
        assert decode(lines(instance), JSON_LINES).ips.tolist() == [0x01020304]

    def test_a_number_is_the_text_of_its_digits(self) -> None:
        """An entity 7 is the same in JSON and in CSV."""
        in_json = decode(lines({"features": [7, "1.2.3.4"]}), JSON_LINES)
        assert in_json.entities.tolist() == decode(b"7,1.2.3.4", CSV).entities.tolist()

    def test_a_bracket_may_stand_alone(self) -> None:
        """A bracket alone on the last line of JSON Lines is ignored."""
        body = b'{"features":["a","1.2.3.4"]},\n{"features":["b","1.2.3.5"]}\n]\n'
        assert decode(body, JSON_LINES).ips.tolist() == [0x01020304, 0x01020305]

    def test_blank_lines_count_for_nothing(self) -> None:
        """Blank lines are ignored in CSV and in JSON Lines."""
        assert len(decode(b"\na,1.2.3.4\n\n", CSV)) == 1
        assert len(decode(b'\n{"features":["a","1.2.3.4"]}\r\n\r\n', JSON_LINES)) == 1

    @given(
        st.lists(
            st.tuples(
                st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
                st.ip_addresses(v=4),
            ),
            min_size=1,
            max_size=60,
        )
    )
    def test_the_formats_agree(self, pairs: list[tuple[str, Any]]) -> None:
        """Any entity, however strange, and any address are the same pair in each of the three."""
        rows = [(entity, str(ip)) for entity, ip in pairs]
        quoted = "".join('"{}",{}\n'.format(entity.replace('"', '""'), ip) for entity, ip in rows)
        instances = [{"features": row} for row in rows]
        decoded = [
            decode(quoted.encode(), CSV),
            decode(json.dumps({"instances": instances}).encode(), JSON),
            decode(lines(*instances), JSON_LINES),
        ]
        for each in decoded:
            assert each.entities.tolist() == hash_entities([entity for entity, _ in rows]).tolist()
            assert each.ips.tolist() == [int(ip) for _, ip in pairs]

    @given(st.text(alphabet='a1,. \n\r"\ufeffé', max_size=40))
    @hypothesis.example("\ufeffa,1.2.3.4")
    @hypothesis.example('"a,1.2.3.4')
    def test_small_csv_is_read_like_a_file(self, text: str) -> None:
        """The fast parser of small bodies and the reader of files agree on pairs and refusals."""
        try:
            blocks = list(read_blocks(io.BytesIO(text.encode())))
            expected = [ip for block in blocks for ip in block.ips.tolist()]
        except ClientError:
            expected = []
        try:
            found = decode(text.encode(), CSV).ips.tolist()
        except RequestError:
            found = []
        assert found == expected


class TestRefuse:
    """What cannot be read: which record, and why."""

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (b"", "the payload is empty: it must hold at least one row of entity,ip."),
            (
                b"a,1.2.3.4\nb,1.2.3",
                "the payload:2: '1.2.3' is no IPv4 address: it must be four numbers from 0 to 255, separated by dots.",
            ),
            (b"a,1.2.3.4\nb", "the payload:2: a row must have 2 columns (entity,ip), this one has 1 column."),
            (b',1.2.3.4"', "the payload:1: the entity is empty."),
            (b"\xff,1.2.3.4", "the payload:1: it is not UTF-8 text."),
            (gzip.compress(b"a,1.2.3.4", mtime=0), "The payload is packed with gzip: send it unpacked."),
        ],
    )
    def test_csv(self, body: bytes, message: str) -> None:
        """The error names the line of an invalid row."""
        assert refusal(body, CSV) == message

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (b'{"instances": []}', "The payload holds no record: send at least one pair of entity and IPv4 address."),
            (
                json.dumps(json.dumps({"instances": [{"features": ["a", "192.0.2.1"]}]})).encode(),
                "The payload is a JSON string: it was encoded twice. Send the object itself.",
            ),
            (
                '{"instances": [{"features": ["é", "192.0.2.1"]}]}'.encode("latin-1"),
                "the payload: it is not UTF-8 text.",
            ),
            (gzip.compress(b"{}", mtime=0), "The payload is packed with gzip: send it unpacked."),
            (b"[]", f'The payload must be {{"instances": [...]}}, each of them {SHAPES}.'),
            (
                b'{"instances": [{"features": ["a", "1.2.3.4"]}, 5]}',
                f"the payload, instance 2: an instance must be {SHAPES}, this one is 5.",
            ),
            (
                b'{"instances": [{"features": ["", "1.2.3.4"]}]}',
                "the payload, instance 1: the entity is empty.",
            ),
            (
                b'{"instances": [{"features": [true, "1.2.3.4"]}]}',
                "the payload, instance 1: the entity must be a string, this one is true.",
            ),
            (
                b'{"instances": [{"features": ["a", 16909060]}]}',
                "the payload, instance 1: the IPv4 address must be a string, this one is 16909060.",
            ),
            (
                b'{"instances": [{"features": ["a", "1.2.3.256"]}]}',
                'the payload, instance 1: "1.2.3.256" is no IPv4 address: 256 is more than 255.',
            ),
            (
                '{"instances": [{"features": ["a", "één.2.3.4"]}]}'.encode(),
                'the payload, instance 1: "één.2.3.4" is no IPv4 address: it must be four numbers from 0 to 255, '
                "separated by dots.",
            ),
            (
                json.dumps({"instances": ["x" * 58]}).encode(),
                f'the payload, instance 1: an instance must be {SHAPES}, this one is "{"x" * 58}".',
            ),
            (
                json.dumps({"instances": ["x" * 59]}).encode(),
                f'the payload, instance 1: an instance must be {SHAPES}, this one is "{"x" * 59}....',
            ),
        ],
    )
    def test_json(self, body: bytes, message: str) -> None:
        """The instance is named, counted from 1."""
        assert refusal(body, JSON) == message

    def test_json_lines(self) -> None:
        """The line is named, blank lines counted."""
        body = b'{"features":["a","1.2.3.4"]}\n\n{"features":["a","1.2.3.04"]}\n'
        assert refusal(body, JSON_LINES) == (
            'the payload:3: "1.2.3.04" is no IPv4 address: 04 has a leading zero, which some read as octal.'
        )

    def test_a_line_that_is_no_json(self) -> None:
        """A text that goes over two lines is no record."""
        message = refusal(b'{"features":["a","1.2.3.4"]}\n{"features":["b",\n"1.2.3.4"]}', JSON_LINES)
        assert message.startswith("the payload:2: it is no JSON: ")

    def test_a_list_in_place_of_an_instance(self) -> None:
        """A pair in brackets is valid JSON, and the message says what an instance must be."""
        assert refusal(b'["a", "1.2.3.4"]', JSON_LINES) == (
            'the payload:1: an instance must be {"features": [entity, ip]} or {"data": {"features": {"values": '
            '[entity, ip]}}}, this one is ["a", "1.2.3.4"].'
        )

    def test_a_body_that_is_no_json(self) -> None:
        """The body is named, and the place in it."""
        message = refusal(b'{"instances": [{"features": ["a", "1.2.3.4"}]}', JSON)
        assert message.startswith("the payload: it is no JSON: ")
        assert message.endswith("line 1 column 44 (char 43).")

    def test_an_error_among_many(self) -> None:
        """The one bad address of two hundred is found."""
        instances = [{"features": ["a", f"1.2.3.{octet}"]} for octet in range(100, 300)]
        assert refusal(lines(*instances), JSON_LINES) == (
            'the payload:157: "1.2.3.256" is no IPv4 address: 256 is more than 255.'
        )

    def test_json_that_is_deep(self) -> None:
        """Ten thousand brackets are refused, and nothing falls over."""
        assert "it is no JSON" in refusal(b'{"instances":' + b"[" * 10_000 + b"]" * 10_000 + b"}", JSON)

    @given(
        st.sampled_from(list(DOCUMENTED)),
        st.binary(max_size=200)
        | st.text(alphabet='{}[]",:\n\\u0a1.instacefur ', max_size=120).map(str.encode)
        | st.recursive(st.none() | st.integers() | st.text(max_size=9) | st.just("1.2.3.4"), st.lists).map(
            lambda value: json.dumps({"instances": [{"features": value}]}).encode()
        ),
    )
    def test_any_body_is_read_or_refused(self, content_type: str, body: bytes) -> None:
        """Any body is either read or refused."""
        try:
            num_pairs, status = len(decode(body, content_type)), None
        except RequestError as error:
            num_pairs, status = 0, error.status
        assert status == (None if num_pairs else 400)


ROWS = st.sampled_from(
    [b"u,1.1.1.1", b"v,2.2.2.2,EXTRA", b"v", b"", b",", b" ", b"\t", b"u, 1.1.1.1 ", b" u,1.1.1.1", b'"u",1.1.1.1',
     b'"a,b",1.1.1.1', b'u,"1.1.1.1"', b'"u,1.1.1.1', b'u"x,1.1.1.1', b'"a""b",1.1.1.1', b",1.1.1.1", b"u,", b"u,1.1.1",
     b"u,01.1.1.1", b"1.1.1.1,u", b"\xc3\xa9,1.1.1.1", b"\xff,1.1.1.1", b"\xef\xbb\xbfu,1.1.1.1", b"u\0,1.1.1.1",
     b"u,1.1.1.1\0", b"\x0bu,1.1.1.1", b"u\x1c,1.1.1.1", b"\xe2\x80\xa8u,1.1.1.1", b"user,ip", b"#u,1.1.1.1"]
)  # fmt: skip
ENDS = st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b"\r", b"\n\n"])


class TestReadersAgree:
    """The reader of small plain CSV and the reader of everything else."""

    @hypothesis.settings(max_examples=400, deadline=None)
    @given(
        rows=st.lists(st.tuples(ROWS, ENDS), min_size=1, max_size=6),
        mark=st.sampled_from([b"", b"", b"\xef\xbb\xbf"]),
        num_good=st.sampled_from([0, 0, 0, 25, 1630, 1640]),
    )
    @hypothesis.example(rows=[(b"\xef\xbb\xbfu,1.1.1.1", b"\n")], mark=b"\xef\xbb\xbf", num_good=0)
    def test_any_body(self, rows: list[tuple[bytes, bytes]], mark: bytes, num_good: int) -> None:
        """A body of any size has the pairs, or the refusal, that the general reader gives."""
        body = mark + b"u,1.1.1.1\n" * num_good + b"".join(row + end for row, end in rows)
        assert outcome(lambda: decode(body, CSV)) == outcome(lambda: general(body))


def general(body: bytes) -> Pairs:
    """Return the pairs of CSV, as the reader of files reads it."""
    blocks = list(read_blocks(io.BytesIO(body), name="the payload", count_faults=False))
    return Pairs(np.concatenate([each.entities for each in blocks]), np.concatenate([each.ips for each in blocks]))


def outcome(read: Callable[[], Pairs]) -> tuple[list[int], list[int]] | str:
    """Return the pairs that a reader returns, or its refusal."""
    try:
        pairs = read()
    except ClientError as error:
        return str(error)
    return pairs.entities.tolist(), pairs.ips.tolist()

"""Media types, and how a client asks for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.serving.media_types import (
    CSV,
    JSON,
    JSON_LINES,
    RequestError,
    ResponseFormat,
    default_media_type,
    request_media_type,
)


class TestNegotiate:
    """The ``Accept`` header."""

    @pytest.mark.parametrize(
        ("accept", "expected"),
        [
            ("", ResponseFormat(JSON)),
            ("*/*", ResponseFormat(JSON)),
            ("application/*", ResponseFormat(JSON)),
            ("application/json", ResponseFormat(JSON)),
            ("Application/JSON", ResponseFormat(JSON)),
            ("application/jsonlines", ResponseFormat(JSON_LINES)),
            ("application/json; verbose=True", ResponseFormat(JSON, verbose=True)),
            ("application/json;verbose=True", ResponseFormat(JSON, verbose=True)),
            ("application/jsonlines; Verbose=TRUE", ResponseFormat(JSON_LINES, verbose=True)),
            ('application/jsonlines;verbose="true"', ResponseFormat(JSON_LINES, verbose=True)),
            ("application/json; verbose=False", ResponseFormat(JSON)),
            ("*/*; verbose=true; extended=true", ResponseFormat(JSON, verbose=True, extended=True)),
            ("application/json; extended=True", ResponseFormat(JSON, extended=True)),
            ("text/html, application/jsonlines;q=0.5, */*;q=0.1", ResponseFormat(JSON_LINES)),
            ("application/json;q=0.2, application/jsonlines;q=0.9", ResponseFormat(JSON_LINES)),
            ("application/jsonlines, application/json", ResponseFormat(JSON_LINES)),
            ("application/json;q=0, */*", ResponseFormat(JSON_LINES)),
            ("text/csv, */*;q=0.1", ResponseFormat(JSON)),
        ],
    )
    def test_the_wish_is_obeyed(self, accept: str, expected: ResponseFormat) -> None:
        """Quality decides, then the order.

        A range that names the type precedes a general range.
        """
        assert ResponseFormat.negotiate(accept, default=JSON) == expected

    def test_the_default_is_for_who_has_no_wish(self) -> None:
        """Only clients without a preference get the default media type."""
        assert ResponseFormat.negotiate("*/*", default=JSON_LINES) == ResponseFormat(JSON_LINES)
        assert ResponseFormat.negotiate("application/json", default=JSON_LINES) == ResponseFormat(JSON)

    @pytest.mark.parametrize(
        ("accept", "message"),
        [
            (
                "text/csv",
                "Accept type 'text/csv' is not supported: ask for application/json or application/jsonlines, or leave "
                "the header out.",
            ),
            (
                "application/json;q=0",
                "Accept type 'application/json;q=0' is not supported: ask for application/json or "
                "application/jsonlines, or leave the header out.",
            ),
            ("application/json; verbose=true=", "Parameter 'verbose' of Accept must be True or False. Got 'true='."),
            ("application/json; verbose=Xtrue", "Parameter 'verbose' of Accept must be True or False. Got 'Xtrue'."),
            ("application/json; verbose=yes", "Parameter 'verbose' of Accept must be True or False. Got 'yes'."),
            ("application/json; q=many", "Quality must be a number from 0 to 1. Got q=many."),
            ("application/json; q=1.01", "Quality must be a number from 0 to 1. Got q=1.01."),
            ("application/json; q=-0.01", "Quality must be a number from 0 to 1. Got q=-0.01."),
            ("application/json; q=nan", "Quality must be a number from 0 to 1. Got q=nan."),
        ],
    )
    def test_what_cannot_be_given_is_refused(self, accept: str, message: str) -> None:
        """A response format that does not exist is refused with 406."""
        with pytest.raises(RequestError) as caught:
            ResponseFormat.negotiate(accept, default=JSON)
        assert (caught.value.status, str(caught.value)) == (406, message)

    @given(st.text(max_size=60) | st.text(alphabet='aplictonjs/*;,=q"01. ', max_size=60))
    def test_any_header_gets_a_format_or_406(self, accept: str) -> None:
        """Any Accept header leads to a format or to 406."""
        try:
            found: object = ResponseFormat.negotiate(accept, default=JSON).media_type
        except RequestError as error:
            found = error.status
        assert found in (JSON, JSON_LINES, 406)


class TestRequestMediaType:
    """The ``Content-Type`` header."""

    @pytest.mark.parametrize(
        ("content_type", "expected"),
        [
            ("", CSV),
            ("text/csv", CSV),
            ("text/csv; charset=utf-8", CSV),
            ('TEXT/CSV;label_size=0;charset="UTF-8"', CSV),
            ("application/json; charset=utf-8", JSON),
            ("application/jsonlines", JSON_LINES),
        ],
    )
    def test_parameters_do_not_matter(self, content_type: str, expected: str) -> None:
        """Parameters and case of a media type are ignored, and a missing type is CSV."""
        assert request_media_type(content_type) == expected

    @pytest.mark.parametrize(
        ("content_type", "message"),
        [
            (
                "application/x-recordio-protobuf",
                "Content-Type 'application/x-recordio-protobuf' is not supported: send text/csv, application/json or "
                "application/jsonlines.",
            ),
            ("text/csv; charset=latin-1", "Charset 'latin-1' is not supported: send UTF-8."),
        ],
    )
    def test_other_types_are_refused(self, content_type: str, message: str) -> None:
        """Other request types are refused with 415."""
        with pytest.raises(RequestError) as caught:
            request_media_type(content_type)
        assert (caught.value.status, str(caught.value)) == (415, message)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, JSON),
        ({"SAGEMAKER_BATCH": "false"}, JSON),
        ({"SAGEMAKER_BATCH": "true"}, JSON_LINES),
        ({"SAGEMAKER_BATCH": "True"}, JSON_LINES),
    ],
)
def test_default_media_type(environ: dict[str, str], expected: str) -> None:
    """JSON Lines in a batch transform, as the platform and as the SDK's local mode write it."""
    assert default_media_type(environ) == expected

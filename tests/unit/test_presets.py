"""What services export is read by names that are data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ipinsights.errors import ClientError
from ipinsights.etl.pipeline import FORMATS
from ipinsights.etl.presets import PRESETS

if TYPE_CHECKING:
    from .log_samples import Bench

TIME = "2024-05-01T08:15:01Z"
ALB = (
    'https 2024-05-01T08:15:01.000000Z app/lb/50 192.0.2.7:2817 10.0.0.1:80 0.086 0.048 0.037 200 200 0 57 "GET https://'
    'www.example.com:443/ HTTP/1.1" "ann" ECDHE TLSv1.2 - "Root=1-5" "-" "-" 1 2018-07-02T22:22:48.3Z "-"'
)
SAMPLES: dict[str, Any] = {
    "okta": {"actor": {"alternateId": "ann"}, "client": {"ipAddress": "192.0.2.7"}, "published": TIME},
    "entra": {"value": [{"userPrincipalName": "ann", "ipAddress": "192.0.2.7", "createdDateTime": TIME}]},
    "google-workspace": {
        "items": [{"id": {"time": TIME}, "actor": {"email": "ann"}, "ipAddress": "192.0.2.7", "events": [{}]}]
    },
    "github": [{"@timestamp": 1714551301000, "actor": "ann", "actor_ip": "192.0.2.7"}],
    "nextcloud": {"user": "ann", "remoteAddr": "192.0.2.7", "time": "2024-05-01T08:15:01+00:00"},
    "auth0": {"date": TIME, "type": "s", "data": {"user_name": "ann", "ip": "192.0.2.7"}},
    "m365": {"UserId": "ann", "ClientIP": "192.0.2.7:443", "CreationTime": "2024-05-01T08:15:01"},
    "keycloak": '2024-05-01 08:15:01 type=LOGIN, userId="ann", ipAddress="192.0.2.7"',
    "alb": ALB,
    "elb": '2024-05-01T08:15:01Z lb 192.0.2.7:2817 10.0.0.1:80 0 0 0 200 200 0 57 "GET / HTTP/1" "ann" - -',
    "s3": '79a5 bucket [01/May/2024:08:15:01 +0000] 192.0.2.7 ann 3E57 REST.GET.OBJECT key "GET /k HTTP/1" 200 - 113',
}


@pytest.mark.parametrize("name", PRESETS)
def test_samples(bench: Bench, name: str) -> None:
    """A sample of each gives entity, address and time."""
    sample = SAMPLES[name]
    names = {"entity": "user_agent"} if name in ("alb", "elb") else {}
    text = sample if isinstance(sample, str) else json.dumps(sample)
    assert bench.of(name, text, **names) == ([["ann", "192.0.2.7", TIME]], {})


def test_another_format(bench: Bench) -> None:
    """The message names the preset, and what the log may be instead."""
    with pytest.raises(ClientError) as caught:
        bench.of("m365", "UserId,ClientIP\nann,192.0.2.7\n")
    assert str(caught.value) == (
        "None of the 2 records is in the format m365. Tables are csv, and lines of key=value are logfmt. See "
        "`log_format` for other formats."
    )


def test_presets_use_formats() -> None:
    """Each is read by another format, and none takes the name of one."""
    assert {preset.reader for preset in PRESETS.values()} <= set(FORMATS)
    assert not set(PRESETS) & set(FORMATS)

"""Formats that are another format with names of fields: what a service exports, as data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ipinsights.etl.records import names_or

if TYPE_CHECKING:
    from ipinsights.etl.records import LogOptions

__all__ = ["PRESETS", "Preset"]

_ALB = (
    "type time elb client:port target:port request_processing_time target_processing_time response_processing_time "
    "elb_status_code target_status_code received_bytes sent_bytes request user_agent ssl_cipher ssl_protocol "
    "target_group_arn trace_id domain_name chosen_cert_arn matched_rule_priority request_creation_time "
    "actions_executed redirect_url error_reason target:port_list target_status_code_list classification "
    "classification_reason conn_trace_id"
)
_ELB = (
    "timestamp elb client:port backend:port request_processing_time backend_processing_time response_processing_time "
    "elb_status_code backend_status_code received_bytes sent_bytes request user_agent ssl_cipher ssl_protocol"
)
_S3 = (
    '$bucket_owner $bucket [$time_local] $remote_ip $requester $request_id $operation $key "$request" $status '
    "$error_code"
)


@dataclass(frozen=True)
class Preset:
    """A format by another one."""

    # Name of the other format.
    reader: str
    # Paths to fields, each for records without those before it.
    entity: tuple[str, ...] = ()
    ip: tuple[str, ...] = ()
    timestamp: tuple[str, ...] = ()
    # Names of the fields of a line.
    fields: str = ""
    # Format of a line in the notation of nginx.
    line_format: str | None = None

    def applied(self, options: LogOptions) -> LogOptions:
        """Return the options with the names of this format where the user gave none."""
        return replace(
            options,
            entity=names_or(options.entity, self.entity) or None,
            ip=names_or(options.ip, self.ip) or None,
            timestamp=names_or(options.timestamp, self.timestamp) or None,
            fields=options.fields or tuple(self.fields.split()),
            line_format=options.line_format or self.line_format,
        )


PRESETS = {
    "alb": Preset("csv", (), ("client:port",), ("time",), _ALB),
    "auth0": Preset(
        "jsonl", ("user_name", "data.user_name", "user_id", "data.user_id"), ("ip", "data.ip"), ("date", "data.date")
    ),
    "elb": Preset("csv", (), ("client:port",), ("timestamp",), _ELB),
    "entra": Preset(
        "jsonl",
        ("userPrincipalName", "properties.userPrincipalName", "userId", "properties.userId", "identity"),
        ("ipAddress", "properties.ipAddress", "callerIpAddress"),
        ("createdDateTime", "properties.createdDateTime", "time"),
    ),
    "github": Preset("jsonl", ("actor", "user"), ("actor_ip",), ("@timestamp", "created_at")),
    "google-workspace": Preset("jsonl", ("actor.email", "actor.profileId"), ("ipAddress",), ("id.time",)),
    "keycloak": Preset("logfmt", ("username", "userId"), ("ipAddress",), ("timestamp", "time")),
    "m365": Preset(
        "jsonl", ("UserId", "UserKey"), ("ClientIP", "ClientIPAddress", "ActorIpAddress"), ("CreationTime",)
    ),
    "nextcloud": Preset("jsonl", ("user",), ("remoteAddr",), ("time",)),
    "okta": Preset(
        "jsonl", ("actor.alternateId", "actor.id"), ("client.ipAddress", "request.ipChain[0].ip"), ("published",)
    ),
    "s3": Preset("nginx", ("requester",), ("remote_ip",), ("time_local",), line_format=_S3),
}
"""The presets, by the name of the format."""

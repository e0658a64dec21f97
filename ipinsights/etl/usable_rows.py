"""The usable rows of records of any format, with counts of the others by reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ipinsights.data.arrow import decoded, packed
from ipinsights.data.ipv4 import parse_ips
from ipinsights.data.ipv6 import format_addresses, parse_addresses
from ipinsights.data.numeric_times import are_plausible
from ipinsights.etl.field_values import address_reasons, bare_addresses, bare_ipv6, stand_for_nothing
from ipinsights.etl.records import Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ipinsights.etl.filters import Filters
    from ipinsights.etl.records import LogOptions, LogRecords
    from ipinsights.etl.summary import Summary

__all__ = ["UsableRows", "usable_rows"]


@dataclass(frozen=True)
class UsableRows:
    """Rows of records, in their order, (n,)."""

    entity: pa.StringArray
    ip: pa.StringArray
    # Microseconds since 1970 in UTC. None if no times are wanted.
    times: NDArray[np.int64] | None
    # Whether a record is such a row, (number of records,).
    is_used: NDArray[np.bool_]


def usable_rows(records: LogRecords, filters: Filters, summary: Summary, name: str, options: LogOptions) -> UsableRows:
    """Return the rows of the records that can be used, and count what becomes of each record.

    ``name`` is that of the log, for examples. ``options`` say whether times and IPv6 addresses are wanted.
    """
    entity, is_escaped = decoded(records.entity)
    with_times = not options.no_timestamps
    ip, is_parsed = _addresses(records.ip, ipv6=options.ipv6)
    reasons = records.reasons.copy()
    reasons[(reasons == Reason.NONE) & ~filters.hold(records)] = Reason.FILTERED
    reasons[(reasons == Reason.NONE) & stand_for_nothing(entity)] = Reason.NO_USER
    not_parsed = (reasons == Reason.NONE) & ~is_parsed
    reasons[not_parsed] = address_reasons(ip.filter(packed(not_parsed)))
    # A null of a database, such as 1601-01-01 or 9999-12-31, is not a time.
    reasons[(reasons == Reason.NONE) & with_times & ~(records.timed & are_plausible(records.times))] = Reason.NO_TIME
    used = reasons == Reason.NONE
    times = records.times[used & with_times]
    summary.count(reasons, times)
    summary.keep_examples(reasons, name, records.shown)
    summary.num_escaped += int(np.count_nonzero(is_escaped & used))
    summary.known_fields = records.known_fields
    written = entity.filter(packed(used))
    summary.count_entities(written)
    return UsableRows(written, ip.filter(packed(used)), times if with_times else None, used)


def _addresses(texts: pa.StringArray, *, ipv6: bool) -> tuple[pa.StringArray, NDArray[np.bool_]]:
    """Return the texts of addresses, (n,), and which of them can be used, (n,)."""
    ip = bare_addresses(texts)
    if not ipv6:
        return ip, parse_ips(ip)[1]
    found = parse_addresses(bare_ipv6(ip))
    return pc.if_else(packed(found.is_valid), format_addresses(found), ip), found.is_valid

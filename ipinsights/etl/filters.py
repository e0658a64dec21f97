"""Which records of a log are wanted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ipinsights.data.arrow import mask
from ipinsights.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ipinsights.etl.records import LogRecords

__all__ = ["Filters"]


@dataclass(frozen=True)
class Filters:
    """Filters of records. A record is used only if it passes all of them."""

    # Regular expression (RE2) to be found in the field ``path``.
    path: str | None = None
    # Values of which the field ``status`` must be one.
    statuses: tuple[str, ...] = ()
    # Pairs of a field and its value.
    where: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, *, path: str | None, status: str, where: Sequence[str]) -> Filters:
        """Parse filters from the texts of command options: ``200,302`` and ``FIELD=VALUE``."""
        try:
            pc.match_substring_regex(pa.array([""]), path or "")
        except pa.ArrowInvalid as error:
            reason = str(error).partition(": ")[2]
            raise ClientError(f"`path` must be a regular expression (RE2). Got {path!r}: {reason}.") from None
        for text in where:
            if text.find("=") < 1:
                raise ClientError(f"`where` must be FIELD=VALUE. Got {text!r}.")
        statuses = tuple(code.strip() for code in status.split(",") if code.strip())
        for code in statuses:
            if not re.fullmatch("[1-5][0-9]{2}", code):
                raise ClientError(f"`status` must be codes such as 200,302. Got {code!r}.")
        pairs = (text.partition("=") for text in where)
        return cls(path, statuses, tuple((name, value) for name, _, value in pairs))

    def hold(self, records: LogRecords) -> NDArray[np.bool_]:
        """Return a mask of the records that pass all filters, (n,). Unknown fields are ClientErrors."""
        passing = np.ones(len(records), dtype=bool)
        if self.path is not None:
            passing &= mask(pc.match_substring_regex(_field(records, "path", "path"), self.path))
        if self.statuses:
            passing &= mask(pc.is_in(_field(records, "status", "status"), pa.array(self.statuses)))
        for name, value in self.where:
            passing &= mask(pc.equal(_field(records, name, "where"), value))
        return passing


def _field(records: LogRecords, name: str, option: str) -> pa.StringArray:
    values = records.field(name)
    if values is None:
        raise ClientError(f"`{option}` cannot be used here: a record has no field {name!r}. {records.known_fields}")
    return values.fill_null("")

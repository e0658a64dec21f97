"""Further fields that go with each pair, such as the label of a test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipinsights.errors import ClientError

if TYPE_CHECKING:
    import pyarrow as pa

    from ipinsights.etl.records import LogRecords

__all__ = ["KeptFields"]


@dataclass
class KeptFields:
    """Fields that are written behind entity and address. The first records say which there are."""

    # Names of fields, which need not be there. None for all fields.
    wanted: tuple[str, ...] | None = None
    # Names of fields that are not kept, because they are written already.
    without: tuple[str, ...] = ()
    # Names that are kept, None until the first records were read.
    names: tuple[str, ...] | None = None

    def columns(self, records: LogRecords) -> list[pa.StringArray]:
        """Return the values of each field, (n,), empty where a record has none.

        It is a ClientError if a file has not the fields that the first one has.
        """
        if self.names is None:
            wanted = records.names if self.wanted is None else self.wanted
            self.names = tuple(name for name in records.names if name in wanted and name not in self.without)
        return [self._column(records, name) for name in self.names]

    def _column(self, records: LogRecords, name: str) -> pa.StringArray:
        values = records.field(name)
        if values is None:
            raise ClientError(f"There is no column {name!r}, which the first file has. {records.known_fields}")
        return values.fill_null("")

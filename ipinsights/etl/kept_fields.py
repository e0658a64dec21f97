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
    """Fields that are written behind entity and address. The first records say which there are.

    Parameters
    ----------
    wanted
        Names of fields, which need not be there. None for all fields.
    without
        Names of fields that are not kept, because they are written already.
    names
        Names that are kept, None until the first records were read.
    """

    wanted: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()
    names: tuple[str, ...] | None = None

    def columns(self, records: LogRecords) -> list[pa.StringArray]:
        """Return the values of each field, (n,), empty where a record has none.

        Raises
        ------
        ClientError
            A file has not the fields that the first one has.
        """
        if self.names is None:
            self.names = tuple(name for name in records.names if self._is_kept(name))
        return [self._column(records, name) for name in self.names]

    def _is_kept(self, name: str) -> bool:
        return name not in self.without and (self.wanted is None or name in self.wanted)

    def _column(self, records: LogRecords, name: str) -> pa.StringArray:
        values = records.field(name)
        if values is None:
            raise ClientError(f"There is no column {name!r}, which the first file has. {records.known_fields}")
        return values.fill_null("")

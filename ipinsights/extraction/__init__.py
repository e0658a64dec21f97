"""From log files to ``entity,ip,timestamp``: every record is written, or counted with the reason why not."""

from __future__ import annotations

from ipinsights.extraction.extract import FORMATS, Filters, Summary, extract
from ipinsights.extraction.records import Columns

__all__ = ["FORMATS", "Columns", "Filters", "Summary", "extract"]

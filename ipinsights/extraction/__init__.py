"""From log files to ``entity,ip,timestamp``: every record is written, or counted with the reason why not."""

from __future__ import annotations

from ipinsights.extraction.filters import Filters
from ipinsights.extraction.pipeline import FORMATS, extract
from ipinsights.extraction.records import Columns, Reason
from ipinsights.extraction.summary import NothingUsableError, Summary

__all__ = ["FORMATS", "Columns", "Filters", "NothingUsableError", "Reason", "Summary", "extract"]

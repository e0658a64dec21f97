"""Report tables as text, Markdown and JSON."""

from __future__ import annotations

import json
import math

import pandas as pd

from ipinsights.reporting.report import Report, Section, json_text, number, signed


class TestReport:
    """Tables and numbers as text, Markdown and JSON."""

    def test_markdown_survives_any_text(self) -> None:
        """Bars, brackets and line ends in a cell do not break the table."""
        section = Section("t", pd.DataFrame({"a|b": ["x\ny"], "c": ["<script>"]}), ("1|2",))
        assert Report("h", (section,)).markdown() == (
            "# h\n\n## t\n\n| a\\|b | c |\n| --- | ---: |\n| x y | &lt;script> |\n\n- 1\\|2\n"
        )

    def test_text_is_aligned(self) -> None:
        """First column to the left, others to the right."""
        section = Section("Title", pd.DataFrame({"name": ["a", "bcd"], "value": ["1", "22,222"]}))
        assert Report("h", (section,)).text() == (
            "Title\n-----\nname   value\na          1\nbcd   22,222\n\nh"
        )  # fmt: skip

    def test_a_wide_table_breaks_its_headings(self) -> None:
        """Wide tables break headings at blanks to the width of their columns, aligned at the bottom.

        Long remarks are wrapped, too.
        """
        columns = {"name": ["x" * 60], "a few long words": ["12"], "y" * 50: ["3.4 [1, 5]"]}
        section = Section("T", pd.DataFrame(columns), ("  " + " ".join("w" * 60),))
        assert Report("h", (section,)).text().splitlines() == [
            "T",
            "-",
            f"{'':60}      a",
            f"{'':60}    few",
            f"{'':60}   long",
            f"{'name':60}  words  {'y' * 50}",
            f"{'x' * 60}     12  {'3.4 [1, 5]':>50}",
            "  " + " ".join("w" * 57),
            "  w w w",
            "",
            "h",
        ]

    def test_the_headline_is_wrapped_on_a_terminal(self) -> None:
        """Lines fit, and a path stays whole. Without a terminal the headline is one line."""
        report = Report("OK: runs/last-week.log is not worse.", ())
        assert report.text(width=10).splitlines() == ["OK:", "runs/last-week.log", "is not", "worse."]
        assert report.text() == "OK: runs/last-week.log is not worse."

    def test_a_table_is_split_to_fit_the_terminal(self) -> None:
        """The first column is repeated in front of those that do not fit, and every line fits."""
        table = pd.DataFrame({"score": ["model", "count"], "one two": ["1.0", "2"], "three": ["12345", "x"]})
        assert Report("h", (Section("T", table),)).text(width=13).splitlines() == [
            "T",
            "-",
            "       one",
            "score  two",
            "model  1.0",
            "count    2",
            "",
            "score  three",
            "model  12345",
            "count      x",
            "",
            "h",
        ]

    def test_the_finding_comes_first(self) -> None:
        """The finding comes first and is wrapped, and the headline comes last."""
        assert Report("h", (Section("T"),), "a plain sentence").text(width=8).splitlines() == [
            "a plain", "sentence", "", "T", "-", "", "h",
        ]  # fmt: skip

    def test_numbers(self) -> None:
        """Thousands apart, a dash for nothing."""
        assert (number(1234.5, 1), number(None), number(math.nan), signed(0.5, 2), signed(None)) == (
            "1,234.5", "-", "-", "+0.50", "-",
        )  # fmt: skip

    def test_json_knows_no_infinity(self) -> None:
        """NaN and infinity become null."""
        assert json.loads(json_text({"a": [math.inf, (math.nan, 1.0)]})) == {"a": [None, [None, 1.0]]}

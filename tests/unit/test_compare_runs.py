"""Comparisons as continuous integration reads them, by ``scripts/compare_runs.py``."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from ipinsights.runs.run import AUC
from ipinsights.runs.run_comparison import compare

from .training_logs import with_metric

if TYPE_CHECKING:
    from ipinsights.runs.run import RunLog
    from ipinsights.runs.run_comparison import RunComparison

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "compare_runs.py"))


class TestJUnit:
    """What continuous integration reads."""

    def test_cases_fail_and_are_skipped(self, baseline: RunLog) -> None:
        """A suite per candidate with its counts."""
        worse = compare(baseline, with_metric(baseline, AUC, 0.5))
        results: dict[str, RunComparison | str] = {
            "good": compare(baseline, baseline),
            "bad": worse,
            "broken\x00": "no metrics",
        }
        root = ET.fromstring(SCRIPT["junit_xml"](results))  # noqa: S314 - our own
        counts = [[suite.get(name) for name in ("name", "tests", "failures", "errors", "skipped")] for suite in root]
        assert counts == [
            ["good", "5", "0", "0", "1"], ["bad", "5", "1", "0", "1"], ["broken?", "1", "0", "1", "0"],
        ]  # fmt: skip
        failure = root.find("testsuite[@name='bad']/testcase[@name='auc']/failure")
        assert failure is not None
        assert failure.get("message") == "auc WORSE: baseline 0.953125, candidate 0.5, may be worse by 0.002"
        report = SCRIPT["summary_report"](baseline, results)
        assert report.headline == f"REGRESSION: 3 compared with {baseline.name}, 1 worse, 1 not read."

"""Comparisons of scores as people read them."""

from __future__ import annotations

import numpy as np
from score_comparison import compare_scores
from score_reader import Labels, Scores
from score_report import score_report

SCORES = np.array([0.5, -1.25, 3.0])


class TestScoreReport:
    """What people read."""

    def test_the_report_has_a_section_for_each_part(self) -> None:
        """Attacks and disagreements only where there are any."""
        comparison = compare_scores(Scores("a", SCORES), Scores("b", SCORES), Labels(np.array([True, False, False])))
        titles = [section.title for section in score_report(comparison, 5).sections]
        assert titles == ["Agreement", "Distribution", "Flagged below 0", "Attacks found"]

"""The pages of an evaluation: their content, and the escaping of user text."""

from __future__ import annotations

import html
import json
import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import ipinsights
from ipinsights.data.pairs import Pairs
from ipinsights.errors import ClientError
from ipinsights.evaluation.evaluation_tables import finding, full_sections, headline, report
from ipinsights.evaluation.html_report import prepare_pages, write_pages
from ipinsights.evaluation.labelled_events import read_labelled_blocks
from ipinsights.evaluation.results import HEADLINE_METRIC
from ipinsights.evaluation.suspicious_events import suspicious_events
from ipinsights.inference.history_explanation import explain_by_history
from ipinsights.inference.history_scorer import HistoryScorer
from ipinsights.model import artifact
from ipinsights.testing import save_random_model

from .evaluations import NETWORKS, detection, made_up

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ipinsights.runs.run import RunLog

MARKUP = "<b>no</b> & co"
SETTINGS: dict[str, Any] = {"vector_dim": 4, "epochs": 1, "progress": False, "keep_history": True, "scorer": "history"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the pages of an evaluation with markup in an attacker's name.

    Return the folder.
    """
    folder = tmp_path_factory.mktemp("report")
    rows = detection({NETWORKS: ("all",), MARKUP: ("all",)})
    rows.loc[rows.attacker == MARKUP, "low"] = math.nan
    write(folder, {"training": {"source": "a|b", "num_epochs": 3, "versions": {"numpy": "1"}}}, detection=rows)
    return folder


def write(folder: Path, meta: Mapping[str, Any], *, training: RunLog | None = None, **changes: Any) -> None:
    """Write pages about a random model with other meta data."""
    path = save_random_model(folder / "model", num_entities=10, vector_dim=4, rng=np.random.default_rng(0))
    model = artifact.load(path)
    changed = artifact.Artifact(model.hyperparameters, model.params, model.known_entities, meta)
    train = Pairs(np.zeros(9, dtype=np.uint64), (np.arange(9) << 16).astype(np.uint32))
    write_pages(folder, [made_up(**changes)], model=changed, train=train, training=training)


def test_json_holds_every_table(files: Path) -> None:
    """Lines are those of the tables, and what is no number is null."""
    found = json.loads((files / "report.json").read_text(encoding="utf-8"))
    evaluation = made_up()
    assert found["headline"] == headline(evaluation)
    assert found["model"]["training"]["num_epochs"] == 3
    assert (found["facts"], found["slices"]) == (evaluation.facts, evaluation.slices)
    assert found["differences_to_best_baseline"] == {
        "metric": HEADLINE_METRIC,
        "rows": evaluation.differences.to_dict("records"),
    }
    assert found["alerts"] == evaluation.alerts.to_dict("records")
    expected = detection({NETWORKS: ("all",), MARKUP: ("all",)}).to_dict("records")
    for line in expected:
        line["low"] = None if line["attacker"] == MARKUP else line["low"]
    assert found["detection"] == expected


def test_the_page_has_every_section_and_plot(files: Path) -> None:
    """Sections have the order of the terminal report, followed by plots and folded details."""
    text = (files / "report.html").read_text(encoding="utf-8")
    evaluation = made_up(detection=detection({NETWORKS: ("all",), MARKUP: ("all",)}))
    titles = [one.title for one in report(evaluation).sections]
    plots = ["Scores", "Attacks caught by false alarms", "Networks"]
    details = [one.title for one in full_sections(evaluation)]
    found = [html.unescape(title) for title in re.findall(r"<h2>(.*?)</h2>", text)]
    assert found == [*titles, *plots, "Every metric", *details]
    assert text.endswith(f"<p>Made by ipinsights {ipinsights.__version__}.</p>\n</body>\n</html>\n")


def test_no_text_becomes_markup(files: Path) -> None:
    """Names of attackers and events may hold any characters."""
    text = (files / "report.html").read_text(encoding="utf-8")
    assert "<b>" not in text
    assert '<tr class="main"><td>model</td>' in text
    assert "&lt;b&gt;no&lt;/b&gt; &amp; co" in text
    card = (files / "model_card.md").read_text(encoding="utf-8")
    assert "<b>" not in card


def test_the_card_has_what_training_noted(files: Path) -> None:
    """A line for each fact, but for versions, and nothing breaks a list or a table."""
    card = (files / "model_card.md").read_text(encoding="utf-8")
    assert card.startswith(
        f"# Model card: IP Insights\n\n{finding(made_up())}\n\n{headline(made_up())}\n\n## What it is\n"
    )
    facts = card.partition("Training:\n\n")[2].partition("\n\n## What it is for")[0]
    assert facts.rstrip("\n") == "- source: a\\|b\n- num_epochs: 3"
    assert "| num_entity_vectors | 10 |" in card
    assert "\n### Data\n" in card


def test_a_model_without_notes(tmp_path: Path, baseline: RunLog) -> None:
    """The card says so, and the log of training adds a plot."""
    write(tmp_path, {}, training=baseline, alerts=pd.DataFrame())
    assert "Training:\n\n- nothing was noted\n\n" in (tmp_path / "model_card.md").read_text(encoding="utf-8")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<h2>Training</h2>\n<figure><svg " in text
    assert "<h2>Alerts" not in text


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the pages of an evaluation with two events, of which one has markup as its name."""
    folder = tmp_path_factory.mktemp("named")
    rows = [(name, ip) for name in ("alice", "<b>&") for ip in ("11.0.0.1", "12.0.0.1")]
    model = ipinsights.IPInsights(**SETTINGS).fit(rows)
    scorer = model.scorer_
    assert isinstance(scorer, HistoryScorer)
    kept = model.save(folder / "model")
    (folder / "test.csv").write_text("alice,200.0.0.1,1\n<b>&,11.0.0.1,0\n", encoding="utf-8")
    train = Pairs(np.zeros(9, dtype=np.uint64), (np.arange(9) << 16).astype(np.uint32))
    events = suspicious_events(scorer, read_labelled_blocks(folder / "test.csv"))
    write_pages(folder, [made_up()], model=artifact.load(kept), train=train, suspicious=events)
    (folder / "expected.txt").write_text(explain_by_history(scorer, "alice", "200.0.0.1").text(), encoding="utf-8")
    return folder


class TestSuspiciousEvents:
    """The section that explains events by name."""

    def test_the_explanations(self, named: Path) -> None:
        """The explanations are those of `ipinsights explain`, escaped, with labels."""
        text = (named / "report.html").read_text(encoding="utf-8")
        section = text.partition("<h2>Most suspicious events</h2>")[2].partition("<h2>")[0]
        assert re.findall("<h3>(.*?)</h3>", section) == ["Labelled attack", "Ordinary event"]
        first, second = (html.unescape(shown) for shown in re.findall("<pre>(.*?)</pre>", section, re.DOTALL))
        assert first == (named / "expected.txt").read_text(encoding="utf-8")
        assert second.startswith("<b>& from 11.0.0.1: score ")
        assert "<b>" not in text
        assert section.count("</pre>") == 2

    def test_the_section_says_that_it_names_users(self, named: Path) -> None:
        """No other file of the report does."""
        text = (named / "report.html").read_text(encoding="utf-8")
        assert "This section names users and addresses. Share the page only with those who may know them." in text
        for name in ("report.json", "model_card.md"):
            assert "alice" not in (named / name).read_text(encoding="utf-8")

    def test_without_events(self, files: Path) -> None:
        """The section is left out."""
        assert "names users" not in (files / "report.html").read_text(encoding="utf-8")


class TestFolder:
    """The folder of a report."""

    def test_it_is_made(self, tmp_path: Path) -> None:
        """Parents are made as well, and a folder that exists is used."""
        for _ in range(2):
            prepare_pages(tmp_path / "a" / "b")
        assert (tmp_path / "a" / "b").is_dir()

    def test_where_none_can_be(self, tmp_path: Path) -> None:
        """The path and the reason are named."""
        (tmp_path / "file").touch()
        with pytest.raises(ClientError) as caught:
            prepare_pages(tmp_path / "file" / "report")
        assert str(caught.value) == f"{tmp_path}/file/report cannot be made: Not a directory."

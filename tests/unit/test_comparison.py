"""Runs side by side and scores side by side."""

from __future__ import annotations

import contextlib
import gzip
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.errors import ClientError
from ipinsights.evaluation.score_comparison import compare_scores
from ipinsights.evaluation.score_plots import draw_scores
from ipinsights.evaluation.score_reader import Labels, Scores, read_labels, read_scores
from ipinsights.evaluation.score_report import score_report
from ipinsights.reporting.plot_style import png
from ipinsights.reporting.report import Report, Section, json_text, number, signed
from ipinsights.runs.compare import compare_logs
from ipinsights.runs.comparison_report import comparison_report, history_report, summary_report
from ipinsights.runs.criteria import Tolerance, parse_tolerances
from ipinsights.runs.junit import junit_xml
from ipinsights.runs.learning_curves import draw_runs
from ipinsights.runs.reader import read_run
from ipinsights.runs.run import ACCURACY, AUC, CROSS_ENTROPY, Note, RunLog
from ipinsights.runs.run_comparison import Judgement, RunComparison, Verdict, compare
from ipinsights.runs.run_history import log_files, read_history

LOGS = Path(__file__).parents[1] / "data" / "logs"
PNG = b"\x89PNG\r\n"


@pytest.fixture
def baseline() -> RunLog:
    """Give a run with accuracy 0.90625, cross-entropy 0.28125, AUC 0.953125 and 1500 records per second at its end."""
    return read_run(LOGS / "sagemaker-python3.7.log")


def with_metric(run: RunLog, key: str, value: float | None) -> RunLog:
    """Give the same run with another value in all epochs, or without the metric."""
    epochs = run.epochs.drop(columns=key) if value is None else run.epochs.assign(**{key: value})
    return replace(run, name="candidate.log", epochs=epochs)


def judged(comparison: RunComparison, name: str) -> Judgement:
    """Give the judgement of this name."""
    return next(judgement for judgement in comparison.judgements if judgement.name == name)


class TestCompare:
    """A candidate is judged by a baseline."""

    def test_a_run_is_not_worse_than_itself(self, baseline: RunLog) -> None:
        """Nothing differs, nothing is a regression."""
        comparison = compare(baseline, baseline)
        assert comparison.regressions == ()
        assert comparison.configuration().empty
        assert (comparison.epochs()["difference"] == 0).all()

    @pytest.mark.parametrize(
        ("key", "name", "value", "verdict"),
        [
            (ACCURACY, "accuracy", 0.90525, Verdict.SAME),  # 0.001 worse, as much as is allowed
            (ACCURACY, "accuracy", 0.90524, Verdict.WORSE),
            (ACCURACY, "accuracy", 0.99, Verdict.BETTER),
            (CROSS_ENTROPY, "cross_entropy", 0.28425, Verdict.SAME),
            (CROSS_ENTROPY, "cross_entropy", 0.28426, Verdict.WORSE),
            (CROSS_ENTROPY, "cross_entropy", 0.1, Verdict.BETTER),
            (AUC, "auc", 0.951125, Verdict.SAME),
            (AUC, "auc", 0.9511, Verdict.WORSE),
            (AUC, "auc", None, Verdict.MISSING),
        ],
    )
    def test_each_metric_has_its_direction_and_tolerance(
        self, baseline: RunLog, key: str, name: str, value: float | None, verdict: Verdict
    ) -> None:
        """Just as much worse as is allowed is not worse; better never is."""
        comparison = compare(baseline, with_metric(baseline, key, value))
        assert judged(comparison, name).verdict is verdict
        expected = [name] if verdict.is_regression else []
        assert [judgement.name for judgement in comparison.regressions] == expected

    def test_tolerances_can_be_given(self, baseline: RunLog) -> None:
        """As an amount, or as a share of the baseline's value."""
        worse = with_metric(baseline, AUC, 0.9)
        for tolerance, verdict in ((Tolerance(0.06), Verdict.SAME), (Tolerance(0.05), Verdict.WORSE),
                                   (Tolerance(0.06, is_share=True), Verdict.SAME)):  # fmt: skip
            assert judged(compare(baseline, worse, tolerances={"auc": tolerance}), "auc").verdict is verdict

    def test_what_is_ignored_is_shown_and_not_judged(self, baseline: RunLog) -> None:
        """Even when it is gone."""
        comparison = compare(baseline, with_metric(baseline, AUC, None), ignored=["auc"])
        assert judged(comparison, "auc") == Judgement("auc", 0.953125, None, None, Verdict.NOT_JUDGED)

    def test_throughput_is_judged_on_request_only(self, baseline: RunLog) -> None:
        """It tells more of the machine than of the model."""
        slow = with_metric(baseline, "train:throughput", 1000.0)
        assert judged(compare(baseline, slow), "throughput").verdict is Verdict.NOT_JUDGED
        tolerances = parse_tolerances(["throughput=20%"])
        assert judged(compare(baseline, slow, tolerances=tolerances), "throughput").verdict is Verdict.WORSE

    def test_a_metric_the_baseline_lacks_is_not_judged(self, baseline: RunLog) -> None:
        """There is nothing to be worse than."""
        found = judged(compare(with_metric(baseline, AUC, None), baseline), "auc")
        assert (found.verdict, found.reason) == (Verdict.NOT_JUDGED, "the baseline does not have it")

    def test_other_negatives_make_training_metrics_incomparable(self, baseline: RunLog) -> None:
        """Accuracy depends on the share of negatives; validation's is fixed, so AUC is judged all the same."""
        other = {**baseline.configuration, "random_negative_sampling_rate": "5"}
        comparison = compare(baseline, replace(with_metric(baseline, ACCURACY, 0.5), configuration=other))
        assert judged(comparison, "accuracy").reason == "the runs had different shares of negatives"
        assert judged(comparison, "auc").verdict is Verdict.SAME
        assert comparison.regressions == ()

    def test_a_run_that_failed_is_worse(self, baseline: RunLog) -> None:
        """Whatever its metrics were until then."""
        found = judged(compare(baseline, replace(baseline, errors=(Note(7, "ClientError: x"),))), "epochs")
        assert (found.verdict, found.reason) == (Verdict.WORSE, "line 7: ClientError: x")

    def test_a_run_that_stopped_early_is_worse(self, baseline: RunLog) -> None:
        """One of two epochs is not what was asked for."""
        found = judged(compare(baseline, replace(baseline, epochs=baseline.epochs.iloc[:1])), "epochs")
        assert (found.verdict, found.reason) == (Verdict.WORSE, "2 epochs were to be trained")

    def test_a_baseline_without_a_finished_epoch_is_refused(self, baseline: RunLog) -> None:
        """A gate must not open because there is nothing to judge by."""
        with pytest.raises(ClientError) as caught:
            compare(replace(baseline, name="cut.log", epochs=baseline.epochs.iloc[:0]), baseline)
        assert str(caught.value) == (
            "cut.log tells of no finished epoch, so nothing can be judged by it: take the log of a whole run."
        )

    def test_a_candidate_without_a_finished_epoch_is_worse(self, baseline: RunLog) -> None:
        """In everything that the baseline has."""
        comparison = compare(baseline, replace(baseline, epochs=baseline.epochs.iloc[:0]))
        assert [judgement.name for judgement in comparison.regressions] == [
            "epochs",
            "accuracy",
            "cross_entropy",
            "auc",
        ]

    def test_configurations_differ_by_value_not_by_spelling(self, baseline: RunLog) -> None:
        """1e-05 is 0.00001; what one does not have differs."""
        other = {**baseline.configuration, "weight_decay": "1e-05", "vector_dim": "16"}
        del other["epochs"]
        table = compare(baseline, replace(baseline, configuration=other)).configuration()
        assert table.to_dict("index") == {
            "epochs": {"baseline": "2", "candidate": None}, "vector_dim": {"baseline": "8", "candidate": "16"},
        }  # fmt: skip

    def test_batches_of_other_sizes_are_not_lined_up(self, baseline: RunLog) -> None:
        """The thousandth batch of 100 and of 200 are not the same place."""
        other = replace(baseline, configuration={**baseline.configuration, "mini_batch_size": "200"})
        assert len(compare(baseline, baseline).within_epochs()) == 6 + 6 + 4
        assert compare(baseline, other).within_epochs().empty

    def test_everything_fits_in_json(self, baseline: RunLog) -> None:
        """NaN is null, and numbers are numbers."""
        comparison = compare(baseline, with_metric(baseline, AUC, None))
        content = json.loads(json_text(comparison.to_json()))
        assert content["is_regression"] is True
        assert content["judgements"][3] == {
            "metric": "auc", "baseline": 0.953125, "candidate": None, "difference": None, "allowed": None,
            "verdict": "missing", "reason": "the baseline has it",
        }  # fmt: skip
        assert content["epochs"][0] == {
            "metric": "accuracy", "epoch": 0, "baseline": 0.84375, "candidate": 0.84375, "difference": 0.0,
        }  # fmt: skip
        assert content["counters"]["Total Records Seen"] == {"baseline": 6000.0, "candidate": 6000.0}


class TestTolerances:
    """METRIC=VALUE."""

    def test_amounts_and_shares(self) -> None:
        """A percent sign makes a share; the last one counts."""
        assert parse_tolerances(["auc=1", "accuracy = 1e-3", "auc=2.5%"]) == {
            "auc": Tolerance(0.025, is_share=True), "accuracy": Tolerance(0.001),
        }  # fmt: skip

    @pytest.mark.parametrize("value", ["", "-1", "nan", "inf", "1e999", "x", "1%%", "0x1", "1_0"])
    def test_other_values_are_refused(self, value: str) -> None:
        """NaN and infinity are no numbers."""
        with pytest.raises(ClientError) as caught:
            parse_tolerances([f"auc={value}"])
        assert str(caught.value) == (
            f"Tolerance 'auc={value}' must be a number from 0 or a percentage, for example auc=0.005."
        )

    def test_unknown_metrics_are_refused(self) -> None:
        """The sentence says which there are."""
        with pytest.raises(ClientError) as caught:
            parse_tolerances(["loss=1"])
        assert str(caught.value) == (
            "Tolerance 'loss=1' is for no known metric: it must begin with one of accuracy, auc, cross_entropy, "
            "throughput, for example auc=0.005."
        )

    @given(st.text(max_size=12))
    def test_no_text_gives_another_error(self, text: str) -> None:
        """Whatever is typed, it is a tolerance from 0 or a sentence."""
        with contextlib.suppress(ClientError):
            assert all(tolerance.amount >= 0 for tolerance in parse_tolerances([f"auc={text}"]).values())


class TestReports:
    """What people read."""

    def test_a_regression_is_said_in_the_headline(self, baseline: RunLog) -> None:
        """And the reason in the table."""
        report = comparison_report(compare(baseline, with_metric(baseline, AUC, 0.5)))
        assert report.headline == f"REGRESSION: candidate.log is worse than {baseline.name} in auc."
        assert report.text().endswith(report.headline)
        assert report.markdown().startswith(f"# {report.headline}\n")
        assert "| auc | 0.953125 | 0.500000 | -0.453125 | 0.002000 | WORSE |" in report.markdown()

    def test_notes_tell_what_a_number_does_not(self, baseline: RunLog) -> None:
        """Other data, several starts and hosts, errors, lines not understood."""
        other = replace(
            baseline, name="b.log", num_starts=2, configuration={}, unknown=tuple(Note(n, "what?") for n in range(5)),
            errors=(Note(3, "oh"),),
            epochs=pd.concat([baseline.epochs, baseline.epochs.rename(index={"algo-1": "algo-2"})]),
        )  # fmt: skip
        notes = comparison_report(compare(baseline, other)).sections[-1].remarks
        assert notes == (
            "The runs did not train on the same data: 3,000 and 6,000 records an epoch.",
            "b.log does not tell its configuration.",
            "b.log tells of 2 starts; the last one is shown.",
            "b.log is of 2 hosts: metrics are averaged, records and speeds added.",
            "b.log, line 3, an error: oh",
            "b.log, line 0, not understood: what?",
            "b.log, line 1, not understood: what?",
            "b.log, line 2, not understood: what?",
            "b.log: 5 lines are not understood in all.",
        )

    def test_inside_epochs_the_largest_difference_is_told(self, baseline: RunLog) -> None:
        """Batch 0 is noise: 0.4 there is less interesting than 0.0625 later."""
        batches = baseline.batches.copy()
        batches.loc[("algo-1", 0, 0), ACCURACY] = 0.1
        batches.loc[("algo-1", 1, 10), ACCURACY] += 0.0625
        sections = comparison_report(compare(baseline, replace(baseline, batches=batches))).sections
        inside = next(section for section in sections if section.title == "Inside epochs")
        assert inside.remarks[0] == ("accuracy: 6 points in common, largest difference +0.062500 at epoch 1, batch 10.")

    def test_without_points_in_common_it_says_so(self, baseline: RunLog) -> None:
        """Other intervals, or other sizes of batches."""
        empty = replace(baseline, batches=baseline.batches.iloc[:0])
        sections = comparison_report(compare(baseline, empty)).sections
        assert Section("Inside epochs", remarks=("The logs tell of no batch in common.",)) in sections
        other = replace(baseline, configuration={"mini_batch_size": "7"})
        remark = "Not lined up: mini_batch_size differs, so batches are not the same records."
        assert Section("Inside epochs", remarks=(remark,)) in comparison_report(compare(baseline, other)).sections

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
        """At blanks, to the width of what is below, the last line of each at the bottom; long remarks break, too."""
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

    def test_numbers(self) -> None:
        """Thousands apart, a dash for nothing."""
        assert (number(1234.5, 1), number(None), number(math.nan), signed(0.5, 2), signed(None)) == (
            "1,234.5", "-", "-", "+0.50", "-",
        )  # fmt: skip

    def test_json_knows_no_infinity(self) -> None:
        """It becomes null."""
        assert json.loads(json_text({"a": [math.inf, (math.nan, 1.0)]})) == {"a": [None, [None, 1.0]]}


class TestHistory:
    """A folder of logs is a table."""

    def test_a_row_per_run_in_the_order_of_their_start(self, tmp_path: Path) -> None:
        """With state, metrics, and the hyperparameters that differ."""
        for name in ("failed.log", "ours.log", "worse-auc.log"):
            (tmp_path / name).write_bytes((LOGS / name).read_bytes())
        (tmp_path / "notes.txt").write_text("nothing", encoding="utf-8")
        (tmp_path / ".hidden.log").touch()
        (tmp_path / "model.bin").touch()
        history = read_history(log_files(tmp_path))
        table = history.table()
        assert [Path(name).name for name in table.index] == ["failed.log", "worse-auc.log", "ours.log"]
        assert table["state"].tolist() == ["failed", "complete", "complete"]
        assert table["epochs"].tolist() == [1, 2, 2]
        assert table["auc"].tolist()[:2] == [0.9375, 0.9375]
        assert table["mini_batch_size"].tolist() == ["100", "100", "20"]
        assert "vector_dim" not in table
        assert [Path(name).name for name, _ in history.unreadable] == ["notes.txt"]
        report = history_report(history)
        assert report.headline == "3 runs read, 1 file not."
        assert json.loads(json_text(history.to_json()))["runs"][0]["start"] == "2022-03-04 05:06"

    def test_a_stopped_run_says_how_far_it_came(self, tmp_path: Path) -> None:
        """One epoch of two."""
        lines = (LOGS / "failed.log").read_text(encoding="utf-8").splitlines()[:42]
        (tmp_path / "a.log").write_text("\n".join(lines), encoding="utf-8")
        assert read_history([tmp_path / "a.log"]).table()["state"].tolist() == ["1 of 2 epochs"]

    def test_a_folder_without_logs_is_refused(self, tmp_path: Path) -> None:
        """The sentence says which names are taken."""
        with pytest.raises(ClientError) as caught:
            log_files(tmp_path)
        assert str(caught.value) == (
            f"{tmp_path} holds no logs: their names must end in .csv, .gz, .ipynb, .json, .jsonl, .log, .txt."
        )

    def test_if_no_log_can_be_read_the_first_tells_why(self, tmp_path: Path) -> None:
        """There is no table of nothing."""
        with pytest.raises(ClientError, match="cannot be read: No such file"):
            read_history([tmp_path / "none.log"])


class TestJUnit:
    """What continuous integration reads."""

    def test_cases_fail_and_are_skipped(self, baseline: RunLog) -> None:
        """A suite per candidate with its counts."""
        results = {"good": compare(baseline, baseline), "bad": compare(baseline, with_metric(baseline, AUC, 0.5)),
                   "broken\x00": "no metrics"}  # fmt: skip
        root = ET.fromstring(junit_xml(results))  # noqa: S314 - our own
        counts = [[suite.get(name) for name in ("name", "tests", "failures", "errors", "skipped")] for suite in root]
        assert counts == [
            ["good", "5", "0", "0", "1"], ["bad", "5", "1", "0", "1"], ["broken?", "1", "0", "1", "0"],
        ]  # fmt: skip
        failure = root.find("testsuite[@name='bad']/testcase[@name='auc']/failure")
        assert failure is not None
        assert failure.get("message") == "auc WORSE: baseline 0.953125, candidate 0.5, may be worse by 0.002"
        report = summary_report(baseline, results)
        assert report.headline == f"REGRESSION: 3 compared with {baseline.name}, 1 worse, 1 not read."


class TestPlots:
    """Pictures; that they are legible was looked at."""

    def test_runs_are_drawn_with_a_panel_per_metric(self, baseline: RunLog) -> None:
        """Axes say what they show, and each run has its line in the legend."""
        figure = draw_runs([baseline, read_run(LOGS / "ours.log")], ["one", "two"])
        assert [axes.get_ylabel() for axes in figure.axes] == [
            "training accuracy", "training cross-entropy (nats)", "validation AUC", "thousand records per second",
        ]  # fmt: skip
        assert [text.get_text() for text in figure.legends[0].get_texts()] == ["one", "two"]
        assert png(figure).startswith(PNG)

    def test_a_metric_that_no_run_has_has_no_panel(self, baseline: RunLog) -> None:
        """Three panels, and no empty fourth."""
        assert len(draw_runs([with_metric(baseline, AUC, None)], ["one"]).axes) == 3

    def test_a_log_without_ends_is_drawn_too(self, baseline: RunLog) -> None:
        """A run that was cut off inside its first epoch."""
        cut = replace(baseline, epochs=baseline.epochs.iloc[:0], batches=baseline.batches.iloc[:3])
        assert png(draw_runs([baseline, cut], ["one", "two"])).startswith(PNG)
        assert [axes.get_ylabel() for axes in draw_runs([cut], ["one"]).axes] == [
            "training accuracy", "training cross-entropy (nats)"
        ]  # fmt: skip

    def test_a_log_without_metrics_cannot_be_drawn(self, baseline: RunLog) -> None:
        """It says so instead of drawing nothing."""
        empty = replace(baseline, epochs=baseline.epochs.iloc[:0], batches=baseline.batches.iloc[:0])
        with pytest.raises(ClientError) as caught:
            draw_runs([empty], ["some.log"])
        assert str(caught.value) == "There is nothing to draw: no metric is told of by some.log."

    @pytest.mark.parametrize("labelled", [False, True])
    def test_scores_are_drawn(self, labelled: bool, rng: np.random.Generator) -> None:  # noqa: FBT001
        """With labels there is a ROC curve too."""
        first, second = rng.normal(size=(2, 200))
        labels = Labels(np.arange(200) % 2 == 0) if labelled else None
        figure = draw_scores(compare_scores(Scores("a", first), Scores("b", second), labels))
        assert len(figure.axes) == 3 + labelled  # one is the colour bar's
        assert png(figure).startswith(PNG)

    def test_without_matplotlib_the_cure_is_told(self, baseline: RunLog, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is an extra."""
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        with pytest.raises(ClientError) as caught:
            draw_runs([baseline], ["one"])
        assert str(caught.value) == ("Plots need matplotlib, which is not installed: pip install matplotlib.")


class TestCommand:
    """What the command line calls."""

    def test_unknown_metrics_to_ignore_are_refused(self) -> None:
        """The sentence says which there are."""
        with pytest.raises(ClientError) as caught:
            compare_logs([LOGS / "ours.log"] * 2, ignored=["loss"])
        assert str(caught.value) == (
            "'loss' is no metric to ignore: it must be one of accuracy, auc, cross_entropy, throughput."
        )


SCORES = np.array([0.5, -1.25, 3.0])


def write(path: Path, text: str | bytes) -> Path:
    """Write a file and give its path."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


class TestScoreFiles:
    """Scores in every format they come in."""

    @pytest.mark.parametrize(
        "text",
        [
            '{"dot_product":0.5}\n{"dot_product":-1.25}\n\n{"dot_product":3.0}\n',
            '{"dot_product":0.5}{"dot_product":-1.25}\r\n{"dot_product":3}',
            '{"predictions": [{"dot_product": 0.5}, {"dot_product": -1.25}, {"dot_product": 3.0}]}',
            '{"predictions": [{"dot_product": 0.5}]}{"predictions": [{"dot_product": -1.25}, {"dot_product": 3.0}]}',
            json.dumps({"predictions": [{"dot_product": value} for value in SCORES]}, indent=2),
            '{"ip_embedding":[1,2],"entity_embedding":[3,4],"dot_product":0.5}\n{"dot_product":-1.25}\n{"dot_product":3}',
            '[{"dot_product": 0.5}, {"dot_product": -1.25}, {"dot_product": 3.0}]',
            "entity,ip,dot_product\na,1.1.1.1,0.5\nb,1.1.1.2,-1.25\nc,1.1.1.3,3\n",
            'dot_product,entity\n0.5,"a,b"\n-1.25,NA\n3e0,\n',
            gzip.compress(b'{"dot_product":0.5}\n{"dot_product":-1.25}\n{"dot_product":3.0}\n', mtime=0),
            b'\xef\xbb\xbf{"dot_product":0.5}\n{"dot_product":-1.25}\n{"dot_product":3.0}\n',
        ],
    )
    def test_formats(self, text: str | bytes, tmp_path: Path) -> None:
        """JSON Lines, JSON in any layout, CSV by column name, gzip of any."""
        assert read_scores(write(tmp_path / "x.out", text)).dot_products.tolist() == SCORES.tolist()

    def test_csv_tells_the_pairs(self, tmp_path: Path) -> None:
        """Entities are text, whatever they look like."""
        pairs = read_scores(write(tmp_path / "x", "entity,ip,dot_product\n007,1.1.1.1,1\nNA,1.1.1.2,2\n")).pairs
        assert pairs is not None
        assert pairs.to_dict("list") == {"entity": ["007", "NA"], "ip": ["1.1.1.1", "1.1.1.2"]}

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("", "x is neither JSON nor CSV: No columns to parse from file."),
            ("a,b\n1,2\n", "x has no column 'dot_product': scores are SageMaker's .out files, its JSON, or what "
                           "`ipinsights score` writes."),
            ("dot_product\n", "x holds no scores."),
            ("dot_product\n1\nz\n", "x, score 2: a score must be a finite number, not 'z'."),
            ('{"dot_product": 1}\n{"dot_product": NaN}\n', "x, score 2: a score must be a finite number, not 'nan'."),
            ('{"dot_product": 1}\n{"score": 2}\n',
             "x, after 1 scores: every prediction must be an object with a number 'dot_product'."),
            ('{"predictions": 3}',
             "x, after 0 scores: every prediction must be an object with a number 'dot_product'."),
            ('{"dot_product": 1}\n{"dot', "x is no JSON: Unterminated string starting at: line 1 column 2 (char 1)."),
        ],
    )  # fmt: skip
    def test_faults(self, text: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each has its sentence."""
        monkeypatch.chdir(tmp_path)
        write(Path("x"), text)
        with pytest.raises(ClientError) as caught:
            read_scores(Path("x"))
        assert str(caught.value) == sentence

    @pytest.mark.parametrize("text", ["0\n1\n", "a,1.1.1.1,0\nb,1.1.1.2,1\n"])
    def test_labels_are_the_last_column(self, text: str, tmp_path: Path) -> None:
        """Alone, or after the pairs."""
        labels = read_labels(write(tmp_path / "x", text))
        assert labels.is_attack.tolist() == [False, True]
        assert (labels.pairs is None) == text.startswith("0")

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("1\n2\n", "x, row 2: a label must be 0 (normal) or 1 (attack), not '2'. The label is the last column, and "
                       "there is no header."),
            ("1\n1\n", "x must hold both labels, 0 (normal) and 1 (attack)."),
            ("", "x is no CSV: No columns to parse from file."),
        ],
    )  # fmt: skip
    def test_faults_of_labels(self, text: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each has its sentence."""
        monkeypatch.chdir(tmp_path)
        write(Path("x"), text)
        with pytest.raises(ClientError) as caught:
            read_labels(Path("x"))
        assert str(caught.value) == sentence


class TestCompareScores:
    """Two models' opinions of the same pairs."""

    def test_agreement_by_hand(self) -> None:
        """Ranks 1 2 3 4 and 1 3 2 4: 1 - 6 * 2 / (4 * 15) = 0.8; the distributions are apart by one of four."""
        found = compare_scores(
            Scores("a", np.array([1.0, 2.0, 3.0, 4.0])), Scores("b", np.array([1.0, 3.5, 2.0, 4.0]))
        ).agreement()  # fmt: skip
        assert found["rank correlation (Spearman)"] == pytest.approx(0.8)
        assert found["distance of distributions (KS)"] == pytest.approx(0.25)
        assert found["mean absolute difference"] == pytest.approx((0 + 1.5 + 1 + 0) / 4)
        assert found["largest absolute difference"] == 1.5

    def test_equal_scores_have_no_rank_correlation(self) -> None:
        """Where nothing varies, nothing can vary together."""
        comparison = compare_scores(Scores("a", np.ones(3)), Scores("b", SCORES))
        assert math.isnan(comparison.agreement()["rank correlation (Spearman)"])
        assert score_report(comparison, 5).headline == "3 pairs, rank correlation -: first a, second b."

    def test_flags_by_hand(self) -> None:
        """A pair is flagged when its score is below the threshold, not at it."""
        comparison = compare_scores(
            Scores("a", np.array([-1.0, -1.0, 0.0, 5.0])), Scores("b", np.array([-2.0, 3.0, -4.0, 0.0]))
        )
        assert list(comparison.flags().values()) == [1, 1, 1, 1]
        assert comparison.disagreements(9).to_dict("list") == {
            "row": [2, 3], "first": [-1.0, 0.0], "second": [3.0, -4.0],
        }  # fmt: skip
        assert len(comparison.disagreements(1)) == 1

    def test_a_flag_rate_sets_a_threshold_for_each(self) -> None:
        """Models on other scales are compared by what they flag."""
        values = np.arange(100.0)
        comparison = compare_scores(Scores("a", values), Scores("b", 10 * values), flag_rate=0.1)
        assert comparison.thresholds == pytest.approx((9.9, 99.0))
        assert comparison.flags()["flagged by both"] == 10

    def test_detection_by_hand(self) -> None:
        """Attacks at -3 and 1, normal pairs at -1, 2, 3: five of six pairs are in order."""
        labels = Labels(np.array([True, False, True, False, False]))
        scores = Scores("a", np.array([-3.0, -1.0, 1.0, 2.0, 3.0]))
        detection = compare_scores(scores, scores, labels).detection()
        assert detection is not None
        assert detection[0].to_dict() == {
            "AUC": pytest.approx(5 / 6),
            "recall at 0.1% false positives": 0.5,
            "recall at 1.0% false positives": 0.5,
            "recall at 5.0% false positives": 0.5,
            "recall below the threshold": 0.5,
            "false positive rate below the threshold": pytest.approx(1 / 3),
            "precision below the threshold": 0.5,
        }

    def test_without_labels_there_is_no_detection(self) -> None:
        """Nothing is made up."""
        assert compare_scores(Scores("a", SCORES), Scores("b", SCORES)).detection() is None

    def test_the_quantiles_are_numpy_s(self, rng: np.random.Generator) -> None:
        """And mean and deviation too."""
        values = rng.normal(size=1000)
        table = compare_scores(Scores("a", values), Scores("b", -values)).distribution()
        assert table[0]["quantile 0.01"] == np.quantile(values, 0.01)
        assert table[1]["mean"] == -values.mean()

    def test_everything_fits_in_json(self) -> None:
        """A precision of nothing is null."""
        labels = Labels(np.array([True, False, False]))
        comparison = compare_scores(Scores("a", SCORES), Scores("b", SCORES + 9), labels)
        content = json.loads(json_text(comparison.to_json(5)))
        assert content["detection"]["precision below the threshold"] == {"first": 0.0, "second": None}
        assert content["disagreements"] == [{"row": 2, "first": -1.25, "second": 7.75, "is attack": False}]
        assert content["thresholds"] == [0.0, 0.0]

    def test_files_of_other_lengths_are_refused(self) -> None:
        """They cannot be of the same pairs."""
        with pytest.raises(ClientError) as caught:
            compare_scores(Scores("a", SCORES), Scores("b", SCORES[:2]))
        assert str(caught.value) == (
            "a holds 3 scores and b 2 rows: both must be for the same pairs in the same order."
        )

    def test_files_of_other_pairs_are_refused(self) -> None:
        """The first row that differs is named; blanks before an address do not differ."""
        pairs = pd.DataFrame({"entity": ["u", "v"], "ip": ["1.1.1.1", "2.2.2.2"]})
        other = pd.DataFrame({"entity": ["u", "w"], "ip": [" 1.1.1.1", "2.2.2.2"]})
        with pytest.raises(ClientError) as caught:
            compare_scores(Scores("a", SCORES[:2], pairs), Scores("b", SCORES[:2], other))
        assert str(caught.value) == (
            "Row 2 of a is 'v,2.2.2.2' and of b 'w,2.2.2.2': both must be for the same pairs in the same order."
        )

    def test_disagreements_name_the_pair(self) -> None:
        """From whichever file knows it, the file of labels too."""
        pairs = pd.DataFrame({"entity": ["u", "v", "w"], "ip": ["1.1.1.1"] * 3})
        labels = Labels(np.array([True, False, False]), pairs)
        found = compare_scores(Scores("a", SCORES), Scores("b", -SCORES), labels).disagreements(1)
        assert found.to_dict("records") == [
            {"row": 3, "entity": "w", "ip": "1.1.1.1", "first": 3.0, "second": -3.0, "is attack": False}
        ]

    def test_the_report_has_a_section_for_each_part(self) -> None:
        """Attacks and disagreements only where there are any."""
        comparison = compare_scores(Scores("a", SCORES), Scores("b", SCORES), Labels(np.array([True, False, False])))
        titles = [section.title for section in score_report(comparison, 5).sections]
        assert titles == ["Agreement", "Distribution", "Flagged below 0", "Attacks found"]

"""Commands that judge a model: threshold, verdicts, explanation and evaluation."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from ipinsights.testing import PlantedNetworks, csv_text, run_command

if TYPE_CHECKING:
    from pathlib import Path

HYPERPARAMETERS = {"num_entity_vectors": 400, "vector_dim": 64, "mini_batch_size": 500, "epochs": 10,
                   "learning_rate": 0.01}  # fmt: skip


def run(*arguments: object, code: int = 0, stdin: str = "") -> tuple[str, str]:
    """Run the command, and give what it wrote to both streams."""
    done = run_command(*arguments, stdin=stdin)
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


@dataclass(frozen=True)
class Files:
    """A trained model, what it was trained on, and later days."""

    planted: PlantedNetworks
    model: Path
    log: Path
    train: Path
    calibration: Path
    test: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Return files of a model trained on 50 entities, each in a /16 of its own.

    2 % of the later events are from the network of another entity.
    """
    folder, rng = tmp_path_factory.mktemp("judging"), np.random.default_rng(7)
    planted = PlantedNetworks(rng.choice(np.arange(0x0B00, 0x6300, dtype=np.uint32), size=50, replace=False))
    for name, size, share in (("train", 20_000, 0), ("calibration", 5000, 0.02), ("test", 5000, 0.02)):
        (entities, ips), (_, odd) = planted.normal(size, rng=rng), planted.odd(size, rng=rng)
        text = csv_text(planted.names(entities), np.where(rng.random(size) < share, odd, ips))
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    given = [argument for name, value in HYPERPARAMETERS.items() for argument in ("-H", f"{name}={value}")]
    log, _ = run("train", "--train", folder / "train.csv", "--model-dir", folder / "model", *given)
    (folder / "training.log").write_text(log, encoding="utf-8")
    return Files(planted, folder / "model", folder / "training.log", *(folder / f"{name}.csv" for name in (
        "train", "calibration", "test")))  # fmt: skip


@pytest.fixture(scope="module")
def shown(files: Files, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Evaluate once; give what was printed, and the folder of the report."""
    folder = tmp_path_factory.mktemp("report") / "new"
    table = folder.parent / "asn.tsv"
    table.write_text("184549376\t1660944383\t64500\tXX\tTEST\n", encoding="utf-8")
    text, _ = run("evaluate", "--model-dir", files.model, "--train", files.train, "--test", files.test,
                  "--calibration", files.calibration, "--asn-table", table, "--log", files.log, "--report",
                  folder)  # fmt: skip
    return text, folder


def test_labels_of_a_table_are_used(files: Files, tmp_path: Path) -> None:
    """With ``--entity`` and ``--ip`` the column ``label`` says which events are attacks.

    As a third column does.
    """
    rows = [line.split(",") for line in files.test.read_text(encoding="utf-8").splitlines()]
    labels = [int(number % 50 == 0) for number in range(len(rows))]
    third = "".join(f"{entity},{ip},{label}\n" for (entity, ip), label in zip(rows, labels, strict=True))
    (tmp_path / "third.csv").write_text(third, encoding="utf-8")
    named = "".join(f"{ip};x;{label};{entity}\n" for (entity, ip), label in zip(rows, labels, strict=True))
    (tmp_path / "named.csv").write_text(f"from;other;label;user\n{named}", encoding="utf-8")
    (tmp_path / "train.csv").write_text(f"user,from\n{files.train.read_text(encoding='utf-8')}", encoding="utf-8")
    expected, _ = run("evaluate", "--model-dir", files.model, "--train", files.train, "--test", tmp_path / "third.csv")
    found, _ = run("evaluate", "--model-dir", files.model, "--train", tmp_path / "train.csv", "--test",
                   tmp_path / "named.csv", "--entity", "user", "--ip", "from")  # fmt: skip
    assert "Your labelled attacks" in found
    assert found == expected


class TestThreshold:
    """What is promised on one day holds on the next."""

    def test_the_promise_holds_on_later_events(self, files: Files, tmp_path: Path) -> None:
        """Of 5,000 later events 5 % are flagged, within chance, and ``score`` marks them."""
        stored = tmp_path / "threshold.json"
        text, _ = run("threshold", "--model-dir", files.model, "--calibration", files.calibration, "--fpr", 0.05, "-o",
                      stored)  # fmt: skip
        found = re.fullmatch(
            r"Suspicious: score < (\S+)\n"
            r"Guarantee: at most 5 % of ordinary events, if they are like the calibration's\.\n"
            r"This threshold's own rate: (\S+) % to (\S+) % \(95 % confidence, if events are independent\)\.\n"
            r"Calibrated on 5,000 events\.\n"
            rf"Stored in {re.escape(str(stored))}\.\n",
            text,
        )
        assert found is not None
        assert float(found[2]) < 5 < float(found[3])
        scored, _ = run("score", files.test, "--model-dir", files.model, "--threshold", stored)
        rows = list(csv.DictReader(scored.splitlines()))
        suspicious = [row for row in rows if row["verdict"] == "suspicious"]
        # five standard deviations of the difference of two binomial shares
        assert len(suspicious) / len(rows) == pytest.approx(0.05, abs=5 * np.sqrt(2 * 0.05 * 0.95 / 5000))
        assert all(float(row["dot_product"]) < float(found[1]) + 1e-4 for row in suspicious)
        assert all((float(row["p_value"]) <= 0.05) == (row["verdict"] == "suspicious") for row in rows)

    def test_score_reads_the_threshold_that_lies_beside_the_model(self, files: Files) -> None:
        """With ``--extended``; an allowed network and an unknown entity have words of their own."""
        home = files.planted.networks[0] >> 8, files.planted.networks[0] & 255
        pairs = f"user_0,{home[0]}.{home[1]}.1.1\nuser_0,203.0.113.7\nvisitor,1.2.3.4\nuser_0,10.1.2.3\n"
        run("threshold", "--model-dir", files.model, "--calibration", files.calibration, "--fpr", 0.01, "--allow",
            "10.0.0.0/8")  # fmt: skip
        try:
            scored, _ = run("score", "-", "--model-dir", files.model, "--extended", stdin=pairs)
        finally:
            (files.model / "threshold.json").unlink()
        rows = list(csv.DictReader(scored.splitlines()))
        assert [row["verdict"] for row in rows] == ["normal", "suspicious", "unknown_entity", "allowed"]
        assert [row["entity_known"] for row in rows] == ["true", "true", "false", "true"]
        assert [bool(row["p_value"]) for row in rows] == [True, True, False, True]
        plain, _ = run("score", "-", "--model-dir", files.model, "--extended", stdin=pairs)
        assert plain.splitlines()[0] == "entity,ip,dot_product,entity_known,probability"

    def test_too_few_rows_are_refused(self, files: Files, tmp_path: Path) -> None:
        """The error says how many rows are needed, and nothing is stored."""
        few = tmp_path / "few.csv"
        few.write_text("".join(files.calibration.read_text(encoding="utf-8").splitlines(keepends=True)[:998]))
        _, error = run("threshold", "--model-dir", files.model, "--calibration", few, "--fpr", 0.001, code=2)
        assert error == (
            "ClientError: A false positive rate of 0.001 needs at least 999 calibration rows of entities that the "
            "model knows. Got 998. Give more rows, or ask for a higher rate.\n"
        )
        assert not (files.model / "threshold.json").exists()


class TestExplain:
    """Why an event is odd."""

    def test_what_a_person_would_look_up(self, files: Files) -> None:
        """The explanation has usual networks with counts, the nearest one, and no verdict."""
        home = int(files.planted.networks[3])
        text, _ = run("explain", "--model-dir", files.model, "--train", files.train, "--json", "user_3",
                      f"{home >> 8}.{home & 255}.7.7")  # fmt: skip
        found = json.loads(text)
        rows = [line.split(",") for line in files.train.read_text(encoding="utf-8").splitlines()]
        own = [ip for name, ip in rows if name == "user_3"]
        assert found["num_events"] == len(own)
        assert found["num_networks"] == len({ip.rpartition(".")[0] for ip in own})
        assert found["nearest"]["shared_bits"] >= 16
        assert found["usual"][0]["num_events"] == max(
            sum(ip.startswith(network + ".") for ip in own) for network in {ip.rpartition(".")[0] for ip in own}
        )
        assert (found["p_value"], found["verdict"], found["threshold"]) == (None, None, None)

    def test_an_unknown_entity_from_a_carrier(self, files: Files) -> None:
        """For an unknown entity the explanation reports no training, no crowd and the range."""
        text, _ = run("explain", "--model-dir", files.model, "--train", files.train, "stranger", "100.64.1.2")
        assert re.fullmatch(
            r"stranger from 100\.64\.1\.2: score -?\d+\.\d\d \(higher is more normal\)\n"
            r"\n"
            r"Training never saw this entity\.\n"
            r"\n"
            r"This address\n"
            r"  on 100\.64\.1\.0/24: 0 other entities, 0 events\n"
            r"  on 100\.64\.0\.0/16: 0 other entities, 0 events\n"
            r"\n"
            r"Note: unknown entity: the model never learned it, and its score means nothing\.\n"
            r"Note: the address is no ordinary public one: carrier-grade NAT \(RFC 6598\): shared by many "
            r"subscribers\.\n",
            text,
        )

    def test_no_address(self, files: Files) -> None:
        """What is no address is refused."""
        _, error = run("explain", "--model-dir", files.model, "--train", files.train, "user_3", "1.2.3", code=2)
        assert error == (
            "ClientError: '1.2.3' is no IPv4 address: it must be four numbers from 0 to 255, separated by dots.\n"
        )


class Page(HTMLParser):
    """Collects what a page asks the network for, and the texts of its headings."""

    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.titles: list[str] = []
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note every reference that leads out of the page."""
        self._in_title = tag == "h2"
        self.outside += [f"{tag} {value}" for name, value in attrs if name in {"src", "href", "xlink:href"}
                         and not str(value).startswith(("#", "data:"))]  # fmt: skip

    def handle_data(self, data: str) -> None:
        """Note a heading."""
        if self._in_title:
            self.titles.append(data)
            self._in_title = False


class TestEvaluate:
    """A model next to counting."""

    def test_the_planted_answer_is_found(self, shown: tuple[str, Path]) -> None:
        """The evaluation finds the planted structure.

        Each entity is always new in its /24 and usual in its /16, so the model detects what the /16 shows.
        """
        found = json.loads((shown[1] / "report.json").read_text(encoding="utf-8"))
        value = {(row["attacker"], row["slice"], row["scorer"], row["metric"]): row["value"]
                 for row in found["detection"]}  # fmt: skip
        for attacker in (
            "random addresses",
            "announced ranges",
            "other entities' addresses",
            "other entities' networks",
        ):
            # 2 % of ordinary events are odd themselves: a score that sees the rest gets 1 - 0.02 / 2 of the area
            assert value[attacker, "all", "/16 seen", "ROC-AUC"] == pytest.approx(0.99, abs=0.01)
            assert value[attacker, "all", "model", "ROC-AUC"] == pytest.approx(0.99, abs=0.015)
            assert value[attacker, "all", "entity only (control)", "ROC-AUC"] == pytest.approx(0.5, abs=0.001)
            assert value[attacker, "all", "address seen", "ROC-AUC"] < 0.6
        assert value["the victim's own /16", "all", "model", "ROC-AUC"] == pytest.approx(0.5, abs=0.05)
        assert value["AWS's tutorial recipe", "all", "model", "ROC-AUC"] > 0.97
        assert {row["attacker"] for row in found["differences_to_best_baseline"]["rows"]} >= {"announced ranges"}
        alerts = {
            (row["scorer"], row["fpr"]): row["alerts_per_1000"] for row in found["alerts"] if row["slice"] == "all"
        }
        assert alerts["model", 0.05] == pytest.approx(50, abs=5 * np.sqrt(2 * 0.05 * 0.95 / 5000) * 1000)

    def test_the_terminal_shows_the_verdict_last(self, shown: tuple[str, Path]) -> None:
        """Model, baselines and control in a table; the sentence to remember is next to the prompt."""
        *lines, verdict, written = shown[0].splitlines()
        assert verdict.startswith("At 1 false alarm in 100 the model catches ")
        assert written == f"Written: {shown[1] / 'report.html'}, report.json and model_card.md."
        for scorer in ("model", "address seen", "/24 seen", "/16 seen", "longest prefix", "Witten-Bell counts",
                       "Freeman's ratio", "popularity of the /24", "entity only (control)"):  # fmt: skip
            assert sum(line.startswith(f"{scorer} ") for line in lines) >= 3
        assert max(map(len, lines)) <= 140

    def test_the_page_needs_nothing_but_itself(self, shown: tuple[str, Path]) -> None:
        """The page has no script, no external reference and four valid plots with accessible names."""
        text = (shown[1] / "report.html").read_text(encoding="utf-8")
        page = Page()
        page.feed(text)
        assert page.outside == []
        assert "<script" not in text
        drawings = re.findall(r"<svg .*?</svg>", text, flags=re.DOTALL)
        titles = ["Scores", "Attacks caught by false alarms", "Networks", "Training"]
        assert [ET.fromstring(drawing).get("aria-label") for drawing in drawings] == titles  # noqa: S314 - our own
        assert [title for title in page.titles if title in titles] == titles

    def test_the_page_begins_with_one_plain_sentence(self, shown: tuple[str, Path]) -> None:
        """The sentence is that of the terminal, above the numbers."""
        text = (shown[1] / "report.html").read_text(encoding="utf-8")
        sentence = shown[0].splitlines()[0]
        assert re.fullmatch(r"The model catches \d+ % of simulated attacks and the best count \d+ %: .*\.", sentence)
        assert f'<p class="finding">{sentence}</p>\n<p class="headline">At 1 false alarm' in text

    def test_the_page_has_a_dark_a_narrow_and_a_printed_form(self, shown: tuple[str, Path]) -> None:
        """Styles for each, and colours that are defined in light, in the dark and on paper."""
        style = (shown[1] / "report.html").read_text(encoding="utf-8").partition("<style>")[2].partition("</style>")[0]
        for medium in ("(prefers-color-scheme: dark)", "(max-width: 40rem)", "print"):
            assert f"@media {medium} {{" in style
        for name in set(re.findall(r"var\((--\w+)\)", style)):
            assert style.count(f"{name}:") == 3

    def test_the_card_tells_what_the_model_is(self, files: Files, shown: tuple[str, Path]) -> None:
        """Hyperparameters, what it was trained on, what it cannot do, and how well it does."""
        card = (shown[1] / "model_card.md").read_text(encoding="utf-8")
        assert card.startswith("# Model card: IP Insights\n\nThe model catches ")
        assert "\n\nAt 1 false alarm in 100 the model catches " in card
        assert "\n### Area under the ROC curve\n" in card
        assert "| vector_dim | 64 |" in card
        assert "20000" in card.partition("Training:")[2].partition("## What it is for")[0]
        headings = [line for line in card.splitlines() if line.startswith("## ")]
        assert headings == ["## What it is", "## What it is for", "## What it cannot do", "## How well it does"]
        assert str(files.train.parent) not in card

    def test_a_wrong_label_is_named(self, files: Files, tmp_path: Path) -> None:
        """The error names the file and the row of the label."""
        test = tmp_path / "labels.csv"
        test.write_text("user_1,1.2.3.4,0\nuser_2,1.2.3.4,yes\n", encoding="utf-8")
        _, error = run("evaluate", "--model-dir", files.model, "--train", files.train, "--test", test, code=2)
        assert error == f"ClientError: {test}: the label of row 2 must be 0, or 1 for an attack. Got 'yes'.\n"

    def test_too_few_events_are_refused(self, files: Files, tmp_path: Path) -> None:
        """The error says how many events are needed."""
        test = tmp_path / "few.csv"
        test.write_text("user_1,1.2.3.4\n" * 99, encoding="utf-8")
        _, error = run("evaluate", "--model-dir", files.model, "--train", files.train, "--test", test, code=2)
        assert error == (
            "ClientError: The test has 99 events of entities that training saw: at least 100 are needed.\n"
        )

    def test_where_no_report_can_be_no_time_is_lost(self, files: Files, tmp_path: Path) -> None:
        """The folder is made before the work is done."""
        (tmp_path / "file").touch()
        shown, error = run("evaluate", "--model-dir", files.model, "--train", files.train, "--test", files.test,
                           "--report", tmp_path / "file" / "report", code=2)  # fmt: skip
        assert (shown, error) == ("", f"ClientError: {tmp_path}/file/report cannot be made: Not a directory.\n")

    def test_labelled_attacks_and_times_are_read(self, files: Files, tmp_path: Path) -> None:
        """Attacks of the test file are a table of their own; a time in the third column is no label."""
        rows = files.test.read_text(encoding="utf-8").splitlines()[:300]
        labelled, timed = tmp_path / "labelled.csv", tmp_path / "timed.csv"
        attack = "user_{},99.1.{}.7,1\n"
        labelled.write_text(
            "".join(f"{row},0\n" for row in rows) + "".join(attack.format(n, n) for n in range(50)), encoding="utf-8"
        )
        timed.write_text("".join(f"{row},2018-11-12T00:00:00Z\n" for row in rows), encoding="utf-8")
        arguments = "evaluate", "--model-dir", files.model, "--train", files.train, "--test"
        found = run(*arguments, labelled)[0].splitlines()
        assert re.fullmatch(
            r"The model catches \d+ % of your labelled attacks and the best count \d+ %: .*\.", found[0]
        )
        assert found[2] == "Your labelled attacks"
        assert found[-1].startswith("At 1 false alarm in 100 the model catches ")
        shown, _ = run(*arguments, timed)
        assert "tested on 300 ordinary events." in shown
        assert "labelled attacks" not in shown

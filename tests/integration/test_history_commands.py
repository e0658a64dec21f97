"""A model that keeps its history, through the real command line: from training to stripping."""

from __future__ import annotations

import csv
import html
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ipinsights.data.entity_hash import hash_entities
from ipinsights.model import artifact
from ipinsights.testing import PlantedNetworks, csv_text, run_command

GIVEN = ["-H", "num_entity_vectors=200", "-H", "vector_dim=8", "-H", "mini_batch_size=500", "-H", "epochs=1"]
IPV6 = "2a00:{:x}:{:x}::{:x}"


def run(*arguments: object, code: int = 0) -> str:
    """Run the command.

    Return standard output, or standard error if the command failed.
    """
    done = run_command(*arguments)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def trained(folder: Path, *options: object, data: Path) -> Path:
    """Train a small model, and return its folder."""
    run("train", "--train", data, "--model-dir", folder, "--quiet", *GIVEN, *options)
    return folder


def history_bytes(model: Path) -> dict[str, bytes]:
    """Return the bytes of a model's history."""
    history = artifact.load(model).history
    assert history is not None
    return {name: array.tobytes() for name, array in history.arrays.items()}


class Files:
    """Rows of 40 entities, each in its own /16, with one IPv6 row in ten, and several models.

    Parameters
    ----------
    folder
        Folder that the files are written to.
    """

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(3)
        self.planted = PlantedNetworks(rng.choice(np.arange(0x0B00, 0x6300, dtype=np.uint32), size=40, replace=False))
        for name, size in (("train", 4000), ("calibration", 2000), ("test", 2000)):
            text = self.planted.csv(size, rng=rng)
            (folder / f"{name}.csv").write_text(text, encoding="utf-8")
            entities = rng.integers(40, size=size // 10)
            lines = [f"user_{e},{IPV6.format(e + 16, host % 5, host)}\n" for host, e in enumerate(entities.tolist())]
            (folder / f"{name}6.csv").write_text(text + "".join(lines), encoding="utf-8")
        self.folder = folder
        self.train, self.calibration, self.test = (folder / f"{n}.csv" for n in ("train", "calibration", "test"))
        self.plain = trained(folder / "plain", data=self.train)
        self.model = trained(folder / "history", "--keep-history", data=self.train)
        self.both = trained(folder / "both", "--keep-history", "--ipv6", data=folder / "train6.csv")

    def copy(self, to: Path, model: Path | None = None) -> Path:
        """Return a copy of a model that a test may change."""
        return Path(shutil.copytree(model or self.model, to / "model"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Train once for all tests."""
    return Files(tmp_path_factory.mktemp("history"))


class TestTraining:
    """What a job keeps, and what it does not change."""

    def test_the_rest_of_the_model_is_the_same(self, files: Files) -> None:
        """Parameters, known entities and training facts do not depend on the history."""
        plain, kept = artifact.load(files.plain), artifact.load(files.model)
        assert plain.history is None
        assert {name: array.tobytes() for name, array in plain.params.items()} == {
            name: array.tobytes() for name, array in kept.params.items()
        }
        assert {**kept.meta, "format_version": 1, "history": None} == {**plain.meta, "history": None}
        assert kept.meta["format_version"] == 2

    def test_inspect_shows_the_history(self, files: Files) -> None:
        """Size, rows, entities and source, and that it is personal data."""
        text = run("inspect", files.model)
        assert "History (personal data: who was where)\n  entities   40 hashes\n" in text
        assert "of 4,000 events, IPv4\n" in text
        assert "source 1   training, 4,000 rows, fingerprint " in text
        found = json.loads(run("inspect", files.both, "--json"))["history"]
        assert (found["num_events"], found["num_entities"], found["has_ipv6"]) == (4400, 40, True)

    def test_a_bound(self, files: Files, tmp_path: Path) -> None:
        """A bound of 5 addresses leaves 5 of each entity."""
        model = trained(tmp_path, "--keep-history", "--history-rows-per-entity", 5, data=files.train)
        history = artifact.load(model).history
        assert history is not None
        assert np.bincount(history.ipv4.owners).tolist() == [5] * 40

    def test_warm_start_carries_the_history(self, files: Files, tmp_path: Path) -> None:
        """New rows are added to those of the initial model, and rows of the same data are not."""
        data = files.folder / "more.csv"
        data.write_text("user_1,9.9.9.9\nnewcomer,9.9.9.9\n", encoding="utf-8")
        options = ("--keep-history", "--initial-model", files.model)
        more = artifact.load(trained(tmp_path / "more", *options, data=data)).history
        assert more is not None
        assert (more.num_events, len(more.entities)) == (4002, 41)
        again = trained(tmp_path / "again", *options, data=files.train)
        assert history_bytes(again) == history_bytes(files.model)

    def test_a_lost_history_is_reported(self, files: Files, tmp_path: Path) -> None:
        """Without the option, the history of an initial model is dropped with a warning."""
        done = run_command("train", "--train", files.train, "--model-dir", tmp_path, *GIVEN, "--initial-model",
                           files.model)  # fmt: skip
        assert "The history of the initial model is not kept: set _keep_history to true to keep it." in done.stdout
        assert artifact.load(tmp_path).history is None

    def test_a_resumed_job_keeps_the_whole_history(self, files: Files, tmp_path: Path) -> None:
        """A job that resumes from a checkpoint has the history of all rows."""
        options = ("--keep-history", "--checkpoint-dir", tmp_path / "checkpoints")
        trained(tmp_path / "one", *options, data=files.train)
        model = trained(tmp_path / "two", *options, "-H", "epochs=2", data=files.train)
        assert history_bytes(model) == history_bytes(files.model)

    def test_ipv6_rows_alone(self, files: Files, tmp_path: Path) -> None:
        """A network without rows is not trained, and the history can be used all the same."""
        data = tmp_path / "only6.csv"
        data.write_text("a,2a00::1\nb,2a00:1::1\n", encoding="utf-8")
        model = trained(tmp_path / "model", "--keep-history", "--ipv6", data=data)
        assert len(run("score", data, "--model-dir", model, "--scorer", "history").splitlines()) == 3
        del files

    @pytest.mark.parametrize("option", [["--ipv6"], ["--history-rows-per-entity", "5"]])
    def test_options_about_a_history_need_one(self, files: Files, tmp_path: Path, option: list[str]) -> None:
        """Options about a history are refused without --keep-history."""
        text = run("train", "--train", files.train, "--model-dir", tmp_path, *GIVEN, *option, code=2)
        reason = "--history-rows-per-entity and --ipv6 are about the history: give --keep-history, too."
        assert reason in " ".join(text.split())

    def test_the_hidden_hyperparameter(self, files: Files, tmp_path: Path) -> None:
        """Containers ask with a hyperparameter. One about a history without a history is refused."""
        model = trained(tmp_path, "-H", "_keep_history=true", data=files.train)
        assert history_bytes(model) == history_bytes(files.model)
        text = run("train", "--train", files.train, "--model-dir", tmp_path, *GIVEN, "-H", "_ipv6=true", code=2)
        reason = "Hyperparameter '_ipv6' is about the history: set '_keep_history' to true, or leave it out."
        assert text.strip().endswith(reason)


class TestScoring:
    """The scorer, its thresholds and its explanations."""

    def test_the_column_has_the_scorers_name(self, files: Files) -> None:
        """A line per row, and entities that are unknown to the history are known to be."""
        rows = list(csv.DictReader(run("score", files.test, "--model-dir", files.model, "--scorer", "history",
                                       "--extended").splitlines()))  # fmt: skip
        assert list(rows[0]) == ["entity", "ip", "history", "entity_known", "probability"]
        assert len(rows) == 2000
        assert {row["entity_known"] for row in rows} == {"true"}

    def test_the_default_is_the_dot_product(self, files: Files) -> None:
        """Without the option a history changes no byte of the output."""
        assert run("score", files.test, "--model-dir", files.model) == run("score", files.test, "--model-dir",
                                                                           files.plain)  # fmt: skip

    def test_thresholds_know_their_scorer(self, files: Files, tmp_path: Path) -> None:
        """Each scorer has a file of its own, and refuses that of the other."""
        model = files.copy(tmp_path)
        calibrate = ("threshold", "--model-dir", model, "--calibration", files.calibration, "--fpr", 0.05)
        assert f"Stored in {model}/threshold-history.json." in run(*calibrate, "--scorer", "history")
        run(*calibrate)
        text = run("score", files.test, "--model-dir", model, "--threshold", model / "threshold-history.json", code=2)
        assert text == (
            "ClientError: The threshold was made for the scorer 'history', and the scores are those of 'dot_product'. "
            "Make a new one with `ipinsights threshold --scorer dot_product`.\n"
        )
        rows = list(csv.DictReader(run("score", files.test, "--model-dir", model, "--scorer", "history",
                                       "--extended").splitlines()))  # fmt: skip
        flagged = sum(row["verdict"] == "suspicious" for row in rows)
        assert 40 < flagged < 180

    def test_a_file_of_the_history_does_not_calibrate(self, files: Files, tmp_path: Path) -> None:
        """The events of the history are more normal than new ones."""
        text = run("threshold", "--model-dir", files.model, "--calibration", files.train, "--fpr", 0.05, "--scorer",
                   "history", "-o", tmp_path / "t.json", code=2)  # fmt: skip
        assert text == (
            "ClientError: The calibration events were merged into the history of this model, so their scores are too "
            "high. Calibrate with events that came later.\n"
        )

    def test_explanations_add_up(self, files: Files) -> None:
        """The three parts sum to the score, and attackers' shares to one."""
        entity, ip = files.train.read_text(encoding="utf-8").splitlines()[0].split(",")
        found = json.loads(run("explain", entity, ip, "--model-dir", files.model, "--scorer", "history", "--json"))
        total = found["log_entity"] - found["log_attack"] + found["network_share"]
        assert found["score"] == pytest.approx(total, abs=1e-4)
        assert sum(found["attackers"].values()) == pytest.approx(1)
        assert found["deepest_known"]["network"] == f"{ip}/32"
        text = run("explain", entity, ip, "--model-dir", files.model, "--scorer", "history")
        assert f"Longest network that the entity was on: {ip}/32." in text

    def test_explanations_of_unknown_entities(self, files: Files) -> None:
        """Nobody's score is the crowd's, without the network."""
        text = run("explain", "nobody", "11.1.1.1", "--model-dir", files.model, "--scorer", "history")
        assert "The history does not have this entity. Its score is how other entities use the address." in text
        assert "Note: unknown entity: the history has no event of this entity." in text

    @pytest.mark.parametrize("command", ["score", "explain", "threshold"])
    def test_a_model_without_a_history(self, files: Files, command: str) -> None:
        """One sentence says what is missing."""
        arguments: dict[str, list[str | Path | float]] = {
            "score": [files.test],
            "explain": ["user_1", "9.9.9.9"],
            "threshold": ["--calibration", files.calibration, "--fpr", 0.1],
        }
        text = run(command, *arguments[command], "--model-dir", files.plain, "--scorer", "history", code=2)
        assert text == (
            "ClientError: This model has no history. Train it with keep_history to use the scorer 'history'.\n"
        )

    def test_transform(self, files: Files, tmp_path: Path) -> None:
        """The batch transform has the scorer as an option, and as a parameter of what is accepted."""
        for name, options in (
            ("a", ["--scorer", "history"]),
            ("b", ["--accept", "application/jsonlines;scorer=history"]),
        ):
            run("transform", files.test, "--model-dir", files.model, "--output-dir", tmp_path / name, *options)
        first = (tmp_path / "a" / "test.csv.out").read_text(encoding="utf-8")
        assert first == (tmp_path / "b" / "test.csv.out").read_text(encoding="utf-8")
        assert list(json.loads(first.splitlines()[0])) == ["history"]


class TestIPv6:
    """A model that was trained with IPv6, and others."""

    def test_scores(self, files: Files, tmp_path: Path) -> None:
        """Rows of both families are scored in their order, in every notation."""
        data = tmp_path / "new.csv"
        data.write_text("user_0,[2a00:10:0::1]\nuser_1,::ffff:11.1.1.1\nuser_1,11.1.1.1\n", encoding="utf-8")
        lines = run("score", data, "--model-dir", files.both, "--scorer", "history").splitlines()
        assert lines[2].split(",")[2] == lines[3].split(",")[2]
        assert float(lines[1].split(",")[2]) > 10

    def test_refused_by_the_others(self, files: Files, tmp_path: Path) -> None:
        """Scorers without IPv6 refuse IPv6 rows, and invalid networks are refused.

        These scorers are the dot product and a history without IPv6.
        """
        data = tmp_path / "new.csv"
        data.write_text("user_0,fe80::1\n", encoding="utf-8")
        for model, options in ((files.both, []), (files.model, ["--scorer", "history"])):
            text = run("score", data, "--model-dir", model, *options, code=2)
            assert f"{data}:1: 'fe80::1' is no IPv4 address: it looks like IPv6; leave such rows out." in text
        text = run("score", data, "--model-dir", files.both, "--scorer", "history", code=2)
        assert f"{data}:1: 'fe80::1' is not an address that can be used: it is link-local, and other networks" in text

    def test_threshold_with_an_allow_list(self, files: Files, tmp_path: Path) -> None:
        """Networks of both families can be allowed."""
        model = files.copy(tmp_path, files.both)
        text = run("threshold", "--model-dir", model, "--calibration", files.folder / "calibration6.csv", "--fpr", 0.05,
                   "--scorer", "history", "--allow", "2a00::/16", "--allow", "10.0.0.0/8")  # fmt: skip
        assert "200 from allowed networks" in text

    def test_explanation(self, files: Files) -> None:
        """The networks of an IPv6 address are those of its upper half."""
        text = run("explain", "user_0", "2a00:10::5", "--model-dir", files.both, "--scorer", "history")
        assert "user_0 from 2a00:10::5: score " in text
        assert "  2a00:10::/32 " in text

    def test_extraction(self, tmp_path: Path) -> None:
        """IPv6 rows are set aside, unless they are asked for. Mapped IPv4 addresses are IPv4."""
        log = tmp_path / "rows.csv"
        log.write_text("a,10.0.0.1\nb,2A00::0001\nc,fe80::1\nd,::ffff:a00:1\n", encoding="utf-8")
        options = ("extract", log, "--format", "csv", "--no-header", "--no-timestamps", "--entity", "1", "--ip", "2")
        assert run(*options) == "a,10.0.0.1\nd,10.0.0.1\n"
        assert run(*options, "--ipv6") == "a,10.0.0.1\nb,2a00::1\nd,10.0.0.1\n"


class TestEvaluation:
    """What an evaluation prints of a model with a history."""

    def test_both_scorers(self, files: Files) -> None:
        """The network, the history and the history without the network are rows of each table."""
        text = run("evaluate", "--model-dir", files.model, "--train", files.train, "--test", files.test)
        for name in ("\nmodel  ", "\nhistory  ", "\nhistory without the network  "):
            assert name in text
        assert "At 1 false alarm in 100 the model catches" in text
        text = run("evaluate", "--model-dir", files.model, "--train", files.train, "--test", files.test, "--scorer",
                   "history")  # fmt: skip
        assert "At 1 false alarm in 100 the history catches" in text

    def test_both_families(self, files: Files, tmp_path: Path) -> None:
        """IPv6 rows have tables of their own, and attackers who change the family are among them."""
        text = run("evaluate", "--model-dir", files.both, "--train", files.folder / "train6.csv", "--test",
                   files.folder / "test6.csv", "--scorer", "history", "--report", tmp_path)  # fmt: skip
        assert "other entities' /48" in text
        assert "Attackers who change the address family, the history (TPR in %)" in text
        content = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
        assert {"headline", "detection", "IPv6"} <= set(content)
        page = (tmp_path / "report.html").read_text(encoding="utf-8")
        shown = [html.unescape(text) for text in re.findall("<pre>(.*?)</pre>", page, re.DOTALL)]
        assert len(shown) == 5
        ((entity, ip),) = re.findall(r"^(\S+) from (\S+): score", shown[0])
        assert run("explain", entity, ip, "--model-dir", files.both, "--scorer", "history") == f"{shown[0]}\n"
        card = (tmp_path / "model_card.md").read_text(encoding="utf-8")
        assert "**The model holds personal data.**" in card

    def test_labelled_attacks_of_both_families(self, files: Files, tmp_path: Path) -> None:
        """Each family's tables begin with its own, and its headline is about them."""
        test, rows = tmp_path / "test.csv", (files.folder / "test6.csv").read_text(encoding="utf-8").splitlines()
        attacks = [f"user_{number},{ip},1\n" for number in range(9) for ip in ("203.0.1.9", "2b00::9")]
        test.write_text("".join([*(f"{row},0\n" for row in rows), *attacks, "nobody,2b00::9,1\n"]), encoding="utf-8")
        text = run("evaluate", "--model-dir", files.both, "--train", files.folder / "train6.csv", "--test", test)
        assert text.count("\nYour labelled attacks\n") == 2
        assert text.count(" of your labelled attacks; the best baseline, ") == 2
        assert "\nSet aside: 1 attacks on entities whose IPv6 events training never saw.\n" in text
        assert re.search(r"\nboth families: attacks of the test file from IPv6 +9 ", text)


class TestUpdate:
    """Changes of a history without training."""

    def test_an_update_is_training_with_all_rows(self, files: Files, tmp_path: Path) -> None:
        """The history is that of a model trained on both files, to the byte."""
        model, both = files.copy(tmp_path), tmp_path / "both.csv"
        both.write_bytes(files.train.read_bytes() + files.test.read_bytes())
        assert run("update", files.test, "--model-dir", model).startswith("Merged 2,000 events.\nThe history has ")
        assert history_bytes(model) == history_bytes(trained(tmp_path / "all", "--keep-history", data=both))

    def test_the_same_file_twice(self, files: Files, tmp_path: Path) -> None:
        """A file is merged again only with force, and then its counts add up."""
        model = files.copy(tmp_path)
        before = history_bytes(model)
        text = run("update", files.train, "--model-dir", model, code=2)
        assert text == (
            f"ClientError: {files.train} was merged into this history before. Merge it again only with --force.\n"
        )
        assert history_bytes(model) == before
        run("update", files.train, "--model-dir", model, "--force")
        history = artifact.load(model).history
        assert history is not None
        assert history.num_events == 8000

    def test_times_are_recorded(self, files: Files, tmp_path: Path) -> None:
        """The record has the rows, the days and the fingerprint."""
        model, new = files.copy(tmp_path), tmp_path / "new.csv"
        new.write_text("a,9.9.9.9,2026-01-31T10:00:00Z\nb,9.9.9.9,2026-01-02T10:00:00Z\n", encoding="utf-8")
        run("update", new, "--model-dir", model)
        source = artifact.load(model).meta["history"]["sources"][1]
        assert (source["kind"], source["num_rows"], source["days"]) == ("update", 2, "2026-01-02 to 2026-01-31")
        new.write_text("a,9.9.9.9,1\n", encoding="utf-8")
        assert "must have the columns entity,ip or entity,ip,time" in run("update", new, "--model-dir", model, code=2)

    def test_normal_rows_only(self, files: Files, tmp_path: Path) -> None:
        """An attack from another entity's network is rejected, and a new entity is not."""
        model, new = files.copy(tmp_path), tmp_path / "new.csv"
        text = run("update", files.test, "--model-dir", model, "--normal-only", code=2)
        assert "has no threshold of the scorer 'history' to judge by." in text
        run("threshold", "--model-dir", model, "--calibration", files.calibration, "--fpr", 0.01, "--scorer", "history")
        attack = csv_text(["user_0"], files.planted.networks[1:2] << np.uint32(16))
        new.write_text(f"{attack}newcomer,9.9.9.9\n", encoding="utf-8")
        text = run("update", new, "--model-dir", model, "--normal-only")
        assert text.startswith("Merged 1 events, 1 rejected as suspicious.\n")
        assert run("update", files.test, "--model-dir", model, "--normal-only").startswith("Merged ")

    def test_forgetting(self, files: Files, tmp_path: Path) -> None:
        """A forgotten entity is in no byte of the history, and the output names what remains.

        The remaining history is that without the entity.
        """
        model, rest = files.copy(tmp_path), tmp_path / "rest.csv"
        lines = files.train.read_text(encoding="utf-8").splitlines(keepends=True)
        rest.write_text("".join(line for line in lines if not line.startswith("user_7,")), encoding="utf-8")
        text = run("update", "--model-dir", model, "--forget", "user_7")
        assert text.startswith("Forgotten: 'user_7' with ")
        assert (
            "The network's trained row of the entity and its bit in known_entities stay until the next training.\n"
            in text
        )
        assert history_bytes(model) == history_bytes(trained(tmp_path / "rest", "--keep-history", data=rest))
        hashed = hash_entities(["user_7"]).tobytes()
        assert hashed in (files.model / "model_algo-1").read_bytes()
        assert hashed not in (model / "model_algo-1").read_bytes()

    def test_refusals_leave_the_model_as_it_was(self, files: Files, tmp_path: Path) -> None:
        """An unknown entity, IPv6 rows, and a model without a history."""
        model, new = files.copy(tmp_path), tmp_path / "new.csv"
        new.write_text("a,2a00::1\n", encoding="utf-8")
        before = (model / "model_algo-1").read_bytes()
        text = run("update", "--model-dir", model, "--forget", "nobody", code=2)
        assert text == "ClientError: The history has no entity 'nobody', so nothing was changed.\n"
        assert "is no IPv4 address: it looks like IPv6" in run("update", new, "--model-dir", model, code=2)
        assert (model / "model_algo-1").read_bytes() == before
        text = run("update", files.test, "--model-dir", files.plain, code=2)
        assert text == "ClientError: This model has no history. Train it with keep_history to have one.\n"

    def test_a_full_disk_leaves_the_model_as_it_was(
        self, files: Files, tmp_path: Path, unmeasured: dict[str, str]
    ) -> None:
        """On a full disk the update fails with one sentence, and the model is unchanged.

        No file is left. A limit of the file size stands for the full disk.
        """
        model = files.copy(tmp_path)
        before = (model / "model_algo-1").read_bytes()
        # -B: the limit would also cut off the bytecode of modules, and every later import of them would fail.
        command = f"{sys.executable} -B -m ipinsights update {files.test} --model-dir {model}"
        limited = ["bash", "-c", f"trap '' XFSZ; ulimit -f {len(before) // 2048}; exec {command}"]
        done = subprocess.run(limited, capture_output=True, text=True, check=False, env=unmeasured)
        assert done.returncode == 2
        assert done.stderr == f"ClientError: The model cannot be written to {model}/model_algo-1: File too large.\n"
        assert (model / "model_algo-1").read_bytes() == before
        assert [path.name for path in model.iterdir()] == ["model_algo-1"]


class TestStrip:
    """A model without what it kept of people."""

    def test_strip_leaves_the_model_that_kept_nothing(self, files: Files, tmp_path: Path) -> None:
        """Stripping results in the file of training without a history, to the byte.

        No address and no hash is left.
        """
        model = files.copy(tmp_path)
        assert run("strip", "--model-dir", model).startswith("Removed: a history of ")
        assert (model / "model_algo-1").read_bytes() == (files.plain / "model_algo-1").read_bytes()
        assert run("strip", "--model-dir", model, code=2).startswith("ClientError: This model has no history.")

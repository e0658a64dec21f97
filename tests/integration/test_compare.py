"""Comparisons through the real command line and the real scripts, on logs of real training."""

from __future__ import annotations

import io
import itertools
import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.runs.reader import read_run
from ipinsights.runs.run import AUC, SPEED
from ipinsights.testing import Done, run_command

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
LOGS = ROOT / "tests" / "data" / "logs"
SETTINGS = ("num_entity_vectors=16", "vector_dim=8", "epochs=2", "mini_batch_size=20", "learning_rate=0.05",
            "batch_metrics_publish_interval=3")  # fmt: skip


def run_in(folder: Path, script: Path, *arguments: object) -> Done:
    """Run a script as Python does, in a folder, without the cost of another process."""
    stdout, stderr, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(stdout), redirect_stderr(stderr):
        patch.chdir(folder)
        patch.setattr(sys, "argv", [str(script), *map(str, arguments)])
        try:
            runpy.run_path(str(script), run_name="__main__")
        except SystemExit as stopped:
            code = int(stopped.code or 0)
    return Done(code, stdout.getvalue(), stderr.getvalue())


def compare(*arguments: object, folder: Path) -> Done:
    """Run ``ipinsights compare``."""
    return run_command("compare", *arguments, folder=folder)


def train(folder: Path, name: str, assignments: Sequence[str]) -> None:
    """Train on twelve entities with a home network each, and keep log and scores under a name."""
    data = folder / "train.csv"
    if not data.exists():
        rng = np.random.default_rng(7)
        rows = [f"user{number % 12},10.{number % 12}.0.{rng.integers(1, 255)}" for number in range(120)]
        data.write_text("\n".join(rows) + "\n", encoding="utf-8")
        others = [f"{row.split(',')[0]},203.0.113.{number}" for number, row in enumerate(rows)]
        labelled = [f"{row},0" for row in rows] + [f"{row},1" for row in others]
        (folder / "labels.csv").write_text("\n".join(labelled) + "\n", encoding="utf-8")
    options = [text for assignment in assignments for text in ("-H", assignment)]
    done = run_command("train", "--train", data, "--validation", data, "--model-dir", folder / name, *options)
    assert done.returncode == 0, done.stderr
    (folder / f"{name}.log").write_text(done.stdout, encoding="utf-8")
    scored = ("--keep-columns", "--output", folder / f"{name}.csv")
    done = run_command("score", folder / "labels.csv", "--model-dir", folder / name, *scored)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with logs and scores of a run and of a much slower one."""
    folder = tmp_path_factory.mktemp("trained")
    train(folder, "good", SETTINGS)
    train(folder, "slow", [*SETTINGS, "learning_rate=0.000001"])
    return folder


class TestCompareCommand:
    """``ipinsights compare`` on what ``ipinsights train`` logged."""

    def test_every_line_of_our_log_is_understood(self, trained: Path) -> None:
        """Lines, metrics and counters are all there."""
        log = read_run(trained / "good.log")
        assert log.unknown == ()
        assert log.errors == ()
        assert log.is_complete
        # 120 rows make 6 base batches of 20, each of which becomes 1 + R + S = 3 batches.
        assert log.last("Total Records Seen") == 2 * 3 * 120
        assert log.last("Total Batches Seen") == 2 * 3 * 6
        assert log.within_epochs().index.tolist() == [(epoch, batch) for epoch in (0, 1) for batch in range(0, 18, 3)]
        assert log.within_epochs()[SPEED].count() == 2 * 5
        assert log.last(AUC) is not None

    def test_a_run_is_not_worse_than_itself(self, trained: Path) -> None:
        """Exit code 0, verdict last."""
        done = compare("good.log", "good.log", folder=trained)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[-1] == "OK: good.log is not worse than good.log."

    def test_runs_without_a_comparable_metric_are_not_judged(self, trained: Path, tmp_path: Path) -> None:
        """Exit code 2: a gate does not open when nothing was compared."""
        log = (trained / "good.log").read_text(encoding="utf-8")
        (tmp_path / "a.log").write_text(re.sub(r".*discriminator_auc.*\n", "", log), encoding="utf-8")
        (tmp_path / "b.log").write_text(
            log.replace("'shuffled_negative_sampling_rate': '1'", "'shuffled_negative_sampling_rate': '2'")
        )
        done = compare("a.log", "b.log", folder=tmp_path)
        assert done.returncode == 2
        assert done.stdout.splitlines()[-1] == "NOT JUDGED: b.log and a.log have no comparable metric."
        assert done.stderr == (
            "ClientError: There is nothing to judge: the runs have no comparable metric. Give both runs validation "
            "data or the same sampling rates.\n"
        )

    def test_a_run_that_learned_less_is_a_regression(self, trained: Path, tmp_path: Path) -> None:
        """Exit code 1, and everything that was asked for is written."""
        done = compare("good.log", "slow.log", "--markdown", tmp_path / "x.md", "--json-file", tmp_path / "x.json",
                       "--plot", tmp_path / "x.png", folder=trained)  # fmt: skip
        assert (done.returncode, done.stderr) == (1, "")
        verdict = done.stdout.splitlines()[-1]
        assert verdict == "REGRESSION: slow.log is worse than good.log in accuracy, cross_entropy, auc."
        assert (tmp_path / "x.md").read_text(encoding="utf-8").startswith(f"# {verdict}\n")
        content = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
        assert content["configuration"] == {"learning_rate": {"baseline": "0.05", "candidate": "0.000001"}}
        assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")

    def test_tolerances_and_ignored_metrics_change_the_verdict(self, trained: Path) -> None:
        """What is tolerated is no regression."""
        done = compare("good.log", "slow.log", "--tolerance", "accuracy=90%", "--tolerance", "cross_entropy=9",
                       "--ignore", "auc", folder=trained)  # fmt: skip
        assert done.returncode == 0, done.stdout

    def test_sagemaker_s_log_compares_with_ours(self, trained: Path) -> None:
        """A log of SageMaker and one of ours are compared as two of ours are."""
        done = compare(LOGS / "sagemaker-python2.7.log", "good.log", folder=trained)
        assert "The runs did not train on the same data: 3,000 and 360 records an epoch." in done.stdout
        assert done.returncode == 1

    def test_standard_input_is_a_log_too(self, trained: Path) -> None:
        """A dash stands for it."""
        text = (trained / "good.log").read_text(encoding="utf-8")
        command = [sys.executable, "-m", "ipinsights", "compare", str(trained / "good.log"), "-"]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "standard input is not worse" in done.stdout

    def test_a_folder_is_listed(self, trained: Path) -> None:
        """A row per run."""
        done = compare(".", folder=trained)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[-1] == "2 runs read, 4 files not."
        assert re.search(r"^good\.log +\d{4}-\d\d-\d\d \d\d:\d\d  complete +2 ", done.stdout, re.MULTILINE)

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (("none.log", "good.log"), "ClientError: none.log cannot be read: No such file or directory.\n"),
            (("train.csv", "good.log"),
             "ClientError: train.csv holds no training metrics: none of its 120 lines is a #quality_metric line. Give "
             "the log of a training job, as CloudWatch, a notebook or `ipinsights train` shows it.\n"),
            (("good.log", "good.log", "--plot", "none/x.png"),
             "ClientError: none/x.png cannot be written: No such file or directory.\n"),
        ],
    )  # fmt: skip
    def test_a_user_s_error_has_exit_code_2(self, trained: Path, arguments: tuple[str, ...], sentence: str) -> None:
        """The exit code is 2, and standard error has one sentence."""
        done = compare(*arguments, folder=trained)
        assert (done.returncode, done.stderr) == (2, sentence)


class TestScripts:
    """The scripts for continuous integration and for scores."""

    def test_compare_runs_judges_all(self, trained: Path, tmp_path: Path) -> None:
        """An unreadable run sets exit code 2, and the other runs are judged all the same."""
        script = ROOT / "scripts" / "compare_runs.py"
        done = run_in(trained, script, "good.log", "good.log", "slow.log", "train.csv", "--markdown", tmp_path / "x.md",
                   "--junit", tmp_path / "x.xml")  # fmt: skip
        assert (done.returncode, done.stderr) == (2, "")
        verdict = "REGRESSION: 3 compared with good.log, 1 worse, 1 not read."
        assert done.stdout.splitlines()[-1] == verdict
        assert (tmp_path / "x.md").read_text(encoding="utf-8").startswith(f"# {verdict}\n")
        assert (tmp_path / "x.xml").read_text(encoding="utf-8").count("<failure ") == 3
        assert run_in(trained, script, "good.log", "slow.log").returncode == 1
        assert run_in(trained, script, "good.log", "good.log").returncode == 0
        assert run_in(trained, script, "none.log", "good.log").stderr == (
            "ClientError: none.log cannot be read: No such file or directory.\n"
        )

    def test_compare_scores_reads_our_csv(self, trained: Path, tmp_path: Path) -> None:
        """The model that learned finds more attacks."""
        script = ROOT / "scripts" / "compare_scores.py"
        done = run_in(trained, script, "good.csv", "slow.csv", "labels.csv", "--json-file", tmp_path / "x.json",
                      "--markdown", tmp_path / "x.md", "--plot", tmp_path / "x.png")  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        content = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
        assert content["num_pairs"] == 240
        assert content["detection"]["AUC"]["first"] > content["detection"]["AUC"]["second"]
        assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
        assert (tmp_path / "x.md").read_text(encoding="utf-8").startswith("# 240 pairs, rank correlation ")

    def test_compare_scores_reads_sagemaker_s_output(self, trained: Path, tmp_path: Path) -> None:
        """The same scores in another format agree."""
        rows = (trained / "good.csv").read_text(encoding="utf-8").splitlines()[1:]
        lines = [f'{{"dot_product":{row.split(",")[2]}}}\n' for row in rows]
        (tmp_path / "good.csv.out").write_text("".join(lines), encoding="utf-8")
        done = run_in(trained, ROOT / "scripts" / "compare_scores.py", tmp_path / "good.csv.out", "good.csv")
        assert done.returncode == 0, done.stderr
        assert "240 pairs, rank correlation 1.0000: " in done.stdout

    def test_a_user_s_error_has_exit_code_2(self, trained: Path) -> None:
        """The exit code is 2, and standard error has one sentence."""
        done = run_in(trained, ROOT / "scripts" / "compare_scores.py", "good.csv", "train.csv")
        assert done.returncode == 2
        assert done.stderr.startswith("ClientError: train.csv has no column 'dot_product'")


class TestGuide:
    """The how-to's commands."""

    COMMANDS = re.findall(
        r"^\$ (.+)$", (ROOT / "docs" / "how-to" / "is-the-new-model-worse.md").read_text(encoding="utf-8"), re.MULTILINE
    )

    @pytest.mark.parametrize("command", COMMANDS)
    def test_it_does_what_it_says(self, command: str, trained: Path, tmp_path: Path) -> None:
        """Every command runs on files of the names that the guide uses."""
        (tmp_path / "runs").mkdir()
        for name in ("last-week", "today"):
            shutil.copy(trained / "good.log", tmp_path / "runs" / f"{name}.log")
        shutil.copy(trained / "good.csv", tmp_path / "last-week.csv.out")
        shutil.copy(trained / "slow.csv", tmp_path / "today.csv")
        shutil.copy(trained / "labels.csv", tmp_path)
        program, *arguments = shlex.split(command)
        if program == "python":
            done = run_in(tmp_path, ROOT / arguments[0], *arguments[1:])
        else:
            done = run_command(*arguments, folder=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        for option, name in itertools.pairwise(arguments):
            assert (
                option not in {"--markdown", "--json-file", "--plot", "--junit"} or (tmp_path / name).stat().st_size > 0
            )

"""Terminal output of training: progress bar, summary and warnings, and the log elsewhere."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.model import artifact
from ipinsights.testing import PlantedNetworks, run_command

from .terminal import on_terminal

if TYPE_CHECKING:
    from pathlib import Path

ROWS = PlantedNetworks.draw(20, rng=np.random.default_rng(1)).csv(400, rng=np.random.default_rng(2))
TRAIN = ("train", "--train", "rows.csv", "--model-dir", "model")
# 2,100 steps.
SIZES = tuple(f"-H{value}" for value in ("num_entity_vectors=40", "vector_dim=8", "mini_batch_size=4", "epochs=7"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with rows to train on."""
    (tmp_path / "rows.csv").write_text(ROWS)
    (tmp_path / "later.csv").write_text(ROWS)
    return tmp_path


class TestTerminal:
    """A terminal shows a bar and a summary, and no log."""

    @pytest.mark.parametrize("width", [80, 120])
    def test_bar_and_summary_fit_the_width(self, folder: Path, width: int) -> None:
        """One full bar, the facts of the job and the next command appear, and no line is cut."""
        shown = on_terminal(*TRAIN, *SIZES, "--validation", "later.csv", folder=folder, width=width)
        assert shown.code == 0
        assert max(map(len, shown.lines)) <= width
        (bar,) = (line for line in shown.lines if line.startswith("epoch 7/7"))
        assert re.fullmatch(r"epoch 7/7 ━+ 100% \d\d:\d\d accuracy 0\.\d{3}, AUC 0\.\d{3}", bar)
        facts = shown.lines[shown.lines.index(bar) + 1 :]
        patterns = (
            r"Rows        400 of 20 entities",
            r"Epochs      7 with 2,100 optimizer steps",
            r"Accuracy    0\.\d{4} on the training data",
            r"AUC         0\.\d{4} on the validation data",
            r"Duration    [\d.]+ s, [\d,]+ records a second",
            r"Model       model/model_algo-1",
            r"",
            r"Next: ipinsights threshold --model-dir model --calibration FILE --fpr 0\.01",
            r"",
        )
        assert len(facts) == len(patterns)
        assert all(map(re.fullmatch, patterns, facts))

    def test_a_log_file_has_the_log(self, folder: Path) -> None:
        """The file holds the lines that standard output would hold, and the terminal none of them."""
        shown = on_terminal(*TRAIN, *SIZES, "--log-file", "train.log", folder=folder)
        log = (folder / "train.log").read_text()
        assert "#quality_metric" not in shown.text
        assert 'Saved checkpoint to "model/model_algo-1"' in log
        redirected = run_command(*TRAIN, *SIZES, folder=folder)
        assert _without_numbers(log) == _without_numbers(redirected.stdout)

    def test_no_color_and_no_progress(self, folder: Path) -> None:
        """NO_COLOR leaves the colours out, --no-progress the bar."""
        shown = on_terminal(*TRAIN, *SIZES, folder=folder, environment={"NO_COLOR": "1"})
        assert "epoch 7/7" in shown.text
        assert re.findall(r"\x1b\[[0-9;]*3[0-9;]*m", shown.raw) == []
        assert "epoch 7/7" not in on_terminal(*TRAIN, *SIZES, "--no-progress", folder=folder).text

    def test_quiet_shows_the_bar_alone(self, folder: Path) -> None:
        """--quiet leaves the bar and prints nothing else, with either stream on a terminal."""
        shown = on_terminal(*TRAIN, *SIZES, "--quiet", folder=folder)
        assert len([line for line in shown.lines if line]) == 1
        piped = on_terminal(*TRAIN, *SIZES, "--quiet", folder=folder, stdout=subprocess.DEVNULL)
        assert "epoch 7/7" in piped.text

    def test_warnings_of_the_log_are_shown_in_plain_words(self, folder: Path) -> None:
        """What ends a job early is said above the bar."""
        shown = on_terminal(*TRAIN, *SIZES, "--max-seconds", "0.001", folder=folder)
        assert "warning: 0.001 seconds are over: stopping." in shown.lines
        assert "wait_for_all_workers" not in shown.text

    def test_a_failure_leaves_the_terminal_as_it_was(self, folder: Path) -> None:
        """The bar is closed and the cursor is shown again before the error."""
        shown = on_terminal(*TRAIN, *SIZES, "--metrics-file", "gone/m.jsonl", "-H", "learning_rate=10", folder=folder)
        assert shown.code == 2
        assert "error: The metrics file gone/m.jsonl cannot be written: No such file or directory." in shown.lines
        assert shown.raw.count("\x1b[?25l") == shown.raw.count("\x1b[?25h")

    def test_a_container_keeps_its_log(self, folder: Path) -> None:
        """A container's tree is logged on a terminal too, which `docker run -t` gives."""
        data = folder / "ml" / "input" / "data" / "train"
        data.mkdir(parents=True)
        (data / "rows.csv").write_text(ROWS)
        config = folder / "ml" / "input" / "config"
        config.mkdir()
        (config / "hyperparameters.json").write_text('{"num_entity_vectors": "40", "vector_dim": "8", "epochs": "1"}')
        shown = on_terminal("train", "--base-dir", "ml", folder=folder)
        assert shown.code == 0
        assert "#quality_metric: host=algo-1" in shown.text
        assert "epoch 1/1" not in shown.text


class TestSizes:
    """Sizes come from the data if none is required to be given."""

    def test_sizes_are_chosen_printed_and_stored(self, folder: Path) -> None:
        """Without the required sizes all that are missing follow from the rows."""
        done = run_command(*TRAIN, "-H", "epochs=20", folder=folder)
        assert (done.returncode, done.stderr) == (
            0,
            "Sizes chosen from 400 rows: -H num_entity_vectors=80 -H vector_dim=128 -H mini_batch_size=32\n"
            "warning: An epoch has 39 optimizer steps of mini_batch_size 32, and the job 780 in all: a model needs "
            "some 3,000 to learn. Lower mini_batch_size or raise epochs, or set both to auto.\n",
        )
        stored = artifact.load(folder / "model").hyperparameters
        assert (stored.num_entity_vectors, stored.vector_dim, stored.mini_batch_size, stored.epochs) == (
            80, 128, 32, 20,
        )  # fmt: skip

    def test_auto_chooses_one_size(self, folder: Path) -> None:
        """What is not asked for keeps its documented default."""
        done = run_command(*TRAIN, *SIZES[:2], "-H", "mini_batch_size=auto", folder=folder)
        assert done.stderr.startswith("Sizes chosen from 400 rows: -H mini_batch_size=32\nwarning: An epoch has 39 ")
        assert artifact.load(folder / "model").hyperparameters.epochs == 10

    def test_a_map_stays_strict(self, folder: Path) -> None:
        """SageMaker's map must have both required sizes, as numbers."""
        done = run_command(*TRAIN, "--hyperparameters", '{"vector_dim": "auto"}', folder=folder)
        assert done.returncode == 2
        assert "Hyperparameter 'num_entity_vectors' is required and missing" in done.stderr
        assert "Hyperparameter 'vector_dim' must be an integer from 4 to 4096" in done.stderr

    def test_one_seed_gives_the_model_of_written_out_sizes(self, folder: Path) -> None:
        """The printed options give the same bytes."""
        done = run_command(*TRAIN, "-H", "epochs=3", folder=folder)
        options = re.findall(r"-H (\S+)", done.stderr.splitlines()[0])
        first = (folder / "model" / "model_algo-1").read_bytes()
        run_command(*TRAIN, "-H", "epochs=3", *(f"-H{option}" for option in options), folder=folder)
        assert (folder / "model" / "model_algo-1").read_bytes() == first


def _without_numbers(log: str) -> str:
    return re.sub(r"\d[\d.e+-]*", "#", log)

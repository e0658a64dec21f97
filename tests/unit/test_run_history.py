"""A folder of logs is a table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ipinsights.errors import ClientError
from ipinsights.reporting.report import json_text
from ipinsights.runs.comparison_report import history_report
from ipinsights.runs.run_history import log_files, read_history

from .training_logs import LOGS


class TestHistory:
    """A folder of logs is a table."""

    def test_a_row_per_run_in_the_order_of_their_start(self, tmp_path: Path) -> None:
        """Rows with state, metrics and differing hyperparameters are sorted by start."""
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
        """The state of a stopped run has its epochs and the number that was configured."""
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
        """If no log can be read, the reason of the first is the error."""
        with pytest.raises(ClientError, match="cannot be read: No such file"):
            read_history([tmp_path / "none.log"])

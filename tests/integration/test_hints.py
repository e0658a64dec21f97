"""On a terminal each command of the way from a log to alerts names the next one."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.testing import PlantedNetworks, run_command

from .terminal import on_terminal

if TYPE_CHECKING:
    from pathlib import Path

ROWS = PlantedNetworks.draw(20, rng=np.random.default_rng(1)).csv(200, rng=np.random.default_rng(2))
SSHD = "Oct  9 08:15:01 gate sshd[7]: {} password for ann from 192.0.2.7 port 50022 ssh2\n"
NOTE = (
    "Note: failed log-ins are among the rows, and a model that is trained on them takes attackers for normal. Leave "
    "them out with --where event=Accepted."
)


def test_extract_warns_of_failed_log_ins(tmp_path: Path) -> None:
    """Without a filter the note names one. A filter or a pipe hides the note."""
    (tmp_path / "auth.log").write_text(SSHD.format("Accepted") + SSHD.format("Failed"))
    command = ("extract", "--format", "sshd", "auth.log", "-o", "rows.csv")
    assert on_terminal(*command, folder=tmp_path).lines[-3:] == [
        NOTE, "Next: ipinsights split rows.csv --fraction 0.7 0.1 0.2 --keep-timestamps -o data", "",
    ]  # fmt: skip
    assert NOTE not in on_terminal(*command, "--where", "event=Accepted", folder=tmp_path).lines
    assert NOTE not in run_command(*command, folder=tmp_path).stderr


def test_extract_names_the_option_that_keeps_ipv6(tmp_path: Path) -> None:
    """The note comes with rows that were set aside."""
    (tmp_path / "rows.csv").write_text("entity,ip\nann,192.0.2.7\nann,2001:4860::1\n")
    shown = on_terminal("extract", "--format", "csv", "--no-timestamps", "rows.csv", folder=tmp_path)
    assert shown.lines[-2:] == [
        "Note: the network knows IPv4 only. --ipv6 keeps IPv6 rows, for train --keep-history --ipv6.", "",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), "ipinsights score data/test.csv --model-dir model --only-suspicious --keep-columns"),
        (
            ("-o", "my threshold.json"),
            "ipinsights score data/test.csv --model-dir model --threshold 'my threshold.json' --only-suspicious "
            "--keep-columns",
        ),
    ],
)
def test_train_and_threshold_name_the_files_of_split(tmp_path: Path, options: tuple[str, ...], expected: str) -> None:
    """The commands that follow can be run as they are printed."""
    (tmp_path / "data").mkdir()
    for part in ("train", "calibration", "test"):
        (tmp_path / "data" / f"{part}.csv").write_text(ROWS)
    sizes = [f"-H{value}" for value in ("num_entity_vectors=40", "vector_dim=8", "mini_batch_size=4", "epochs=2")]
    trained = on_terminal("train", "--train", "data/train.csv", "--model-dir", "model", *sizes, folder=tmp_path)
    following = trained.lines[-2]
    assert following == "Next: ipinsights threshold --model-dir model --calibration data/calibration.csv --fpr 0.01"
    found = on_terminal(*shlex.split(following)[2:], *options, folder=tmp_path, width=200)
    assert (found.code, found.lines[-2]) == (0, f"Next: {expected}")
    assert run_command(*shlex.split(expected)[1:], folder=tmp_path).returncode == 0
    evaluate = ("evaluate", "--model-dir", "model", "--train", "data/train.csv", "--test", "data/test.csv")
    assert on_terminal(*evaluate, folder=tmp_path).lines[-3:] == [
        "A model with a history counts, too. It holds personal data.",
        "Next: train with --keep-history, and evaluate with --scorer history", "",
    ]  # fmt: skip

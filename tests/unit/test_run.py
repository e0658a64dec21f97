"""A run of several hosts: rows of each, and of all together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipinsights.runs.reader import read_run
from ipinsights.runs.run import AUC, SPEED, THROUGHPUT

from .training_logs import LINES, LOGS, read_text, same

if TYPE_CHECKING:
    from pathlib import Path


class TestSeveralHosts:
    """A distributed job in one log."""

    def test_each_host_has_its_rows(self) -> None:
        """Lines without a host belong to the host of their thread."""
        run = read_run(LOGS / "two-hosts.log")
        assert run.unknown == ()
        assert run.hosts == ("algo-1", "algo-2")
        assert run.epochs[AUC]["algo-2"].tolist() == [0.9, 0.95]
        assert run.epochs["time_cost"]["algo-2"].tolist() == [1.5, 2.5]
        assert run.num_starts == 1

    def test_together_they_average_and_add(self) -> None:
        """Metrics are averaged, records and speeds added, and the slowest is waited for."""
        run = read_run(LOGS / "two-hosts.log")
        assert run.per_epoch()[AUC].tolist() == [(0.9375 + 0.9) / 2, (0.953125 + 0.95) / 2]
        assert run.per_epoch()[THROUGHPUT].tolist() == [3001.0, 2999.0]
        assert run.per_epoch()["Total Records Seen"].tolist() == [6000.0, 12000.0]
        assert run.per_epoch()["time_cost"].tolist() == [1.5, 2.5]
        assert run.within_epochs()[SPEED].dropna().tolist() == [22001.0, 42001.0, 22001.0, 42001.0]

    def test_one_after_another_they_are_one_run(self, tmp_path: Path) -> None:
        """The streams of two hosts, put into one file, are no two starts."""
        text = (LOGS / "two-hosts.log").read_text(encoding="utf-8").splitlines()
        run = read_text(tmp_path, "\n".join([*text[0::2], *text[1::2]]))
        assert same(run, read_run(LOGS / "two-hosts.log"))
        assert run.num_starts == 1

    def test_stream_names_tell_the_host(self, tmp_path: Path) -> None:
        """Lines without a host belong to the host in the name of their stream.

        This holds even if no line names this host.
        """
        lines = [line for line in LINES if "Epoch[" in line]
        run = read_text(tmp_path, "\n".join(f"algo-{host}-x | {line}" for line in lines for host in (1, 2)))
        assert run.hosts == ("algo-1", "algo-2")

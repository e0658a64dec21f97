"""Several hosts: network namespaces with own addresses, each with SageMaker's folder tree."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.model import artifact
from ipinsights.testing import PlantedNetworks, csv_text, make_container_tree

from .namespaces import HYPERPARAMETERS, Network, ip

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .namespaces import Host

pytestmark = pytest.mark.slow

ENDLESS = {**HYPERPARAMETERS, "epochs": "100000"}
PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "several-hosts.md").read_text(encoding="utf-8")


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    """Yield a network without hosts, or skip the test without network namespaces."""
    try:
        made = Network(tmp_path)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"network namespaces cannot be made here (root and Debian's iproute2 are needed): {error}")
    yield made
    made.remove()


def planted(num_rows: int, *, rng: np.random.Generator) -> tuple[list[str], str]:
    """Return training rows and a validation file of entities with networks of their own."""
    networks = PlantedNetworks.draw(60, rng=rng)
    return networks.csv(num_rows, rng=rng).splitlines(keepends=True), networks.csv(2000, rng=rng)


def auc(host: Host) -> float:
    """Return the validation AUC of the last epoch."""
    return float(re.findall(r"validation discriminator_auc <score>=(\S+)", host.text())[-1])


class TestTraining:
    """Hosts that train one model together."""

    def test_two_hosts_with_unequal_shards_learn_what_one_host_learns(
        self, network: Network, tmp_path: Path, rng: np.random.Generator
    ) -> None:
        """Two hosts have the AUC of one within .002, with each row once an epoch, and one model.

        No process listens at other addresses.
        """
        rows, validation = planted(6000, rng=rng)
        values = {**HYPERPARAMETERS, "epochs": "10", "vector_dim": "32"}
        network.start(["".join(rows[:4000]), "".join(rows[4000:])], validation=validation, hyperparameters=values)
        network.wait_for("Create Store: dist_sync")
        listening = [host.listening_addresses() for host in network.hosts]
        first, second = network.wait()
        assert (first.returncode, second.returncode) == (0, 0), first.text() + second.text()
        assert listening == [{"10.77.0.1"}, {"10.77.0.2"}]
        alone = make_container_tree(
            tmp_path / "alone", hyperparameters=values, channels={"train": "".join(rows), "validation": validation}
        )
        one = subprocess.run(
            [sys.executable, "-m", "ipinsights", "train", "--base-dir", alone],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        expected = float(re.findall(r"validation discriminator_auc <score>=(\S+)", one.stdout)[-1])
        assert expected > 0.95
        assert auc(first) == pytest.approx(expected, abs=0.002)
        assert "discriminator_auc" not in second.text()
        # Three records a row, in ten epochs: each host has those of its entities, in as many steps as the other.
        assert sum(host.metrics("Total Records Seen")[-1] for host in network.hosts) == 180_000
        assert [host.metrics("Total Batches Seen")[-1] for host in network.hosts] == [900, 900]
        assert "host=algo-1, epoch=9, train" in first.text()
        assert "host=algo-2, epoch=9, train" in second.text()
        assert not list((second.tree / "model").iterdir())
        model = artifact.load(first.tree / "model")
        known = [loaded.known_entities.bits.tolist() for loaded in (model, artifact.load(alone / "model"))]
        assert known[0] == known[1]

    @pytest.mark.parametrize(("kvstore", "num_servers"), [("dist_async", "1"), ("auto_gpu", "4")])
    def test_three_hosts_divide_a_replicated_channel(
        self, network: Network, kvstore: str, num_servers: str, rng: np.random.Generator
    ) -> None:
        """One pass over 1,000 rows, each on one of them; also if an asynchronous store is asked for."""
        rows, validation = planted(1000, rng=rng)
        values = {**HYPERPARAMETERS, "epochs": "2", "_kvstore": kvstore, "_num_kv_servers": num_servers}
        network.start(
            ["".join(rows)] * 3, validation=validation, hyperparameters=values, distribution="FullyReplicated"
        )
        hosts = network.wait()
        assert [host.returncode for host in hosts] == [0, 0, 0], "".join(host.text() for host in hosts)
        assert sum(host.metrics("Total Records Seen")[-1] for host in hosts) == 6000
        assert min(host.metrics("Total Records Seen")[-1] for host in hosts) > 1500
        assert sum(host.text().count("is a shell:server.") for host in hosts) == int(num_servers)
        assert auc(hosts[0]) > 0.5

    def test_the_wire_carries_the_encoder_and_no_rows(self, tmp_path: Path, rng: np.random.Generator) -> None:
        """By the counters of both interfaces.

        A step sends 1.05 times the buffer to the other host at most.
        """
        names = [f"user_{number}" for number in range(6000)]
        lines = csv_text(names, rng.integers(2**32, size=len(names), dtype=np.uint32)).splitlines(keepends=True)
        values = {"num_entity_vectors": "10000", "vector_dim": "128", "mini_batch_size": "1000"}
        sent = []
        for epochs in (2, 12):
            network = Network(tmp_path / str(epochs))
            try:
                given = {**values, "epochs": str(epochs)}
                network.start(["".join(lines[0::2]), "".join(lines[1::2])], hyperparameters=given)
                hosts = network.wait()
                assert [host.returncode for host in hosts] == [0, 0], "".join(host.text() for host in hosts)
                sent.append(sum(host.sent_bytes() for host in hosts))
            finally:
                network.remove()
        # Octet table, layer and bias of the encoder, and two votes; half of it goes to the other host's server, and
        # half of the sum comes from there. An epoch has three base batches of both hosts.
        buffer = 4 * (1024 * 32 + 128 * 128 + 128 + 2)
        num_steps = 10 * 3 * 3
        assert buffer < (sent[1] - sent[0]) / (2 * num_steps) < 1.05 * buffer

    def test_a_host_without_rows_takes_part(self, network: Network, rng: np.random.Generator) -> None:
        """One row of a replicated channel is on one of two hosts, and both end well."""
        rows, validation = planted(1, rng=rng)
        network.start(["".join(rows)] * 2, validation=validation, distribution="FullyReplicated")
        hosts = network.wait()
        assert [host.returncode for host in hosts] == [0, 0], "".join(host.text() for host in hosts)
        assert sorted(host.metrics("Total Records Seen")[-1] for host in hosts) == [0, 12]

    @pytest.mark.parametrize("stopped", [[0, 1], [1]])
    def test_sigterm_stops_all_hosts_and_saves(
        self, network: Network, stopped: list[int], rng: np.random.Generator
    ) -> None:
        """If all hosts or one host get SIGTERM, all hosts end well after the same base batch."""
        rows, _ = planted(1000, rng=rng)
        network.start(["".join(rows[:500]), "".join(rows[500:])], hyperparameters=ENDLESS)
        network.wait_for("epoch=1, train")
        for index in stopped:
            network.hosts[index].process.terminate()
        first, second = network.wait()
        assert (first.returncode, second.returncode) == (0, 0), first.text() + second.text()
        trained = artifact.load(first.tree / "model").meta["training"]
        assert trained["num_batches"] % 3 == 0
        assert network.is_empty()


class TestLoss:
    """A process that is killed ends all hosts, in time and with its name."""

    @pytest.mark.parametrize(
        ("role", "host"), [("worker", 0), ("worker", 1), ("server", 0), ("server", 1), ("scheduler", 0)]
    )
    def test_a_killed_process_is_named_on_every_host(
        self, network: Network, role: str, host: int, rng: np.random.Generator
    ) -> None:
        """Exit code 1, the same sentence in every failure file, and no process left."""
        start_endless(network, rng)
        self.kill_and_wait(network, host, role)
        sentence = (
            f"The {role} of host 'algo-{host + 1}' was killed by SIGKILL. "
            "Training cannot go on without it; start the job again."
        )
        for index, one in enumerate(network.hosts):
            origin = "" if index == host else f"Host 'algo-{host + 1}' failed: "
            assert one.failure == f"AlgorithmError: {origin}{sentence}", one.text()
            assert one.returncode == 1

    @pytest.mark.parametrize("host", [0, 1])
    def test_a_lost_host_is_named_on_the_other(self, network: Network, host: int, rng: np.random.Generator) -> None:
        """All processes of a lost host end with its supervisor, and the other host names it."""
        start_endless(network, rng)
        self.kill_and_wait(network, host, "supervisor")
        other = network.hosts[1 - host]
        reason = "its connection has ended" if host == 0 else "its connection to the first host has ended"
        assert other.failure == (
            f"AlgorithmError: Host 'algo-{host + 1}' was lost: {reason}. "
            "Training cannot go on without it; start the job again."
        )
        assert other.returncode == 1
        assert network.hosts[host].returncode == -signal.SIGKILL

    def test_a_cut_cable_is_noticed(self, network: Network, rng: np.random.Generator) -> None:
        """Nothing closes a connection whose host has vanished.

        Both sides end within 15 seconds all the same.
        """
        start_endless(network, rng)
        ip("-n", network.prefix, "link", "set", "port2", "down")
        first, second = network.wait(20)  # a busy machine takes its time to end them
        advice = "Training cannot go on without it; start the job again."
        assert first.failure == (
            f"AlgorithmError: Host 'algo-2' was lost: its connection to the first host has ended. {advice}"
        )
        assert f"\n{first.failure}\n" in PAGE
        assert second.failure == f"AlgorithmError: Host 'algo-1' was lost: its connection has ended. {advice}"
        assert (first.returncode, second.returncode) == (1, 1)

    def kill_and_wait(self, network: Network, host: int, role: str) -> None:
        """Kill a process in the middle of training.

        All hosts end within 2 seconds, and leave nothing running. It took 0.5 to 1.3 seconds on two cores with a load
        of 8 to 12, and a slower machine may take longer.
        """
        os.kill(network.hosts[host].pid_of(role), signal.SIGKILL)
        network.wait(5)
        assert network.is_empty()
        assert not list((network.hosts[0].tree / "model").iterdir())


class TestGoingOn:
    """Hosts that are killed and started again."""

    def test_hosts_that_are_killed_go_on_to_the_bit(
        self, network: Network, tmp_path: Path, rng: np.random.Generator
    ) -> None:
        """Twice, both of them, at random moments.

        Each has its part of the checkpoints, and the model is the same.
        """
        text = "".join(planted(301, rng=rng)[0])
        values = {**HYPERPARAMETERS, "epochs": "40"}
        network.start([text] * 2, hyperparameters=values, distribution="FullyReplicated", has_checkpoints=True)
        folders = [host.tree / "checkpoints" for host in network.hosts]
        for _ in range(2):
            self.kill_after_a_checkpoint(network, folders[0], rng)
            network.start_again()
        first, second = network.wait()
        assert (first.returncode, second.returncode) == (0, 0), first.text() + second.text()
        assert [host.text().count("Resuming from checkpoint") for host in network.hosts] == [1, 1]
        for number, folder in enumerate(folders, start=1):
            assert {path.suffix for path in folder.glob("checkpoint-*")} == {f".{number}-of-2"}
        (tmp_path / "train.csv").write_text(text)
        given = [f"-H{name}={value}" for name, value in values.items()]
        whole: list[str | Path] = [sys.executable, "-m", "ipinsights", "train", "--train", tmp_path / "train.csv"]
        whole += ["--model-dir", tmp_path / "whole", "--hosts", "2", *given]
        subprocess.run(whole, check=True, capture_output=True)
        found, expected = artifact.load(first.tree / "model"), artifact.load(tmp_path / "whole")
        assert {name: array.tobytes() for name, array in found.params.items()} == {
            name: array.tobytes() for name, array in expected.params.items()
        }

    def kill_after_a_checkpoint(self, network: Network, folder: Path, rng: np.random.Generator) -> None:
        """Kill both hosts soon after the first one has written another checkpoint."""
        before = newest_name(folder)
        while newest_name(folder) == before:
            assert network.hosts[0].process.poll() is None, network.hosts[0].text()
            time.sleep(0.01)
        time.sleep(rng.exponential(0.05))
        for index in rng.permutation(2):
            network.hosts[index].process.kill()
        assert [host.process.wait() for host in network.hosts] == [-signal.SIGKILL] * 2
        assert network.is_empty()


class TestFaults:
    """Jobs that cannot begin: one sentence on every host, exit code 2."""

    def test_a_name_that_does_not_resolve(self, network: Network, rng: np.random.Generator) -> None:
        """Every host looks all names up before it does anything else."""
        rows, _ = planted(10, rng=rng)
        network.start(["".join(rows)], names=["algo-1", "nowhere"])
        (host,) = network.wait()
        assert host.returncode == 2
        assert re.fullmatch(
            r"ClientError: Host name 'nowhere' of resourceconfig.json does not resolve: .*\. Every host of the job "
            r"must know every other by name: check the names, DNS or /etc/hosts\.",
            host.failure,
        )

    def test_an_empty_shard(self, network: Network, rng: np.random.Generator) -> None:
        """The host whose file is empty says so, and so do the others of it."""
        rows, _ = planted(200, rng=rng)
        network.start(["".join(rows), ""])
        first, second = network.wait()
        assert (first.returncode, second.returncode) == (2, 2)
        sentence = (
            f"The folder {second.tree / 'input' / 'data' / 'train'} holds no file with data: skipped are empty files "
            "(1: part-00000.csv). It must hold at least one such file."
        )
        assert second.failure == f"ClientError: {sentence}"
        assert first.failure == f"ClientError: Host 'algo-2' failed: {sentence}"

    def test_different_hyperparameters(self, network: Network, rng: np.random.Generator) -> None:
        """Hosts that were given different jobs would train none of them."""
        rows, _ = planted(200, rng=rng)
        network.start(["".join(rows)] * 2, hyperparameters=[HYPERPARAMETERS, {**HYPERPARAMETERS, "epochs": "5"}])
        hosts = network.wait()
        assert [host.returncode for host in hosts] == [2, 2]
        sentence = (
            "ClientError: Hosts 'algo-1' and 'algo-2' were given different jobs: epochs is '4' and '5'. "
            "Give all the same."
        )
        assert [host.failure for host in hosts] == [sentence, sentence]


def newest_name(folder: Path) -> str:
    """Return the name of the newest checkpoint, empty without a checkpoint."""
    return max((path.name for path in folder.glob("checkpoint-*")), default="")


def start_endless(network: Network, rng: np.random.Generator) -> None:
    """Start two hosts on a job that nobody lives to see the end of, and wait until they train."""
    rows, _ = planted(400, rng=rng)
    network.start(["".join(rows[:200]), "".join(rows[200:])], hyperparameters=ENDLESS)
    network.wait_for("epoch=1, train")

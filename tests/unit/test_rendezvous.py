"""The rendezvous over real sockets: registration, losses and outcomes."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING

import pytest

from ipinsights.distributed.cluster import Cluster
from ipinsights.distributed.rendezvous import Link, Rendezvous
from ipinsights.errors import AlgorithmError, ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator


def clusters_of(num_hosts: int) -> list[Cluster]:
    """Return ``num_hosts`` clusters of this machine, one for each host's rank, with a free port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1] - 1
    return [Cluster.loopback(num_hosts, rank, port) for rank in range(num_hosts)]


@contextlib.contextmanager
def gathered(num_hosts: int, *, absent: int = 0) -> Iterator[list[Link]]:
    """Yield the links of all hosts except ``absent`` ones, with a rendezvous for all."""
    clusters = clusters_of(num_hosts)
    with Rendezvous(clusters[0]), contextlib.ExitStack() as stack:
        yield [stack.enter_context(Link(cluster)) for cluster in clusters[: num_hosts - absent]]


def wait_until_present(rendezvous: Rendezvous, num_hosts: int) -> None:
    """Wait until a number of hosts is registered by threads of the rendezvous."""
    while len(rendezvous._streams) < num_hosts:
        time.sleep(0.01)


def ready(link: Link, num_base_batches: int = 1, **agreed: str) -> None:
    """Report that a host is ready."""
    link.send(ready={"agreed": agreed, "num_base_batches": num_base_batches})


def fault(link: Link) -> str:
    """Return the report of the error that a host receives."""
    with pytest.raises((ClientError, AlgorithmError)) as caught:
        link.receive()
    return caught.value.report


def fault_of_beats(link: Link, *, is_listening: bool = True) -> str:
    """Return the error report of a host that sends heartbeats and receives nothing."""
    try:
        for _ in range(1000):
            link.beat()
            if is_listening:
                link.receive()
            else:
                time.sleep(0.03)
    except AlgorithmError as error:
        return error.report
    return "none"


class TestReady:
    """Before training."""

    def test_everybody_hears_of_everybody_in_the_order_of_hosts(self) -> None:
        """Each host receives the facts of all hosts in their order, whichever is ready first."""
        with gathered(3) as links:
            for number in (2, 0, 1):
                ready(links[number], num_base_batches=number, epochs="5")
            expected = [{"agreed": {"epochs": "5"}, "num_base_batches": number} for number in range(3)]
            assert [link.receive() for link in links] == [[{"everybody": expected}]] * 3

    def test_different_jobs_are_told_of_by_name_and_value(self) -> None:
        """Every host has the same ClientError with all differences."""
        with gathered(2) as links:
            ready(links[0], epochs="5", seed="0")
            ready(links[1], epochs="6")
            sentence = (
                "ClientError: Hosts 'algo-1' and 'algo-2' were given different jobs: epochs is 5 and 6; "
                "seed is 0 and not given. Give all the same."
            )
            assert [fault(link) for link in links] == [sentence, sentence]

    def test_a_host_that_does_not_come_is_named(self) -> None:
        """A host that does not connect in time is named, also to hosts that come later."""
        clusters = clusters_of(2)
        with Rendezvous(clusters[0], join_seconds=0.01) as rendezvous:
            rendezvous._over.wait()
            with Link(clusters[1]) as late:
                assert fault(late) == (
                    "AlgorithmError: Host 'algo-1' was lost: it did not connect within 0.01 seconds. "
                    "Training cannot go on without it; start the job again."
                )

    def test_only_hosts_that_did_not_come_are_missed(self) -> None:
        """Reading a large shard may take hours: a registered host has all the time it needs."""
        clusters = clusters_of(3)
        with Rendezvous(clusters[0]) as rendezvous, Link(clusters[0]) as first, Link(clusters[1]) as second:
            wait_until_present(rendezvous, 2)
            rendezvous._check_presence(300)
            sentence = (
                "AlgorithmError: Host 'algo-3' was lost: it did not connect within 300 seconds. "
                "Training cannot go on without it; start the job again."
            )
            assert [fault(first), fault(second)] == [sentence, sentence]

    def test_nobody_is_missed_when_all_are_there(self) -> None:
        """The time that they had for coming is over, and nothing happens."""
        clusters = clusters_of(2)
        with Rendezvous(clusters[0]) as rendezvous, Link(clusters[0]) as first, Link(clusters[1]) as second:
            wait_until_present(rendezvous, 2)
            rendezvous._check_presence(300)
            first.send(done=None)
            second.send(done=None)
            assert [first.receive(), second.receive()] == [[{"over": True}]] * 2

    def test_a_port_that_is_taken(self) -> None:
        """The error of a second job on the same host names the address."""
        with gathered(1) as links:
            cluster = Cluster.loopback(1, 0, links[0]._socket.getpeername()[1] - 1)
            with pytest.raises(ClientError) as caught:
                Rendezvous(cluster)
            assert str(caught.value) == (
                f"Cannot listen on 127.0.0.1:{cluster.rendezvous_port}: Address already in use."
            )


class TestEnd:
    """What ends one host ends all, and the first verdict stands."""

    def test_all_are_done_when_the_last_one_is(self) -> None:
        """Nobody hears it before."""
        with gathered(2) as links:
            for link in links:
                ready(link)
            assert [len(link.receive()) for link in links] == [1, 1]
            links[1].send(done=None)
            links[0].send(done="model")
            assert [link.receive() for link in links] == [[{"over": True}]] * 2

    def test_a_host_that_is_stopped_before_training_ends_the_job(self) -> None:
        """The others would wait for it for ever."""
        with gathered(2) as links:
            links[1].send(stopped=True)
            assert links[0].receive() == [{"stopped": True}]

    @pytest.mark.parametrize(("exit_code", "prefix"), [(1, "AlgorithmError"), (2, "ClientError")])
    def test_a_failure_is_told_with_host_and_fault(self, exit_code: int, prefix: str) -> None:
        """Whose fault it is on one host it is on all."""
        with gathered(2) as links:
            links[1].send(failed={"message": "It broke.", "exit_code": exit_code})
            assert fault(links[0]) == f"{prefix}: Host 'algo-2' failed: It broke."

    def test_a_connection_that_ends_is_a_loss(self) -> None:
        """The host whose connection ends is named as lost."""
        with gathered(2) as links:
            links[1].__exit__()
            assert fault(links[0]) == (
                "AlgorithmError: Host 'algo-2' was lost: its connection to the first host has ended. "
                "Training cannot go on without it; start the job again."
            )

    def test_the_first_verdict_stands(self) -> None:
        """What follows from a failure is not told as another one."""
        with gathered(3) as links:
            links[2].send(failed={"message": "It broke.", "exit_code": 1})
            assert fault(links[0]) == fault(links[1]) == "AlgorithmError: Host 'algo-3' failed: It broke."
            links[1].__exit__()
            links[0]._socket.settimeout(0.3)
            with pytest.raises(TimeoutError):
                links[0]._socket.recv(1)

    def test_a_host_that_comes_late_hears_the_verdict(self) -> None:
        """A host that connects after the end receives the outcome."""
        with gathered(2, absent=1) as links:
            links[0].send(failed={"message": "It broke.", "exit_code": 1})
            assert fault(links[0]) == "AlgorithmError: Host 'algo-1' failed: It broke."
            with Link(Cluster.loopback(2, 1, links[0]._socket.getpeername()[1] - 1)) as late:
                assert fault(late) == "AlgorithmError: Host 'algo-1' failed: It broke."

    def test_the_first_host_itself_may_be_lost(self) -> None:
        """The others see it in their own connection."""
        with gathered(1) as links:
            links[0]._socket.shutdown(socket.SHUT_RDWR)
            assert fault(links[0]) == (
                "AlgorithmError: Host 'algo-1' was lost: its connection has ended. "
                "Training cannot go on without it; start the job again."
            )


class TestSilence:
    """Hosts that are paused: their connections stand, and nothing comes over them."""

    SENTENCE = (
        "AlgorithmError: Host '{}' was lost: it has been silent for 1.2 seconds. Training cannot go on without it; "
        "start the job again."
    )

    def test_a_silent_host_is_lost(self) -> None:
        """A silent host is named on all hosts, and a host that sends heartbeats is kept."""
        clusters = clusters_of(2)
        with (
            Rendezvous(clusters[0], silence_seconds=1.2),
            Link(clusters[0], silence_seconds=1.2) as first,
            Link(clusters[1], silence_seconds=1.2) as silent,
        ):
            assert fault_of_beats(first) == self.SENTENCE.format("algo-2")
            assert fault_of_beats(silent) == self.SENTENCE.format("algo-2")

    def test_the_first_host_may_be_silent(self) -> None:
        """The others notice it themselves."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            cluster = Cluster.loopback(2, 1, server.getsockname()[1] - 1)
            with Link(cluster, silence_seconds=1.2) as link:
                assert fault_of_beats(link, is_listening=False) == self.SENTENCE.format("algo-1")

    def test_hosts_that_send_beats_are_kept(self) -> None:
        """Hosts that send heartbeats are kept for many times the longest silence."""
        clusters = clusters_of(2)
        with (
            Rendezvous(clusters[0], silence_seconds=1.2),
            Link(clusters[0], silence_seconds=1.2) as first,
            Link(clusters[1], silence_seconds=1.2) as second,
        ):
            end = time.monotonic() + 3
            while time.monotonic() < end:
                for link in (first, second):
                    link.beat()
                    assert link.receive() == []
            for link in (first, second):
                link.send(done=None)
            assert next(filter(None, iter(first.receive, None))) == [{"over": True}]


class TestStrangers:
    """Connections that are not a host's."""

    @pytest.mark.parametrize(
        "line",
        [b"GET / HTTP/1.1\n", b"{}\n", b"[]\n", b'{"host": "algo-9"}\n', b'{"host": "algo-1"}\n', b"7\n", b"\xff\n"],
    )
    def test_a_stranger_is_sent_away_and_changes_nothing(self, line: bytes) -> None:
        """A stranger is disconnected, even under the name of a host that is registered."""
        cluster = clusters_of(1)[0]
        with Rendezvous(cluster) as rendezvous, Link(cluster) as link:
            wait_until_present(rendezvous, 1)
            with socket.create_connection(link._socket.getpeername()) as stranger:
                stranger.sendall(line)
                assert stranger.recv(1) == b""
            ready(link)
            assert "everybody" in link.receive()[0]

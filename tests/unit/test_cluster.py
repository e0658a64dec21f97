"""The hosts of a job: addresses, ports, and the processes of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ipinsights.distributed.cluster import Cluster
from ipinsights.errors import ClientError
from ipinsights.sagemaker.container import cluster_from_environment
from ipinsights.sagemaker.environment import Environment
from ipinsights.testing import make_container_tree

if TYPE_CHECKING:
    from pathlib import Path


def environment(folder: Path, *, hosts: tuple[str, ...], current_host: str, interface: str | None) -> Environment:
    """Give the environment of a host; the interface is replaced, since a tree always has one."""
    read = Environment.read(
        make_container_tree(folder / "ml", hyperparameters={}, channels={}, hosts=hosts, current_host=current_host)
    )
    return Environment(**{**vars(read), "network_interface": interface})


class TestFromEnvironment:
    """``resourceconfig.json``."""

    @pytest.mark.parametrize("interface", [None, "lo"])
    def test_addresses_are_those_of_names_and_of_the_interface(self, tmp_path: Path, interface: str | None) -> None:
        """The loopback is known by name everywhere, and its interface has the same address."""
        given = environment(tmp_path, hosts=("localhost", "127.0.0.2"), current_host="localhost", interface=interface)
        assert cluster_from_environment(given) == Cluster(("localhost", "127.0.0.2"), 0, "127.0.0.1", "127.0.0.1")

    def test_the_interface_goes_before_the_name(self, tmp_path: Path) -> None:
        """A name may resolve to anything on the host itself; the first host's address stays as it is."""
        given = environment(tmp_path, hosts=("127.0.0.3", "127.0.0.2"), current_host="127.0.0.2", interface="lo")
        assert cluster_from_environment(given) == Cluster(("127.0.0.3", "127.0.0.2"), 1, "127.0.0.3", "127.0.0.1")

    def test_a_host_that_is_none_of_them(self, tmp_path: Path) -> None:
        """A configuration that contradicts itself is told of before any waiting."""
        given = environment(tmp_path, hosts=("algo-1", "algo-2"), current_host="algo-3", interface=None)
        with pytest.raises(ClientError) as caught:
            cluster_from_environment(given)
        assert str(caught.value) == (
            "resourceconfig.json contradicts itself: current_host 'algo-3' is none of the hosts algo-1, algo-2."
        )

    def test_an_interface_that_is_not_there(self, tmp_path: Path) -> None:
        """Its name, and what the system says of it."""
        given = environment(tmp_path, hosts=("127.0.0.1",), current_host="127.0.0.1", interface="nosuch0")
        with pytest.raises(ClientError) as caught:
            cluster_from_environment(given)
        assert str(caught.value) == (
            "network_interface_name 'nosuch0' of resourceconfig.json has no IPv4 address on this host: No such device."
        )


class TestRoles:
    """The processes of a host."""

    @pytest.mark.parametrize(
        ("num_servers", "expected"),
        [
            (2, [["scheduler", "server", "worker"], ["server", "worker"]]),
            (1, [["scheduler", "server", "worker"], ["worker"]]),
            (3, [["scheduler", "server", "server", "worker"], ["server", "worker"]]),
        ],
    )
    def test_servers_go_round_the_hosts(self, num_servers: int, expected: list[list[str]]) -> None:
        """The first host has the scheduler too, and every host one worker."""
        roles = [Cluster.loopback(2, rank, 9000).roles(num_servers) for rank in range(2)]
        assert [[role["DMLC_ROLE"] for role in host] for host in roles] == expected

    def test_every_process_has_an_address_and_a_port_of_its_own(self) -> None:
        """9001 is the roll call's; nothing is left for the engine to choose."""
        cluster = Cluster.loopback(2, 0, 9000)
        roles = cluster.roles(2)
        assert [role["PORT"] for role in roles] == ["9000", "9002", "9003"]
        assert cluster.rendezvous_port == 9001
        assert roles[-1] == {
            "DMLC_ROLE": "worker",
            "DMLC_PS_ROOT_URI": "127.0.0.1",
            "DMLC_PS_ROOT_PORT": "9000",
            "DMLC_NUM_SERVER": "2",
            "DMLC_NUM_WORKER": "2",
            "DMLC_NODE_HOST": "127.0.0.1",
            "PORT": "9003",
        }
        assert {role["DMLC_NODE_HOST"] for role in Cluster.loopback(2, 1, 9000).roles(2)} == {"127.0.0.2"}

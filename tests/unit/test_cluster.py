"""The hosts of a job: addresses, ports, and the processes of each."""

from __future__ import annotations

import pytest

from ipinsights.distributed.cluster import Cluster


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
        """9001 is the rendezvous's port, and the engine chooses none by itself."""
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
            "MXNET_KVSTORE_BIGARRAY_BOUND": "4096",
        }
        assert {role["DMLC_NODE_HOST"] for role in Cluster.loopback(2, 1, 9000).roles(2)} == {"127.0.0.2"}

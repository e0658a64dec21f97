"""The hosts that a container's tree names."""

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
    """Return the environment of a host with the given interface instead of that of the tree."""
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
        """The address of this host is that of the interface, and the first host's is unchanged.

        On the host itself a name may resolve to any address.
        """
        given = environment(tmp_path, hosts=("127.0.0.3", "127.0.0.2"), current_host="127.0.0.2", interface="lo")
        assert cluster_from_environment(given) == Cluster(("127.0.0.3", "127.0.0.2"), 1, "127.0.0.3", "127.0.0.1")

    def test_a_host_that_is_none_of_them(self, tmp_path: Path) -> None:
        """A configuration that contradicts itself is reported before any waiting."""
        given = environment(tmp_path, hosts=("algo-1", "algo-2"), current_host="algo-3", interface=None)
        with pytest.raises(ClientError) as caught:
            cluster_from_environment(given)
        assert str(caught.value) == (
            "resourceconfig.json contradicts itself: current_host 'algo-3' is not among the hosts algo-1, algo-2."
        )

    def test_an_interface_that_is_not_there(self, tmp_path: Path) -> None:
        """The error names the interface and the system's reason."""
        given = environment(tmp_path, hosts=("127.0.0.1",), current_host="127.0.0.1", interface="nosuch0")
        with pytest.raises(ClientError) as caught:
            cluster_from_environment(given)
        assert str(caught.value) == (
            "network_interface_name 'nosuch0' of resourceconfig.json has no IPv4 address on this host: No such device."
        )

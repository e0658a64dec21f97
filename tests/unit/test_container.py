"""The hosts that a container's tree names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ipinsights.distributed.cluster import Cluster
from ipinsights.errors import ClientError
from ipinsights.sagemaker.container import cluster_from_environment, failure_reported
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
        with pytest.raises(ClientError) as caught:
            environment(tmp_path, hosts=("algo-1", "algo-2"), current_host="algo-3", interface=None)
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

    @pytest.mark.parametrize("name", ["x..y", "a" * 64, "\ud800"])
    def test_a_name_that_no_host_has(self, tmp_path: Path, name: str) -> None:
        """A text that cannot be a host name is refused without an attempt to resolve it."""
        given = environment(tmp_path, hosts=("localhost", name), current_host="localhost", interface=None)
        with pytest.raises(ClientError) as caught:
            cluster_from_environment(given)
        assert str(caught.value) == f"'{name}' of resourceconfig.json is not a valid host name."


class TestFailureReported:
    """The failure file."""

    def test_names_that_are_not_utf_8(self, tmp_path: Path) -> None:
        """Bytes of a file's name that are not UTF-8, and control characters, are written as escapes."""
        with pytest.raises(ClientError), failure_reported(tmp_path):
            raise ClientError("\udcff.csv:1: the entity is \x1b[31m.")
        assert (tmp_path / "output" / "failure").read_text() == "ClientError: \\udcff.csv:1: the entity is \\x1b[31m.\n"

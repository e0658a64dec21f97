"""The hosts of a job: their names, addresses and ports."""

from __future__ import annotations

import fcntl
import socket
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipinsights.errors import ClientError

if TYPE_CHECKING:
    from ipinsights.sagemaker.environment import Environment

__all__ = ["Cluster"]

# The scheduler's port in the logs of the original's siblings; what else is needed follows it.
_SCHEDULER_PORT = 9000
# A host's name may take a while to be known when all hosts start at once.
_RESOLVE_SECONDS = 20.0
_SIOCGIFADDR = 0x8915


@dataclass(frozen=True)
class Cluster:
    """The hosts of a job, seen from one of them.

    Attributes
    ----------
    hosts
        Names of all hosts. The first one runs the scheduler, keeps the roll, validates and saves.
    rank
        Which of them this one is, from 0.
    first_address, own_address
        IPv4 addresses of the first host and of this one; nothing listens on any other.
    port
        Of the scheduler. The roll call has the next one, then come this host's servers and its worker.
    """

    hosts: tuple[str, ...]
    rank: int
    first_address: str
    own_address: str
    port: int = _SCHEDULER_PORT

    @classmethod
    def from_environment(cls, environment: Environment) -> Cluster:
        """Give the cluster that ``resourceconfig.json`` describes.

        Raises
        ------
        ClientError
            A name does not resolve, this host is none of the job's, or its network interface has no address.
        """
        hosts = environment.hosts
        if environment.current_host not in hosts:
            raise ClientError(
                f"resourceconfig.json contradicts itself: current_host '{environment.current_host}' is none of "
                f"the hosts {', '.join(hosts)}."
            )
        rank = hosts.index(environment.current_host)
        addresses = [_resolve(host) for host in hosts]
        if environment.network_interface:
            addresses[rank] = _interface_address(environment.network_interface)
        return cls(hosts, rank, addresses[0], addresses[rank])

    @classmethod
    def loopback(cls, num_hosts: int, rank: int, port: int) -> Cluster:
        """Give a cluster on this machine alone: host algo-N has the address 127.0.0.N."""
        hosts = tuple(f"algo-{number}" for number in range(1, num_hosts + 1))
        return cls(hosts, rank, "127.0.0.1", f"127.0.0.{rank + 1}", port)

    @property
    def name(self) -> str:
        """Name of this host."""
        return self.hosts[self.rank]

    @property
    def size(self) -> int:
        """Number of hosts."""
        return len(self.hosts)

    @property
    def rendezvous_port(self) -> int:
        """Where the first host keeps the roll."""
        return self.port + 1

    def roles(self, num_servers: int) -> list[dict[str, str]]:
        """Give the processes of this host, each as MXNet's environment for it: scheduler, servers, the worker last.

        Parameters
        ----------
        num_servers
            Servers of the whole job; they go round the hosts.
        """
        servers = len(range(self.rank, num_servers, self.size))
        scheduler = [("scheduler", self.port)] if self.rank == 0 else []
        first = self.rendezvous_port + 1
        others = [("server", first + index) for index in range(servers)] + [("worker", first + servers)]
        return [self._role(role, port, num_servers) for role, port in scheduler + others]

    def _role(self, role: str, port: int, num_servers: int) -> dict[str, str]:
        return {
            "DMLC_ROLE": role,
            "DMLC_PS_ROOT_URI": self.first_address,
            "DMLC_PS_ROOT_PORT": str(self.port),
            "DMLC_NUM_SERVER": str(num_servers),
            "DMLC_NUM_WORKER": str(self.size),
            # Without these two MXNet would take any interface, and any port.
            "DMLC_NODE_HOST": self.own_address,
            "PORT": str(port),
        }


def _resolve(host: str) -> str:
    """Give the IPv4 address of a name, which may take a while to be known."""
    deadline = time.monotonic() + _RESOLVE_SECONDS
    while True:
        try:
            return socket.gethostbyname(host)
        except OSError as error:
            if time.monotonic() > deadline:
                raise ClientError(
                    f"Host name '{host}' of resourceconfig.json does not resolve: {error.strerror}. Every host of the "
                    "job must know every other by name: check the names, DNS or /etc/hosts."
                ) from None
            time.sleep(1)


def _interface_address(interface: str) -> str:
    """Give the IPv4 address of a network interface, asked of the kernel: Python knows no other way."""
    request = struct.pack("256s", interface.encode()[:15])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)
        except OSError as error:
            raise ClientError(
                f"network_interface_name '{interface}' of resourceconfig.json has no IPv4 address on this host: "
                f"{error.strerror}."
            ) from None
    return socket.inet_ntoa(answer[20:24])

"""The hosts of a job: their names, addresses and ports."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Cluster"]

# The scheduler's port in the logs of the original's siblings. Further ports follow it.
_SCHEDULER_PORT = 9000


@dataclass(frozen=True)
class Cluster:
    """The hosts of a job, seen from one of them."""

    # Names of all hosts. The first one runs the scheduler and the rendezvous, validates and saves.
    hosts: tuple[str, ...]
    # Which of them this one is, from 0.
    rank: int
    # IPv4 addresses of the first host and of this one. Nothing listens on any other address.
    first_address: str
    own_address: str
    # Port of the scheduler. The next ports are those of the rendezvous, this host's servers and its worker.
    port: int = _SCHEDULER_PORT

    @classmethod
    def loopback(cls, num_hosts: int, rank: int, port: int) -> Cluster:
        """Return a cluster on this machine, where host algo-N has the address 127.0.0.N."""
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
        """Port of the rendezvous on the first host."""
        return self.port + 1

    def roles(self, num_servers: int) -> list[dict[str, str]]:
        """Return MXNet's environment of each process of this host: scheduler, servers, worker.

        The ``num_servers`` of the whole job are assigned to the hosts in turn.
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
            # Numbers from which on an array is spread over all servers; MXNet's own bound is a million.
            "MXNET_KVSTORE_BIGARRAY_BOUND": "4096",
        }

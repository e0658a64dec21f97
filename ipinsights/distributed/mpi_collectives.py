"""Collectives through MPI, for jobs that ``mpirun`` or ``srun`` has started.

One process a host.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from ipinsights.distributed.rendezvous import check_alike
from ipinsights.errors import ClientError
from ipinsights.training.collectives import ProcessGroup, SingleHost

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


__all__ = ["MPIGroup", "MPIHost", "num_mpi_processes"]

# What Open MPI, MPICH (also under Slurm's pmi2) and Slurm's pmix tell each process.
_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
_SLURM_SIZE, _SLURM_PMIX = "SLURM_STEP_NUM_TASKS", "PMIX_RANK"


def num_mpi_processes(environment: Mapping[str, str] = os.environ) -> int:
    """Return the number of processes that MPI has started, 1 where it has not.

    >>> num_mpi_processes({"PMI_SIZE": "4"}), num_mpi_processes({"SLURM_STEP_NUM_TASKS": "4"})
    (4, 1)
    """
    names = (*_SIZES, _SLURM_SIZE) if _SLURM_PMIX in environment else _SIZES
    return max((int(environment[name]) for name in names if environment.get(name, "").isdigit()), default=1)


class MPIGroup(ProcessGroup):
    """The processes of an MPI job, as a group of hosts."""

    def __init__(self, communicator: Any) -> None:
        super().__init__(communicator.rank, communicator.size)
        self._communicator = communicator

    def allreduce(self, values: NDArray[np.float32]) -> None:
        """Replace numbers (n,) by their sums over all hosts."""
        from mpi4py import MPI

        self._communicator.Allreduce(MPI.IN_PLACE, values)

    def exchange(self, parts: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Send one array (n,) to each host, and return what each host sent to this one, by rank."""
        sizes = np.array([len(part) for part in parts], dtype=np.int64)
        incoming = np.empty_like(sizes)
        self._communicator.Alltoall(sizes, incoming)
        received = np.empty(int(incoming.sum()), dtype=parts[0].dtype)
        self._communicator.Alltoallv([np.concatenate(parts), sizes], [received, incoming])
        return np.split(received, np.cumsum(incoming)[:-1])


class MPIHost(SingleHost):
    """The context of a process in an MPI job."""

    is_distributed = True

    def __init__(self) -> None:
        try:
            from mpi4py import MPI
        except (ImportError, RuntimeError) as error:
            raise ClientError(
                f"MPI has started this job, and mpi4py cannot be imported: {error}. Install it for the cluster's MPI: "
                "pip install mpi4py."
            ) from None
        self._communicator = MPI.COMM_WORLD
        self.rank, self.size = self._communicator.rank, self._communicator.size
        if self.size != num_mpi_processes():
            raise ClientError(
                f"MPI has started {num_mpi_processes()} processes, and mpi4py sees {self.size}. Install an mpi4py that "
                "was built for the MPI that starts the job."
            )

    def join(self, terms: Mapping[str, str]) -> ProcessGroup:
        """Return the group, once the settings of all hosts are known to be alike."""
        group = MPIGroup(self._communicator)
        agreed = {f"algo-{number}": found for number, found in enumerate(group.gather(terms), start=1)}
        check_alike(agreed)
        return group

    def abort(self, exit_code: int) -> None:
        """End all processes of the job with an exit code."""
        self._communicator.Abort(exit_code)

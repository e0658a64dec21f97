"""A process of an MPI job in the tests.

It uses every collective, trains, and writes down what it found.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from mpi4py import MPI

sys.path.insert(0, str(Path(__file__).parents[2]))

from ipinsights.distributed.mpi_collectives import MPIGroup
from tests.system import sums

if __name__ == "__main__":
    group = MPIGroup(MPI.COMM_WORLD)
    found = {"collectives": sums.use_collectives(group), "training": sums.train(group)}
    (Path(sys.argv[1]) / f"{group.rank}.json").write_text(json.dumps(found), encoding="utf-8")

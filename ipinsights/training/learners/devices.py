"""Which devices a host trains on, and the learner that suits them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ipinsights.errors import ClientError
from ipinsights.model import mxnet_package
from ipinsights.training.learners.compilation import load_kernels

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ipinsights.config.hyperparameters import Hyperparameters
    from ipinsights.model._mxnet import mx
    from ipinsights.training.collectives import ProcessGroup
    from ipinsights.training.learners.learner import Learner

__all__ = ["build_learner", "choose_devices", "choose_engine", "choose_gpus", "store_type"]

_logger = logging.getLogger(__name__)


def choose_devices(hyperparameters: Hyperparameters, *, num_hosts: int = 1) -> tuple[list[mx.Context], str]:
    """Return the GPUs to train on, none to train on the CPU, and the type of MXNet's kvstore."""
    gpus = choose_gpus(hyperparameters.num_gpus)
    return gpus, store_type(hyperparameters.kvstore, num_hosts=num_hosts, num_gpus=len(gpus))


def choose_gpus(num_gpus: int | None) -> list[mx.Context]:
    """Return the GPUs to train on, none to train on the CPU.

    ``_num_gpus`` is the number of GPUs to use, 0 for the CPU. None (``auto``) uses all GPUs that MXNet detects. It is
    a ClientError to ask for more than that, or for any without MXNet.
    """
    try:
        from ipinsights.model._mxnet import mx
    except ClientError as error:
        if num_gpus:
            raise
        _logger.info("Training on one CPU without MXNet. %s", error)
        return []
    present = mx.context.num_gpus()
    wanted = present if num_gpus is None else num_gpus
    if wanted > present:
        raise ClientError(
            f"Hyperparameter '_num_gpus' asks for {wanted} GPUs, and MXNet {mx.__version__} sees {present}. Set it to "
            "'auto' to take what there is; GPUs need a CUDA build of MXNet (such as mxnet-cu112) and its driver."
        )
    return [mx.gpu(index) for index in range(wanted)]


def store_type(kvstore: str, *, num_hosts: int, num_gpus: int) -> str:
    """Return the type of MXNet's kvstore for a value of ``_kvstore``.

    ``auto_gpu`` gives ``local`` on a CPU and ``device`` on GPUs, as the original's log shows, and ``dist_sync`` or
    ``dist_device_sync`` on several hosts (our choice). ``auto_cpu`` sums gradients on the CPU whatever there is. On
    several hosts, a type that exchanges nothing between them is a ClientError.
    """
    on_gpus = kvstore == "auto_gpu" and num_gpus > 0
    if kvstore in ("auto_gpu", "auto_cpu"):
        if num_hosts > 1:
            return "dist_device_sync" if on_gpus else "dist_sync"
        return "device" if on_gpus else "local"
    if num_hosts > 1 and not kvstore.startswith("dist"):
        raise ClientError(
            f"Hyperparameter '_kvstore' is '{kvstore}', which exchanges nothing between hosts, and the job has "
            f"{num_hosts} of them. Set it to 'dist_sync' or 'dist_async', or leave it out."
        )
    return kvstore


def build_learner(
    hyperparameters: Hyperparameters,
    *,
    gpus: Sequence[mx.Context],
    store: str,
    seed: int = 0,
    engine: str = "auto",
    num_threads: int | None = None,
    group: ProcessGroup | None = None,
    first_row: int = 0,
    rows: NDArray[np.int32] | None = None,
) -> Learner:
    """Return a learner for the devices of one host.

    See :func:`choose_devices`, :func:`choose_engine` and :class:`~ipinsights.training.learners.cpu.CPULearner` for the
    parameters.
    """
    if choose_engine(gpus, engine) == "gluon":
        from ipinsights.training.learners.gluon import GluonLearner

        of_devices = "device" if "device" in store else "local"
        return GluonLearner(
            hyperparameters, seed=seed, devices=gpus, store=of_devices, group=group, first_row=first_row
        )
    from ipinsights.training.learners.cpu import CPULearner

    return CPULearner(hyperparameters, seed=seed, num_threads=num_threads, group=group, first_row=first_row, rows=rows)


def choose_engine(gpus: Sequence[mx.Context], engine: str) -> str:
    """Return the engine of this host: ``gluon`` (MXNet) or ``kernels`` (compiled).

    GPUs need ``gluon``. On a CPU ``auto`` is ``kernels``, and ``gluon`` where Numba cannot be imported, which is
    logged with the reason. It is a ClientError if neither can be used.
    """
    if gpus or engine == "gluon":
        return "gluon"
    try:
        load_kernels()
    except ClientError as error:
        if not mxnet_package.is_installed():
            raise
        _logger.info("Training with MXNet, which is slower on a CPU. %s", error)
        return "gluon"
    return "kernels"

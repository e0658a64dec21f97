"""Which devices a host trains on, and the learner that suits them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipinsights._mxnet import mx
from ipinsights.cpu_learner import CPULearner
from ipinsights.errors import ClientError
from ipinsights.learner import Learner
from ipinsights.parallel import ParallelLearner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipinsights.hyperparameters import Hyperparameters

__all__ = ["build_learner", "choose_devices", "count_gpus", "store_type"]


def choose_devices(num_gpus: int | None) -> list[mx.Context]:
    """Give the GPUs to train on, or the CPU where there are none.

    Parameters
    ----------
    num_gpus
        ``_num_gpus``: the first so many GPUs, none with 0; None (``auto``) takes all that the engine sees.

    Raises
    ------
    ClientError
        More GPUs are asked for than the engine sees.
    """
    present = mx.context.num_gpus()
    wanted = present if num_gpus is None else num_gpus
    if wanted > present:
        raise ClientError(
            f"Hyperparameter '_num_gpus' asks for {wanted} GPUs, and MXNet {mx.__version__} sees {present}. Set it to "
            "'auto' to take what there is; GPUs need a CUDA build of MXNet (such as mxnet-cu112) and its driver."
        )
    return [mx.gpu(index) for index in range(wanted)] or [mx.cpu()]


def count_gpus(devices: Sequence[mx.Context]) -> int:
    """Give the number of GPUs among devices."""
    return sum(device.device_type == "gpu" for device in devices)


def store_type(kvstore: str, *, num_hosts: int, num_gpus: int) -> str:
    """Give the type of MXNet's kvstore that ``_kvstore`` stands for.

    ``auto_gpu`` gives ``local`` on a CPU and ``device`` on GPUs, as the original's log shows, and ``dist_sync`` or
    ``dist_device_sync`` on several hosts (our choice). ``auto_cpu`` sums gradients on the CPU whatever there is.

    Raises
    ------
    ClientError
        The type exchanges nothing between hosts, and there are several.
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
    hyperparameters: Hyperparameters, *, devices: Sequence[mx.Context], store: str, seed: int = 0
) -> Learner | ParallelLearner:
    """Give a learner for the devices of one host: the written-out one on a CPU, the engine's where there is one GPU.

    Parameters
    ----------
    hyperparameters
        Checked hyperparameters.
    devices
        MXNet contexts to train on.
    store
        Type of the kvstore, see :func:`store_type`.
    seed
        Of the initial parameters.
    """
    if len(devices) > 1:
        return ParallelLearner(hyperparameters, devices=devices, store=mx.kv.create(store), seed=seed)
    if devices[0].device_type == "cpu":
        return CPULearner(hyperparameters, seed=seed)
    return Learner(hyperparameters, seed=seed, ctx=devices[0])

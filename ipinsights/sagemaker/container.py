"""The container's job: training as SageMaker's folder tree describes, and the failure file."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import socket
import struct
import time
import traceback
from typing import TYPE_CHECKING, Any

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.distributed.cluster import Cluster
from ipinsights.distributed.launcher import require_mxnet, train
from ipinsights.distributed.supervisor import Supervisor
from ipinsights.errors import AlgorithmError, ClientError, IPInsightsError
from ipinsights.reporting.plain_text import printable
from ipinsights.sagemaker.environment import failure_file
from ipinsights.training.job import Job

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ipinsights.sagemaker.environment import Environment

__all__ = ["cluster_from_environment", "failure_reported", "train_in_container"]

# A host's name may take a while to be known when all hosts start at once.
_RESOLVE_SECONDS = 20.0
_SIOCGIFADDR = 0x8915

_logger = logging.getLogger(__name__)


def train_in_container(environment: Environment, *, quiet: bool, **settings: Any) -> Path | None:
    """Train the job of a container's tree, together with the other hosts if there are any.

    ``settings`` are further fields of the :class:`~ipinsights.training.job.Job`, such as ``seed`` and ``limits``.
    """
    job = _job(environment, **settings)
    if len(environment.hosts) > 1:
        require_mxnet()
        return Supervisor(job, cluster_from_environment(environment), quiet=quiet).run()
    return train(job, quiet=quiet)


def _job(environment: Environment, **settings: Any) -> Job:
    any_size = len(environment.hosts) > 1
    train = environment.required_channel("train")
    validation = environment.channel("validation")
    # SageMaker gives the channel a content type of its own, application/x-sagemaker-model.
    model = environment.channels.get("model")
    return Job(
        hyperparameters=Hyperparameters.parse(environment.hyperparameters, any_size=any_size),
        provided=environment.hyperparameters,
        source=str(environment.hyperparameters_file),
        train=train.path,
        validation=validation.path if validation else None,
        model_dir=environment.model_dir,
        host_name=environment.current_host,
        is_sharded=train.is_sharded,
        checkpoint_dir=environment.checkpoint_dir,
        initial_model=model.path if model else None,
        **settings,
    )


def cluster_from_environment(environment: Environment) -> Cluster:
    """Return the cluster that ``resourceconfig.json`` describes."""
    hosts = environment.hosts
    rank = hosts.index(environment.current_host)
    addresses = [_resolve(host) for host in hosts]
    if environment.network_interface:
        addresses[rank] = _interface_address(environment.network_interface)
    return Cluster(hosts, rank, addresses[0], addresses[rank])


@contextlib.contextmanager
def failure_reported(base: Path) -> Iterator[None]:
    """Write any error to the failure file of a base folder, main sentence first, and reraise it.

    The file of an earlier job is removed first: what stands there is about this job.
    """
    with contextlib.suppress(OSError):
        failure_file(base).unlink()
    try:
        yield
    except IPInsightsError as error:
        _write_failure(base, error.report)
        raise
    except Exception as error:
        _write_failure(base, f"{AlgorithmError.prefix}: {error!r}\n\n{traceback.format_exc()}")
        raise


def _resolve(host: str) -> str:
    """Return the IPv4 address of a host name, and retry until the name resolves."""
    deadline = time.monotonic() + _RESOLVE_SECONDS
    while True:
        try:
            return socket.gethostbyname(host)
        except UnicodeError:
            raise ClientError(f"'{host}' of resourceconfig.json is not a valid host name.") from None
        except OSError as error:
            if time.monotonic() > deadline:
                raise ClientError(
                    f"Host name '{host}' of resourceconfig.json does not resolve: {error.strerror}. Every host of the "
                    "job must know every other by name: check the names, DNS or /etc/hosts."
                ) from None
            time.sleep(1)


def _interface_address(interface: str) -> str:
    """Return the IPv4 address of a network interface from the kernel.

    Python's library has no other function for this.
    """
    request = struct.pack("256s", interface.encode(errors="backslashreplace")[:15])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)
        except OSError as error:
            raise ClientError(
                f"network_interface_name '{interface}' of resourceconfig.json has no IPv4 address on this host: "
                f"{error.strerror}."
            ) from None
    return socket.inet_ntoa(answer[20:24])


def _write_failure(base: Path, text: str) -> None:
    path = failure_file(base)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Names of files and hosts are not always UTF-8.
        path.write_text(printable(text) + "\n", encoding="utf-8")
    except OSError as error:
        _logger.warning("The failure file %s cannot be written: %s.", path, error.strerror)

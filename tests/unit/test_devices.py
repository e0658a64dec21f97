"""Which devices and which store a job gets."""

from __future__ import annotations

from typing import Any

import pytest

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.errors import ClientError
from ipinsights.training.learners.cpu import CPULearner
from ipinsights.training.learners.devices import build_learner, choose_engine, choose_gpus, store_type


class TestChooseGpus:
    """``_num_gpus``."""

    def test_auto_takes_what_there_is(self, mx: Any) -> None:
        """``auto`` takes all GPUs that MXNet sees."""
        assert choose_gpus(None) == [mx.gpu(index) for index in range(mx.context.num_gpus())]

    def test_none_means_the_cpu(self) -> None:
        """0 is a number of GPUs like any other."""
        assert choose_gpus(0) == []

    def test_more_than_there_are_is_refused(self, mx: Any) -> None:
        """The error has the numbers of GPUs asked for and found, and two cures."""
        present = mx.context.num_gpus()
        with pytest.raises(ClientError) as caught:
            choose_gpus(present + 1)
        assert str(caught.value) == (
            f"Hyperparameter '_num_gpus' asks for {present + 1} GPUs, and MXNet 1.9.1 sees {present}. Set it to 'auto' "
            "to take what there is; GPUs need a CUDA build of MXNet (such as mxnet-cu112) and its driver."
        )


class TestStoreType:
    """``_kvstore``."""

    @pytest.mark.parametrize(
        ("kvstore", "num_hosts", "num_gpus", "expected"),
        [
            ("auto_gpu", 1, 0, "local"),
            ("auto_gpu", 1, 1, "device"),
            ("auto_gpu", 1, 4, "device"),
            ("auto_gpu", 2, 0, "dist_sync"),
            ("auto_gpu", 2, 4, "dist_device_sync"),
            ("auto_cpu", 1, 4, "local"),
            ("auto_cpu", 3, 4, "dist_sync"),
            ("local", 1, 4, "local"),
            ("device", 1, 0, "device"),
            ("dist_async", 1, 0, "dist_async"),
            ("dist_async", 3, 2, "dist_async"),
        ],
    )
    def test_auto_depends_on_hosts_and_gpus(self, kvstore: str, num_hosts: int, num_gpus: int, expected: str) -> None:
        """``auto`` depends on hosts and GPUs as in the original's log, and named types are kept."""
        assert store_type(kvstore, num_hosts=num_hosts, num_gpus=num_gpus) == expected

    def test_hosts_that_exchange_nothing_are_refused(self) -> None:
        """Each would train a model of its own."""
        with pytest.raises(ClientError) as caught:
            store_type("local", num_hosts=2, num_gpus=0)
        assert str(caught.value) == (
            "Hyperparameter '_kvstore' is 'local', which exchanges nothing between hosts, and the job has 2 of them. "
            "Set it to 'dist_sync' or 'dist_async', or leave it out."
        )


class TestBuildLearner:
    """The learner that suits the devices."""

    def test_without_a_gpu_it_has_compiled_kernels(self) -> None:
        """A host without a GPU has compiled kernels for every type of KVStore."""
        given = Hyperparameters(num_entity_vectors=4, vector_dim=4)
        assert isinstance(build_learner(given, gpus=[], store="device"), CPULearner)

    def test_gpus_have_mxnet_s_learner(self, mx: Any) -> None:
        """One GPU and several have the learner of MXNet. CPU devices stand in for GPUs."""
        from ipinsights.training.learners.gluon import GluonLearner

        given = Hyperparameters(num_entity_vectors=4, vector_dim=4)
        for devices in ([mx.cpu()], [mx.cpu(0), mx.cpu(1)]):
            learner = build_learner(given, gpus=devices, store="dist_device_sync")
            assert isinstance(learner, GluonLearner)
            assert learner._devices == devices

    def test_a_host_s_engine_has_a_name(self, mx: Any) -> None:
        """Hosts must have the same, because they sum the same buffer."""
        assert choose_engine([], "auto") == "kernels"
        assert choose_engine([], "gluon") == choose_engine([mx.cpu()], "auto") == "gluon"

    def test_gluon_can_be_chosen_on_a_cpu(self, mx: Any) -> None:  # noqa: ARG002
        """The engine ``gluon`` has MXNet's learner on a CPU."""
        from ipinsights.training.learners.gluon import GluonLearner

        given = Hyperparameters(num_entity_vectors=4, vector_dim=4)
        assert isinstance(build_learner(given, gpus=[], store="local", engine="gluon"), GluonLearner)

"""Memory: what a model takes, what there is, and a refusal with both numbers."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.errors import ClientError
from ipinsights.runs.parse_line import Kind, parse_line
from ipinsights.training.memory_check import available_bytes, check_memory, training_bytes

if TYPE_CHECKING:
    from pathlib import Path

LARGE = Hyperparameters(num_entity_vectors=1_000_000, vector_dim=128, num_ip_encoder_layers=1)


def machine(root: Path, *, free_gb: float, **files: str) -> Path:
    """Write kernel files.

    In names, two underscores stand for a slash and one for a dot.
    """
    told = {"proc/meminfo": f"MemTotal:  99 kB\nMemAvailable:   {int(free_gb * 1e9) // 1024} kB\n"}
    told.update({f"sys/fs/cgroup/{name}": text for name, text in files.items()})
    for name, text in told.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="ascii")
    return root


def test_a_model_takes_twelve_bytes_a_number_and_a_row_sixteen() -> None:
    """A model takes 12 bytes a number and a row 16 bytes, computed by hand.

    The model has a million vectors of 128, octets 1024 x 32, a layer 128 x 129, 9 bytes an entity, and a batch.
    """
    numbers, tables, records = 1_000_000 * 128 + 1024 * 32 + 128 * 129, 3 * 1024 * 128, 3 * 10_000
    assert training_bytes(LARGE, num_rows=1000) == 12 * numbers + 9_000_000 + 4 * tables + 44 * records + 16_000


def test_entity_vectors_without_data_take_no_numbers() -> None:
    """Of half of the vectors a model has half of the numbers, and still 9 bytes for each vector."""
    saved = training_bytes(LARGE) - training_bytes(LARGE, num_used=500_000)
    assert saved == 12 * 500_000 * 128


def test_layers_behind_the_first_keep_a_batch_s_embeddings() -> None:
    """Each layer behind the first needs one more array of embeddings, and the first of them two."""
    one, two, three = (
        training_bytes(replace(LARGE, num_ip_encoder_layers=layers)) - 12 * layers * 128 * 129 for layers in (1, 2, 3)
    )
    assert (two - one, three - two) == (3 * 4 * 10_000 * 128, 4 * 10_000 * 128)


def test_the_narrowest_limit_counts(tmp_path: Path) -> None:
    """The least limit of machine and groups counts, less what is used. "max" is no limit."""
    assert available_bytes(tmp_path) is None
    assert available_bytes(machine(tmp_path, free_gb=4)) == pytest.approx(4e9, abs=1024)
    limits = {"memory.max": "max\n", "memory.current": "100\n"}
    assert available_bytes(machine(tmp_path, free_gb=4, **limits)) == pytest.approx(4e9, abs=1024)
    limits = {"memory.max": "3000000000\n", "memory.current": "500000000\n"}
    assert available_bytes(machine(tmp_path, free_gb=4, **limits)) == 2_500_000_000
    limits = {"memory/memory.limit_in_bytes": "2000000000\n", "memory/memory.usage_in_bytes": "1000\n"}
    assert available_bytes(machine(tmp_path, free_gb=4, **limits)) == 1_999_999_000


def test_the_group_of_the_process_and_those_around_it_count(tmp_path: Path) -> None:
    """The control group of the process and those around it limit memory, in both versions.

    Groups of other processes are not read.
    """
    machine(tmp_path, free_gb=9, **{"box/memory.max": "3000000000", "box/memory.current": "0"})
    machine(tmp_path, free_gb=9, **{"box/inner/memory.max": "max", "box/inner/memory.current": "0"})
    machine(tmp_path, free_gb=9, **{"other/memory.max": "1000", "other/memory.current": "0"})
    assert available_bytes(tmp_path) == pytest.approx(9e9, abs=1024)
    (tmp_path / "proc/self").mkdir()
    (tmp_path / "proc/self/cgroup").write_text("0::/box/inner\n")
    assert available_bytes(tmp_path) == 3_000_000_000
    files = {"memory/job/memory.limit_in_bytes": "2000", "memory/job/memory.usage_in_bytes": "1"}
    machine(tmp_path, free_gb=9, **files)
    (tmp_path / "proc/self/cgroup").write_text("9:pids:/job\n4:cpu,memory:/job\n0::/box/inner\n")
    assert available_bytes(tmp_path) == 1999


def test_files_in_the_page_cache_are_not_in_use(tmp_path: Path) -> None:
    """Files in the page cache count as available memory.

    A container that has just read its data has nearly all of its memory in use by the kernel's count.
    """
    files = {"memory.max": "3000000000", "memory.current": "2900000000"}
    stat = "anon 100000000\nactive_file 300000000\ninactive_file 2500000000\n"
    assert available_bytes(machine(tmp_path, free_gb=9, **files)) == 100_000_000
    assert available_bytes(machine(tmp_path, free_gb=9, **files, **{"memory.stat": stat})) == 2_600_000_000
    assert available_bytes(machine(tmp_path, free_gb=9, **{**files, "memory.current": "3000000001"})) == 2_499_999_999


def test_a_group_without_any_room_is_no_group_without_a_limit(tmp_path: Path) -> None:
    """No byte free is a number to refuse with."""
    files = {"memory.max": "1000", "memory.current": "1000"}
    assert available_bytes(machine(tmp_path, free_gb=9, **files)) == 0


def test_what_does_not_fit_is_refused_with_the_numbers(tmp_path: Path) -> None:
    """A model that is too large is refused before anything is allocated, with the cure."""
    with pytest.raises(ClientError) as refused:
        check_memory(LARGE, num_rows=0, root=machine(tmp_path, free_gb=1.2))
    assert str(refused.value) == (
        "The model does not fit into memory: 1000000 entity vectors of 128 dimensions take 1.5 GB to train (12 bytes a "
        "number: the weights and Adam's two moments), and 1.2 GB are free. Lower num_entity_vectors or vector_dim, or "
        "use a larger machine."
    )


def test_the_refusal_says_how_many_vectors_have_data(tmp_path: Path) -> None:
    """Where some have none."""
    with pytest.raises(ClientError) as refused:
        check_memory(LARGE, num_rows=0, num_used=800_000, root=machine(tmp_path, free_gb=1.2))
    assert str(refused.value).startswith(
        "The model does not fit into memory: 800000 of 1000000 entity vectors of 128 dimensions take 1.2 GB to train "
    )


def test_a_large_model_is_told_of_and_a_small_one_is_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The original's log stays as it is for models of the original's users."""
    caplog.set_level(logging.INFO, "ipinsights")
    small = Hyperparameters(num_entity_vectors=20_000, vector_dim=128)
    check_memory(small, num_rows=2_000_000, root=machine(tmp_path, free_gb=2))
    assert caplog.messages == []
    check_memory(LARGE, num_rows=10_000_000, root=tmp_path)
    assert caplog.messages == ["Training 1000000 entity vectors of 128 dimensions takes 1.7 GB of memory at its peak."]


def test_the_reader_of_logs_knows_the_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The reader of logs takes the numbers of a table whose entity vectors partly have no data."""
    caplog.set_level(logging.INFO, "ipinsights")
    check_memory(LARGE, num_rows=0, num_used=900_000, root=tmp_path)
    assert caplog.messages == [
        "Training 900000 of 1000000 entity vectors of 128 dimensions takes 1.4 GB of memory at its peak."
    ]
    line = f"[11/29/2026 10:00:00 INFO 139] {caplog.messages[0]}"
    assert parse_line(line).kind is Kind.NOTICE

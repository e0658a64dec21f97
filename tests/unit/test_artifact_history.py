"""The members of a model that keeps its history."""

from __future__ import annotations

import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ipinsights.errors import ClientError
from ipinsights.model import artifact
from ipinsights.model.history_member import HistoryRecord
from ipinsights.model.pair_history import PairHistory

from .small_model import members_of, refusal_of, rewritten, saved, with_meta

if TYPE_CHECKING:
    from pathlib import Path


def with_history(path: Path) -> PairHistory:
    """Add a history to a model, and return it."""
    entities = np.array([7, 7, 9], dtype=np.uint64)
    history = PairHistory.from_pairs(entities, np.array([1, 2, 3], dtype=np.uint32), (entities, entities))
    source = {"kind": "training", "num_rows": 6, "num_entities": 2, "fingerprint": "f"}
    artifact.replace_history(path, artifact.load(path), history, HistoryRecord([source], 100))
    return history


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Arrays are memory maps aligned to 64 bytes, and the record is unchanged."""
    _, path = saved(tmp_path)
    history = with_history(path)
    loaded = artifact.load(path)
    assert loaded.history is not None
    for name, array in loaded.history.arrays.items():
        assert array.tolist() == history.arrays[name].tolist()
        assert array.ctypes.data % 64 == 0
        assert not array.flags.writeable
    record = HistoryRecord.read(loaded.meta)
    assert (record.rows_per_entity, record.fingerprints) == (100, frozenset({"f"}))


def test_removing_it_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    """The version is that of a model without a history again, and every byte is the same."""
    _, path = saved(tmp_path)
    before = path.read_bytes()
    with_history(path)
    assert artifact.load(path).meta["format_version"] == 2
    artifact.replace_history(path, artifact.load(path), None)
    assert path.read_bytes() == before


def test_python_reads_the_members(tmp_path: Path) -> None:
    """The zip file is one for every other program."""
    _, path = saved(tmp_path)
    history = with_history(path)
    members = members_of(path)
    assert {name: members[f"history/{name}"] for name in history.arrays} == {
        name: array.tobytes() for name, array in history.arrays.items()
    }
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None


def test_an_archive_cannot_be_changed(tmp_path: Path) -> None:
    """The message says what can be."""
    _, path = saved(tmp_path)
    archive = tmp_path / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(path, "model_algo-1")
    with pytest.raises(ClientError) as caught:
        artifact.replace_history(archive, artifact.load(archive), None)
    assert str(caught.value) == (
        f"{archive} is an archive, and only a model_algo-1 can be changed. Unpack the archive first."
    )


@pytest.mark.parametrize("name", ["entities", "ipv4_starts", "ipv4_addresses", "ipv4_counts", "ipv6_addresses"])
def test_a_flipped_bit(tmp_path: Path, name: str) -> None:
    """The checksum of each member is checked."""
    _, path = saved(tmp_path)
    history = with_history(path)
    content = bytearray(path.read_bytes())
    found = artifact.load(path).history
    assert found is not None
    at = content.rindex(b"history/" + name.encode(), 0, content.index(b"PK\x01\x02"))
    begin = -(-(at + len(f"history/{name}") + 24) // 64) * 64
    assert bytes(content[begin : begin + history.arrays[name].nbytes]) == history.arrays[name].tobytes()
    content[begin] ^= 1
    path.write_bytes(bytes(content))
    assert refusal_of(path).endswith(f": the checksum of its history/{name} is wrong.")


@pytest.mark.parametrize(
    "history",
    [None, [], {"has_ipv6": True}, {"has_ipv6": 1, "sources": []}, {"has_ipv6": True, "sources": [{"kind": 5}]},
     {"has_ipv6": True, "sources": [], "rows_per_entity": 0}],
)  # fmt: skip
def test_a_description_that_is_damaged(tmp_path: Path, history: Any) -> None:
    """Whatever stands in place of the description, one sentence refuses the model."""
    _, path = saved(tmp_path)
    with_history(path)
    with_meta(path, history=history)
    assert refusal_of(path).endswith(": its meta.json does not fit the history of its format.")


def test_a_missing_member(tmp_path: Path) -> None:
    """The message names it."""
    _, path = saved(tmp_path)
    with_history(path)
    rewritten(path, **{"history/ipv4_counts": None})
    assert refusal_of(path).endswith(": it has no history/ipv4_counts.")

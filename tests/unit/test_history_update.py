"""Updates of a history: what is merged, what is refused, and what is forgotten."""

from __future__ import annotations

import datetime as dt
import fcntl
import os
from typing import TYPE_CHECKING, Any

import pytest

from ipinsights import IPInsights
from ipinsights.errors import ClientError
from ipinsights.inference.history_update import Updated, strip_history, update_history
from ipinsights.model import artifact
from ipinsights.model.history_member import HistoryRecord

if TYPE_CHECKING:
    from pathlib import Path

    from ipinsights.model.pair_history import PairHistory

TRAIN = [("alice", "11.0.0.1"), ("bob", "12.0.0.1"), ("bob", "12.0.0.1")]
SMALL: dict[str, Any] = {"vector_dim": 4, "epochs": 1, "num_entity_vectors": 20, "progress": False}
MORE = "alice,11.0.0.1\ncarol,13.0.0.1\n"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return the folder of a model of three rows."""
    return saved(tmp_path / "model")


def saved(folder: Path, rows: list[tuple[str, str]] = TRAIN, **settings: Any) -> Path:
    """Train a small model that keeps its history, and return its folder."""
    model = IPInsights(**SMALL, keep_history=True, **settings)
    model.fit(rows).save(folder)
    return folder


def csv_file(folder: Path, text: str) -> Path:
    """Write a file of new events."""
    path = folder / "new.csv"
    path.write_text(text)
    return path


def history_of(model: Path) -> PairHistory:
    """Return the history of a model on disk."""
    history = artifact.load(model).history
    assert history is not None
    return history


def content(model: Path) -> dict[str, bytes]:
    """Return the bytes of the history of a model on disk."""
    return {name: array.tobytes() for name, array in history_of(model).arrays.items()}


def test_merged_events_are_those_of_training_with_all(model: Path, tmp_path: Path) -> None:
    """Events from a folder of files are merged, and the network stays as it was."""
    before = artifact.load(model)
    (tmp_path / "folder").mkdir()
    updated = update_history(model, csv_file(tmp_path / "folder", MORE).parent)
    assert updated == Updated(2, 0, {}, num_rows=3, num_entities=3)
    after = artifact.load(model)
    assert after.params["entity_weight"].tobytes() == before.params["entity_weight"].tobytes()
    rows = [*TRAIN, ("alice", "11.0.0.1"), ("carol", "13.0.0.1")]
    assert content(model) == content(saved(tmp_path / "all", rows))


def test_the_record(model: Path, tmp_path: Path) -> None:
    """A source has the rows, the entities, the day of the update, and the days of the events."""
    update_history(model, csv_file(tmp_path, "a,9.9.9.9,2026-01-31 10:00\nb,9.9.9.9,2026-01-02T10:00:00Z\n"))
    record = HistoryRecord.read(artifact.load(model).meta)
    source = dict(record.sources[1])
    assert len(source.pop("fingerprint")) == 32
    today = dt.datetime.now(dt.timezone.utc).date().isoformat()
    assert source == {"kind": "update", "num_rows": 2, "num_entities": 2, "merged_on": today,
                      "days": "2026-01-02 to 2026-01-31"}  # fmt: skip


def test_the_same_events_twice(model: Path, tmp_path: Path) -> None:
    """Events of training and of an update are refused, until they are merged by force."""
    for text in (MORE, "".join(f"{entity},{ip}\n" for entity, ip in TRAIN)):
        file = csv_file(tmp_path, text)
        if text == MORE:
            update_history(model, file)
        before = content(model)
        with pytest.raises(ClientError) as caught:
            update_history(model, file)
        assert str(caught.value) == f"{file} was merged into this history before. Merge it again only with `force`."
        assert content(model) == before
    assert update_history(model, file, force=True).num_merged == 3
    assert history_of(model).num_events == 8


def test_both_families_are_recognised_in_any_mixture(tmp_path: Path) -> None:
    """The order within a family counts, and the order of the families does not."""
    model = saved(tmp_path / "model", [("a", "2a00::1"), ("b", "12.0.0.1")], ipv6=True)
    for text in ("a,2a00::1\nb,12.0.0.1\n", "b,12.0.0.1\na,2a00::1\n"):
        with pytest.raises(ClientError, match=r"was merged into this history before\."):
            update_history(model, csv_file(tmp_path, text))
    update_history(model, csv_file(tmp_path, "a,2a00::2\n"))
    ipv6 = history_of(model).ipv6
    assert ipv6 is not None
    assert len(ipv6) == 1
    assert ipv6.counts.tolist() == [2]


def test_a_bound_holds_after_an_update(tmp_path: Path) -> None:
    """The most frequent addresses of both stay."""
    model = saved(tmp_path / "model", history_rows_per_entity=1)
    update_history(model, csv_file(tmp_path, "alice,11.0.0.2\nalice,11.0.0.2\n"))
    assert history_of(model).num_rows == 2
    assert history_of(model).num_events == 4


def test_suspicious_events_are_rejected(tmp_path: Path) -> None:
    """Those below the threshold of the model, or of a file. New entities are accepted."""
    rows = [(f"user_{at % 20}", f"11.{at % 20}.0.{at % 7}") for at in range(400)]
    model = saved(tmp_path / "model", rows)
    new = csv_file(tmp_path, "user_1,11.2.0.1\nnewcomer,11.2.0.1\nuser_1,11.1.0.1\n")
    with pytest.raises(ClientError) as caught:
        update_history(model, new, normal_only=True)
    assert str(caught.value) == (
        f"{model} has no threshold of the scorer 'history' to judge by. Make one with `ipinsights threshold --scorer "
        "history`."
    )
    calibrated = IPInsights.load(model, scorer="history").calibrate(rows[::-1], fpr=0.05)
    assert calibrated.threshold_ is not None
    calibrated.threshold_.save(tmp_path / "threshold.json")
    updated = update_history(model, new, normal_only=True, threshold_file=tmp_path / "threshold.json")
    assert (updated.num_merged, updated.num_rejected) == (2, 1)
    assert updated.text().startswith("Merged 2 events, 1 rejected as suspicious.\nThe history has ")


class TestForget:
    """Entities that leave."""

    def test_rows_and_hash_are_gone(self, model: Path, tmp_path: Path) -> None:
        """The history is that of training without the entity."""
        updated = update_history(model, None, forget=["bob"])
        assert updated.forgotten == {"bob": 1}
        assert content(model) == content(saved(tmp_path / "rest", TRAIN[:1]))
        assert updated.text() == (
            "Forgotten: 'bob' with 1 pairs.\n"
            "The network's trained row of the entity and its bit in known_entities stay until the next training.\n"
            "The history has 1 pairs of 1 entities."
        )

    def test_fingerprints_of_one_entity_are_removed(self, model: Path, tmp_path: Path) -> None:
        """Fingerprints of one entity's rows are removed, and those of many entities stay."""
        update_history(model, csv_file(tmp_path, "dave,14.0.0.1\n"))
        update_history(model, None, forget=["dave"])
        sources = HistoryRecord.read(artifact.load(model).meta).sources
        assert [source["fingerprint"] == "removed" for source in sources] == [False, True]

    def test_an_entity_that_is_not_text(self, model: Path) -> None:
        """Bytes of the command line that are not UTF-8 are no entity, which is told in words."""
        with pytest.raises(ClientError) as caught:
            update_history(model, None, forget=["\udcff"])
        assert str(caught.value) == "Entity '\\udcff' is not valid: it is not UTF-8 text."

    def test_an_unknown_entity(self, model: Path, tmp_path: Path) -> None:
        """To forget an unknown entity is an error, and nothing is merged either."""
        before = (model / "model_algo-1").read_bytes()
        with pytest.raises(ClientError) as caught:
            update_history(model, csv_file(tmp_path, MORE), forget=["nobody"])
        assert str(caught.value) == "The history has no entity 'nobody', so nothing was changed."
        assert (model / "model_algo-1").read_bytes() == before


class TestStrip:
    """Models without what they kept of people."""

    def test_the_file_is_that_of_a_model_without_a_history(self, model: Path, tmp_path: Path) -> None:
        """To the byte. There is nothing to strip a second time."""
        plain = IPInsights(**SMALL).fit(TRAIN).save(tmp_path / "plain")
        assert strip_history(model) == 2
        assert (model / "model_algo-1").read_bytes() == plain.read_bytes()
        for call in (strip_history, lambda path: update_history(path, None, forget=["bob"])):
            with pytest.raises(ClientError) as caught:
                call(model)
            assert str(caught.value) == "This model has no history. Train it with keep_history to have one."


def test_columns_that_are_not_times(model: Path, tmp_path: Path) -> None:
    """A third column holds times, and there is no fourth."""
    for text in ("a,9.9.9.9,1\n", "a,9.9.9.9,2026-01-31,x\n"):
        file = csv_file(tmp_path, text)
        with pytest.raises(ClientError) as caught:
            update_history(model, file)
        assert str(caught.value) == (
            f"{file} must have the columns entity,ip or entity,ip,time, with times as 2026-01-31."
        )


def test_a_second_update_at_the_same_time(model: Path, tmp_path: Path) -> None:
    """A second update is refused, because the rows of one of them would be lost."""
    descriptor = os.open(model, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(ClientError) as caught:
        update_history(model, csv_file(tmp_path, MORE))
    os.close(descriptor)
    assert str(caught.value) == (f"{model / 'model_algo-1'} is being updated by another process. Wait for its end.")
    assert update_history(model, csv_file(tmp_path, MORE)).num_merged == 2

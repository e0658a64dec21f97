"""Events to test on, with labels or without, of every kind of source."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from ipinsights.data.entity_hash import hash_entities
from ipinsights.errors import ClientError, InvalidValueError
from ipinsights.evaluation.labelled_events import as_test_set

if TYPE_CHECKING:
    from pathlib import Path

    from ipinsights.data.pairs import Pairs

FRAME = pd.DataFrame({"user": ["a", "b", "c"], "ip": ["192.0.2.1", "192.0.2.2", "192.0.2.3"], "label": [0, 1, 0]})
KINDS: dict[str, Any] = {
    "label by name": FRAME,
    "label among others": FRAME.rename(columns={"user": "entity"}).assign(time=1),
    "third column": FRAME.rename(columns={"label": "is_attack"}),
    "truth values": FRAME.assign(label=FRAME["label"] == 1),
    "list": list(FRAME.itertuples(index=False, name=None)),
    "array": FRAME.to_numpy(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_attacks_are_told_by_their_label(kind: str) -> None:
    """Ordinary events keep their order."""
    test = as_test_set(KINDS[kind])
    assert test.ordinary.ips.tolist() == [0xC0000201, 0xC0000203]
    assert test.attacks.ips.tolist() == [0xC0000202]


def test_a_file_gives_the_same_events(tmp_path: Path) -> None:
    """A path has the events of the same rows in memory, with labels or times."""
    path = tmp_path / "test.csv"
    FRAME.to_csv(path, header=False, index=False)
    for given in (path, str(path)):
        assert as_test_set(given).ordinary.ips.tolist() == [0xC0000201, 0xC0000203]
    path.write_text("a,192.0.2.1,2018-11-11T09:30:00Z\n")
    assert len(as_test_set(path).attacks) == 0
    assert len(as_test_set(FRAME[["user", "ip"]]).attacks) == 0


@pytest.mark.parametrize("data", [FRAME.assign(label=[0, 2, 0]), FRAME.assign(label=[0, 2, 0]).to_numpy()], ids=type)
def test_other_labels_are_refused(data: Any) -> None:
    """The error has the row and the value."""
    with pytest.raises(InvalidValueError) as caught:
        as_test_set(data)
    assert str(caught.value) == "The label in row 1 of test must be 0, or 1 for an attack. Got 2."


def test_attacks_alone_are_refused() -> None:
    """A test of attacks only is refused."""
    with pytest.raises(ClientError) as caught:
        as_test_set(FRAME.assign(label=np.ones(3, dtype=int)))
    assert str(caught.value) == (
        "test holds no ordinary events: give rows of entity,ip, or of entity,ip,label with label 0."
    )


IP, IP_NUMBER = "1.2.3.4", 0x01020304


def shown(pairs: Pairs) -> list[tuple[int, int]]:
    """Return the events of a test as a list."""
    return list(zip(pairs.entities.tolist(), pairs.ips.tolist(), strict=True))


def events(*names: str) -> list[tuple[int, int]]:
    """Return events of entities at the one address."""
    return [(entity, IP_NUMBER) for entity in hash_entities(list(names)).tolist()]


def refusal_of(path: Path) -> str:
    """Return the message that a test is refused with."""
    with pytest.raises(ClientError) as caught:
        as_test_set(path)
    return str(caught.value)


class TestFiles:
    """Rows with and without labels."""

    @pytest.mark.parametrize(
        ("text", "ordinary", "attacks"),
        [
            (f"a,{IP}\nb,{IP}\n", ["a", "b"], []),
            (f"a,{IP},0\nb,{IP},0\n", ["a", "b"], []),
            (f"a,{IP},0\nb,{IP},1\nc,{IP},0\n", ["a", "c"], ["b"]),
            (f"a,{IP},2018-11-12T00:00:00Z\nb,{IP},2018-11-12T01\n", ["a", "b"], []),
        ],
    )
    def test_events(self, tmp_path: Path, text: str, ordinary: list[str], attacks: list[str]) -> None:
        """A label of 1 is an attack, a time is no label, and the order of events stays."""
        (tmp_path / "test.csv").write_text(text)
        found = as_test_set(tmp_path / "test.csv")
        assert shown(found.ordinary) == events(*ordinary)
        assert shown(found.attacks) == events(*attacks)

    def test_files_of_a_folder(self, tmp_path: Path) -> None:
        """Events of all files are joined, with labels or without."""
        (tmp_path / "a.csv").write_text(f"a,{IP}\n")
        (tmp_path / "b.csv.gz").write_bytes(gzip.compress(f"b,{IP},1\nc,{IP},0\n".encode()))
        found = as_test_set(tmp_path)
        assert (shown(found.ordinary), shown(found.attacks)) == (events("a", "c"), events("b"))

    @pytest.mark.parametrize("label", ["yes", "", "2", "01", " 1", "2018-11-12", "1\n"])
    def test_a_label_that_is_none(self, tmp_path: Path, label: str) -> None:
        """The message names the file and the row in that file, far behind the beginning too."""
        (tmp_path / "a.csv").write_text(f"a,{IP},0\n")
        path = tmp_path / "b.csv"
        path.write_text(f"a,{IP},0\n" * 200_000 + f'b,{IP},"{label}"\n')
        assert refusal_of(tmp_path) == (
            f"{path}: the label of row 200001 must be 0, or 1 for an attack. Got '{label}'."
        )

    def test_columns_that_are_too_many(self, tmp_path: Path) -> None:
        """A test has three columns at most."""
        path = tmp_path / "test.csv"
        path.write_text(f"a,{IP},0,x\n")
        assert refusal_of(path) == f"{path} has 4 columns: a test has entity,ip or entity,ip,label."

    def test_attacks_alone(self, tmp_path: Path) -> None:
        """Without ordinary events there is no false alarm to count."""
        path = tmp_path / "test.csv"
        path.write_text(f"a,{IP},1\n")
        assert refusal_of(path) == (
            f"{path} holds no ordinary events: give rows of entity,ip, or of entity,ip,label with label 0."
        )


class TestIPv6:
    """Labels of rows of both families."""

    ROWS = (("a", IP, 0), ("a", "2a00:1::1", 1), ("b", "2a00:2::2", 0), ("b", IP, 1))

    def test_attacks_of_each_family(self, tmp_path: Path) -> None:
        """Every row is in one of four groups, of a file or of rows in memory."""
        path = tmp_path / "test.csv"
        path.write_text("".join(f"{entity},{ip},{label}\n" for entity, ip, label in self.ROWS))
        for found in (as_test_set(list(self.ROWS), ipv6=True), as_test_set(path, ipv6=True)):
            assert (shown(found.ordinary), shown(found.attacks)) == (events("a"), events("b"))
            assert found.ipv6.upper.tolist() == [0x2A00000200000000]
            assert found.attacks_ipv6.upper.tolist() == [0x2A00000100000000]

    def test_without_attacks_from_ipv6(self) -> None:
        """An attack from IPv4 is in no other group."""
        assert len(as_test_set([("a", IP, 1), ("b", "2a00:2::2", 0)], ipv6=True).attacks_ipv6) == 0

    def test_ordinary_events_of_one_family(self) -> None:
        """Ordinary events of one family are enough, whatever the family of the attacks."""
        found = as_test_set([("a", IP, 0), ("b", "2a00:2::2", 1)], ipv6=True)
        assert (shown(found.ordinary), len(found.ipv6)) == (events("a"), 0)
        with pytest.raises(ClientError) as caught:
            as_test_set([("a", IP, 1), ("b", "2a00:2::2", 1)], ipv6=True)
        assert str(caught.value) == (
            "test holds no ordinary events: give rows of entity,ip, or of entity,ip,label with label 0."
        )

"""Scoring of files: a line for a line, in order, whatever the file looks like."""

from __future__ import annotations

import csv
import gzip
import io
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pyarrow import csv as csv_of_arrow

from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.data import pairs
from ipinsights.data.entity_hash import hash_entities
from ipinsights.data.pairs import Pairs
from ipinsights.errors import ClientError
from ipinsights.inference.predictor import Predictor
from ipinsights.inference.score_file import score_file
from ipinsights.inference.threshold import Threshold
from ipinsights.model.artifact import Artifact
from ipinsights.model.bloom import BloomFilter

from .small_model import save

if TYPE_CHECKING:
    from pathlib import Path

NUM_ENTITIES = 50
# Of the 100 that the tests score; calibration wants strangers that seem known, so there are more.
KNOWN = hash_entities([f"user_{number}" for number in range(0, 100, 2)])


@pytest.fixture
def predictor(rng: np.random.Generator) -> Predictor:
    """Return a predictor with random parameters that knows every second user."""
    params = {
        "entity_weight": rng.normal(size=(NUM_ENTITIES, 8)).astype(np.float32),
        "ip_octet_weight": rng.normal(size=(1024, 2)).astype(np.float32),
    }
    known = BloomFilter.of(KNOWN, NUM_ENTITIES)
    return Predictor(Artifact(Hyperparameters(NUM_ENTITIES, 8, num_ip_encoder_layers=0), params, known, {}))


def scored(predictor: Predictor, folder: Path, content: bytes, **options: Any) -> list[list[str]]:
    """Score a file of these bytes, and read the output as the standard library does."""
    source, output = folder / "rows", folder / "scores.csv"
    source.write_bytes(content)
    num_rows = score_file(predictor, source, output, **options)
    rows = list(csv.reader(io.StringIO(output.read_text(encoding="utf-8"), newline="")))
    assert len(rows) == 1 + num_rows
    return rows


class TestScoreFile:
    """CSV in, CSV out."""

    def test_it_writes_a_line_for_a_line(self, predictor: Predictor, tmp_path: Path) -> None:
        """Each input line has an output line, with the address trimmed and the entity unchanged.

        A score reads back to the same float32 value.
        """
        names, addresses = ["alice", " bob", 'the "builder"', "a,b\nc", "\u00fc"], ["1.2.3.4"] * 4 + ["255.0.0.1"]
        content = 'alice,1.2.3.4\r\n bob, 1.2.3.4 \r\n"the ""builder""",1.2.3.4\r\n"a,b\nc",1.2.3.4\r\n\u00fc,255.0.0.1'
        head, *rows = scored(predictor, tmp_path, content.encode())
        assert head == ["entity", "ip", "dot_product"]
        assert [row[0] for row in rows] == names
        assert [row[1] for row in rows] == addresses
        expected = predictor.score(hash_entities(names), np.array([0x01020304] * 4 + [0xFF000001], dtype=np.uint32))
        assert [np.float32(row[2]) for row in rows] == expected.tolist()

    def test_it_does_not_wait_for_pandas(self, predictor: Predictor, tmp_path: Path) -> None:
        """Scoring a file never imports pandas.

        The import takes longer than scoring a hundred thousand rows, and many functions of Arrow import pandas.
        """
        save(
            tmp_path,
            params=predictor._params,
            symbol="{}",
            known_entities=predictor._known_entities,
            hyperparameters=predictor.hyperparameters,
            training={},
        )
        (tmp_path / "rows").write_text("alice,1.2.3.4\nbob,5.6.7.8\n")
        arguments = ["score", str(tmp_path / "rows"), "--model-dir", str(tmp_path), "-o", str(tmp_path / "scores")]
        code = f"import sys\nfrom ipinsights.cli import cli\ncli({arguments}, standalone_mode=False)\n"
        code += "print('pandas' in sys.modules)"
        assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"

    def test_blocks_leave_no_seam(self, predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A file of many blocks has one header, and every line in its order."""
        content = "".join(f"user_{number},10.0.{number // 250}.{number % 250}\n" for number in range(3000)).encode()
        whole = scored(predictor, tmp_path, content)
        monkeypatch.setitem(
            pairs._OPTIONS, "read_options", csv_of_arrow.ReadOptions(block_size=500, autogenerate_column_names=True)
        )
        assert scored(predictor, tmp_path, gzip.compress(content)) == whole
        assert [row[0] for row in whole[1:]] == [f"user_{number}" for number in range(3000)]

    def test_extended_tells_known_entities_and_the_probability(self, predictor: Predictor, tmp_path: Path) -> None:
        """Further columns say whether training saw the entity, and have the sigmoid of the score."""
        names = [f"user_{number}" for number in range(40)]
        head, *rows = scored(
            predictor, tmp_path, "".join(f"{name},1.2.3.4\n" for name in names).encode(), extended=True
        )
        assert head == ["entity", "ip", "dot_product", "entity_known", "probability"]
        known = predictor.entity_known(hash_entities(names))
        assert known[::2].all()
        assert not known.all()
        assert [row[3] for row in rows] == ["true" if each else "false" for each in known]
        for row in rows:
            assert float(row[4]) == pytest.approx(1 / (1 + np.exp(-float(row[2]))))

    def test_a_threshold_adds_p_value_and_verdict(
        self, predictor: Predictor, tmp_path: Path, rng: np.random.Generator
    ) -> None:
        """A threshold adds p-value and verdict.

        Allowed networks precede unknown entities, which precede scores. Unknown entities have no p-value.
        """
        calibration = Pairs(rng.integers(2**64, size=999, dtype=np.uint64), rng.integers(2**32, size=999).astype("u4"))
        threshold = Threshold.calibrate(predictor, calibration, fpr=0.3, allow=["10.0.0.0/8"])
        content = "".join(f"user_{number},{10 + number % 2}.2.3.4\n" for number in range(100))
        head, *rows = scored(predictor, tmp_path, content.encode(), extended=True, threshold=threshold)
        assert head == ["entity", "ip", "dot_product", "entity_known", "probability", "p_value", "verdict"]
        for _, ip, score, known, _, p_value, verdict in rows:
            p_values = threshold.p_values(np.array([score], dtype=np.float32)).tolist() if known == "true" else []
            assert [float(text) for text in filter(None, [p_value])] == p_values
            suspicious = "suspicious" if np.float32(score) < threshold.score else "normal"
            assert verdict == (
                "allowed" if ip.startswith("10.") else suspicious if known == "true" else "unknown_entity"
            )

    def test_further_columns_are_kept_when_asked_for(self, predictor: Predictor, tmp_path: Path) -> None:
        """Further columns are at the end of each line, named by their index."""
        head, row = scored(predictor, tmp_path, b'u,1.2.3.4,"x,y",2018-11-04\n', keep_columns=True)
        assert head == ["entity", "ip", "dot_product", "column_3", "column_4"]
        assert row[3:] == ["x,y", "2018-11-04"]

    def test_a_fault_leaves_no_output(self, predictor: Predictor, tmp_path: Path) -> None:
        """A file is scored whole or not at all; the message is the training's."""
        with pytest.raises(ClientError) as caught:
            scored(predictor, tmp_path, b"u,1.2.3.4\nu,1.2.3\n")
        assert str(caught.value) == (
            f"{tmp_path}/rows:2: '1.2.3' is no IPv4 address: it must be four numbers from 0 to 255, separated by dots."
        )
        assert [path.name for path in tmp_path.iterdir()] == ["rows"]

    def test_a_threshold_of_another_model_is_refused(
        self, predictor: Predictor, tmp_path: Path, rng: np.random.Generator
    ) -> None:
        """Scores of two models are on scales of their own."""
        other = Artifact(
            predictor.hyperparameters,
            {name: -2 * array for name, array in predictor._params.items()},
            BloomFilter(np.full(NUM_ENTITIES, 255, dtype=np.uint8)),
            {},
        )
        calibration = Pairs(rng.integers(2**64, size=99, dtype=np.uint64), rng.integers(2**32, size=99).astype("u4"))
        threshold = Threshold.calibrate(Predictor(other), calibration, fpr=0.1)
        with pytest.raises(ClientError) as caught:
            scored(predictor, tmp_path, b"u,1.2.3.4\n", extended=True, threshold=threshold)
        assert str(caught.value) == (
            "The threshold was made for another model: make a new one with `Threshold.calibrate`."
        )

    def test_a_third_column_is_refused_when_not_asked_for(self, predictor: Predictor, tmp_path: Path) -> None:
        """Columns are not thrown away in silence."""
        with pytest.raises(ClientError) as caught:
            scored(predictor, tmp_path, b"u,1.2.3.4,1\n")
        assert str(caught.value) == (
            f"{tmp_path}/rows:1: a row must have 2 columns (entity,ip), this one has 3 columns."
        )

"""Scores and labels in every format they come in."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import score_reader
from score_reader import read_labels, read_scores

from ipinsights.errors import ClientError

SCORES = np.array([0.5, -1.25, 3.0])


def write(path: Path, text: str | bytes) -> Path:
    """Write a file and give its path."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


class TestScoreFiles:
    """Scores in every format they come in."""

    @pytest.mark.parametrize(
        "text",
        [
            '{"dot_product":0.5}\n{"dot_product":-1.25}\n\n{"dot_product":3.0}\n',
            '{"dot_product":0.5}{"dot_product":-1.25}\r\n{"dot_product":3}',
            '{"predictions": [{"dot_product": 0.5}, {"dot_product": -1.25}, {"dot_product": 3.0}]}',
            '{"predictions": [{"dot_product": 0.5}]}{"predictions": [{"dot_product": -1.25}, {"dot_product": 3.0}]}',
            json.dumps({"predictions": [{"dot_product": value} for value in SCORES]}, indent=2),
            '{"ip_embedding":[1,2],"entity_embedding":[3,4],"dot_product":0.5}\n{"dot_product":-1.25}\n{"dot_product":3}',
            '[{"dot_product": 0.5}, {"dot_product": -1.25}, {"dot_product": 3.0}]',
            "entity,ip,dot_product\na,1.1.1.1,0.5\nb,1.1.1.2,-1.25\nc,1.1.1.3,3\n",
            'dot_product,entity\n0.5,"a,b"\n-1.25,NA\n3e0,\n',
            gzip.compress(b'{"dot_product":0.5}\n{"dot_product":-1.25}\n{"dot_product":3.0}\n', mtime=0),
            b'\xef\xbb\xbf{"dot_product":0.5}\n{"dot_product":-1.25}\n{"dot_product":3.0}\n',
        ],
    )
    def test_formats(self, text: str | bytes, tmp_path: Path) -> None:
        """JSON Lines, JSON in any layout, CSV by column name, gzip of any."""
        assert read_scores(write(tmp_path / "x.out", text)).dot_products.tolist() == SCORES.tolist()

    def test_long_lines_are_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Long lines are refused, because a small compressed file may have a line of gigabytes.

        JSON may have longer lines than CSV.
        """
        monkeypatch.setattr(score_reader, "_LONGEST_DOCUMENT", 2**21)
        monkeypatch.chdir(tmp_path)
        megabyte = b" " * 2**20
        for content, sentence in (
            (b"dot_product\n1" + megabyte, "x:2: the line is longer than 1,048,576 bytes."),
            (b'{"dot_product": 1}\n{' + 2 * megabyte, "x:2: the line is longer than 2,097,152 bytes."),
            (b'{"dot_product":\n' + (megabyte + b"\n") * 3, "x cannot be read: JSON over several lines may have at "
             "most 2,097,152 bytes. Write a document a line."),
        ):  # fmt: skip
            write(Path("x"), content)
            with pytest.raises(ClientError) as caught:
                read_scores(Path("x"))
            assert str(caught.value) == sentence
        write(Path("x"), b"0\n1" + megabyte)
        with pytest.raises(ClientError) as caught:
            read_labels(Path("x"))
        assert str(caught.value) == "x:2: the line is longer than 1,048,576 bytes."

    def test_csv_tells_the_pairs(self, tmp_path: Path) -> None:
        """Entities are text, whatever they look like."""
        pairs = read_scores(write(tmp_path / "x", "entity,ip,dot_product\n007,1.1.1.1,1\nNA,1.1.1.2,2\n")).pairs
        assert pairs is not None
        assert pairs.to_dict("list") == {"entity": ["007", "NA"], "ip": ["1.1.1.1", "1.1.1.2"]}

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("", "x is neither JSON nor CSV: No columns to parse from file."),
            ("a,b\n1,2\n", "x has no column 'dot_product': scores are SageMaker's .out files, its JSON, or what "
                           "`ipinsights score` writes."),
            ("dot_product\n", "x holds no scores."),
            ("dot_product\n1\nz\n", "x, score 2: a score must be a finite number, not 'z'."),
            ('{"dot_product": 1}\n{"dot_product": NaN}\n', "x, score 2: a score must be a finite number, not 'nan'."),
            ('{"dot_product": 1}\n{"score": 2}\n',
             "x, after 1 scores: every prediction must be an object with a number 'dot_product'."),
            ('{"predictions": 3}',
             "x, after 0 scores: every prediction must be an object with a number 'dot_product'."),
            ('{"dot_product": 1}\n{"dot', "x is no JSON: Unterminated string starting at: line 1 column 2 (char 1)."),
        ],
    )  # fmt: skip
    def test_faults(self, text: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each has its sentence."""
        monkeypatch.chdir(tmp_path)
        write(Path("x"), text)
        with pytest.raises(ClientError) as caught:
            read_scores(Path("x"))
        assert str(caught.value) == sentence

    @pytest.mark.parametrize("text", ["0\n1\n", "a,1.1.1.1,0\nb,1.1.1.2,1\n"])
    def test_labels_are_the_last_column(self, text: str, tmp_path: Path) -> None:
        """Alone, or after the pairs."""
        labels = read_labels(write(tmp_path / "x", text))
        assert labels.is_attack.tolist() == [False, True]
        assert (labels.pairs is None) == text.startswith("0")

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("1\n2\n", "x, row 2: a label must be 0 (normal) or 1 (attack), not '2'. The label is the last column, and "
                       "there is no header."),
            ("1\n1\n", "x must hold both labels, 0 (normal) and 1 (attack)."),
            ("", "x is no CSV: No columns to parse from file."),
        ],
    )  # fmt: skip
    def test_faults_of_labels(self, text: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each has its sentence."""
        monkeypatch.chdir(tmp_path)
        write(Path("x"), text)
        with pytest.raises(ClientError) as caught:
            read_labels(Path("x"))
        assert str(caught.value) == sentence

"""Export of embeddings through the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from pyarrow import parquet

from ipinsights.data.entity_hash import hash_entities
from ipinsights.inference.predictor import Predictor

from .command import run

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


class TestEmbeddings:
    """``ipinsights embeddings``."""

    @pytest.mark.parametrize("suffix", ["csv", "npz", "parquet"])
    def test_entities(self, model: Path, tmp_path: Path, suffix: str) -> None:
        """Each format holds the same names and vectors, and tells which entity was trained."""
        names = ["user_1", 'bob, "the builder"', "Zoë"]
        (tmp_path / "list.txt").write_text("\n".join([*names[:2], "", names[2]]), encoding="utf-8")
        output = tmp_path / f"out.{suffix}"
        done = run("embeddings", "--model-dir", model, "--entities", tmp_path / "list.txt", "-o", output)
        assert (done.returncode, done.stderr) == (0, "")
        predictor, hashes = Predictor.load(model), hash_entities(names)
        found_names, known, vectors = read_embeddings(output, "entity")
        assert found_names == names
        assert known == predictor.entity_known(hashes).tolist()
        assert vectors.tolist() == predictor.entity_embeddings(hashes).tolist()

    @pytest.mark.parametrize("suffix", ["csv", "npz", "parquet"])
    def test_ips(self, model: Path, tmp_path: Path, suffix: str) -> None:
        """Addresses have their vectors, and nothing is known of them."""
        (tmp_path / "list.txt").write_text("1.2.3.4\n 255.255.255.255 \n")
        output = tmp_path / f"out.{suffix}"
        assert run("embeddings", "--model-dir", model, "--ips", tmp_path / "list.txt", "-o", output).returncode == 0
        names, known, vectors = read_embeddings(output, "ip")
        assert (names, known) == (["1.2.3.4", "255.255.255.255"], None)
        expected = Predictor.load(model).ip_embeddings(np.array([0x01020304, 0xFFFFFFFF], dtype=np.uint32))
        assert vectors.tolist() == expected.tolist()

    @pytest.mark.parametrize(
        ("content", "option", "name", "message"),
        [
            (b"1.2.3.4\n\n1.2.3\n", "--ips", "o.csv", "{}:3: '1.2.3' is no IPv4 address: it must be four numbers from "
                                                      "0 to 255, separated by dots."),
            (b"a\n\xff\n", "--entities", "o.csv", "{}:2: it is not UTF-8 text."),
            (b"\n\n", "--entities", "o.npz", "{} holds no line: give it one entity a line."),
        ],
    )  # fmt: skip
    def test_refusals(self, model: Path, tmp_path: Path, content: bytes, option: str, name: str, message: str) -> None:
        """A list that cannot be used is named with its line, and leaves no output."""
        source = tmp_path / "list.txt"
        source.write_bytes(content)
        done = run("embeddings", "--model-dir", model, option, source, "-o", tmp_path / name)
        assert (done.returncode, done.stderr) == (2, f"ClientError: {message.format(source)}\n")
        assert [path.name for path in tmp_path.iterdir()] == ["list.txt"]

    def test_unknown_ending(self, model: Path, tmp_path: Path) -> None:
        """The ending of the output must be one of three."""
        (tmp_path / "list.txt").write_text("a\n")
        output = tmp_path / "out.txt"
        done = run("embeddings", "--model-dir", model, "--entities", tmp_path / "list.txt", "-o", output)
        assert (done.returncode, done.stderr) == (
            2,
            f"ClientError: {output} must end in .csv, .npz, .parquet: that is how its format is chosen.\n",
        )


def read_embeddings(path: Path, name: str) -> tuple[list[str], list[bool] | None, NDArray[np.float32]]:
    """Return names, a mask of known names, and vectors (n, d) of an export."""
    if path.suffix == ".parquet":
        table = parquet.read_table(path)
        known = table["entity_known"].to_pylist() if "entity_known" in table.column_names else None
        return table[name].to_pylist(), known, np.array(table["embedding"].to_pylist(), dtype=np.float32)
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            known = arrays["entity_known"].tolist() if "entity_known" in arrays else None
            return arrays[name].tolist(), known, arrays["embedding"]
    import pandas as pd

    frame = pd.read_csv(path)
    known = frame["entity_known"].tolist() if "entity_known" in frame else None
    return frame[name].tolist(), known, frame.filter(regex="^dim_").to_numpy(dtype=np.float32)

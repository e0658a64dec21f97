"""Columns are scored as the command line scores files, to the bit. Invalid rows become null."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from ipinsights import IPInsights, score_arrow
from ipinsights.errors import InvalidValueError, RowsError
from ipinsights.inference.predictor import Predictor
from ipinsights.inference.score_file import score_file
from ipinsights.testing import save_random_model

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

STRING_VIEW: Any = getattr(pa, "string_view", pa.string)  # PyArrow 15 has none
ODD_ROWS = [("", "10.0.0.1"), (None, "10.0.0.1"), ("ann", ""), ("ann", None), ("ann", "::1"), ("ann", "10.0.0.256")]
Rows = list[tuple[str | None, str | None]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model of random parameters."""
    folder = tmp_path_factory.mktemp("model")
    return save_random_model(folder, num_entities=100, vector_dim=9, rng=np.random.default_rng(0))


def drawn(size: int, *, rng: np.random.Generator) -> Rows:
    """Return rows of some users at random addresses."""
    addresses = rng.integers(256, size=(size, 4)).tolist()
    return [(f"user é {number}", ".".join(map(str, ip))) for number, ip in zip(rng.integers(50, size=size), addresses)]  # noqa: B905


def columns(rows: Rows) -> list[pa.Array]:
    """Return rows as columns of Arrow."""
    return [pa.array([row[at] for row in rows], pa.string()) for at in (0, 1)]


def scores_of_file(model: Path, rows: Rows, folder: Path) -> NDArray[np.float32]:
    """Return what ``ipinsights score`` writes for rows."""
    source, output = folder / "rows.csv", folder / "scores.csv"
    source.write_text("".join(f"{entity},{ip}\n" for entity, ip in rows), encoding="utf-8")
    score_file(Predictor.load(model), source, output)
    return pd.read_csv(output)["dot_product"].to_numpy(np.float32)


@pytest.mark.parametrize("num_parts", [1, 7, 16])
def test_scores_are_those_of_files(model: Path, tmp_path: Path, rng: np.random.Generator, num_parts: int) -> None:
    """Scores of columns are those of files to the bit, for a path or an object."""
    rows = drawn(3000, rng=rng)
    expected = scores_of_file(model, rows, tmp_path)
    ends = np.linspace(0, len(rows), num_parts + 1).astype(int).tolist()
    entities, ips = columns(rows)
    for given in (model, str(model), IPInsights.load(model)):
        parts = [score_arrow(given, entities[a:b], ips[a:b]) for a, b in zip(ends, ends[1:])]  # noqa: B905, RUF007
        assert all(part.type == pa.float32() for part in parts)
        found = pa.chunked_array(parts).to_numpy()
        assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    "kind",
    [
        lambda column: column.cast(pa.large_string()),
        lambda column: column.dictionary_encode(),
        lambda column: pa.chunked_array([column[:100], column[100:]]),
        lambda column: column.cast(STRING_VIEW()),
        lambda column: column.to_pandas(),
    ],
)
def test_columns_of_all_kinds_are_scored(model: Path, rng: np.random.Generator, kind: Any) -> None:
    """Large texts, dictionaries, chunks, views and Series have the same scores."""
    given = columns([*drawn(200, rng=rng), *ODD_ROWS])
    expected = score_arrow(model, *given, errors="null")
    assert score_arrow(model, *map(kind, given), errors="null").equals(expected)


def test_invalid_rows_are_null(model: Path, rng: np.random.Generator) -> None:
    """Others have the scores that they have by themselves."""
    good = drawn(len(ODD_ROWS), rng=rng)
    mixed = [row for pair in zip(good, ODD_ROWS, strict=True) for row in pair]
    scores = score_arrow(model, *columns(mixed), errors="null")
    assert scores.is_null().to_pylist() == [False, True] * len(good)
    assert scores.drop_null().equals(score_arrow(model, *columns(good)))


def test_invalid_rows_are_refused(model: Path) -> None:
    """The error has the position of each invalid row and the reason."""
    with pytest.raises(RowsError) as caught:
        score_arrow(model, *columns([("ann", "10.0.0.1"), *ODD_ROWS[4:5]]))
    assert str(caught.value) == (
        "row 1 of the columns: '::1' is no IPv4 address: it looks like IPv6; leave such rows out."
    )


def test_nothing_is_scored_to_nothing(model: Path) -> None:
    """A column without rows, and one without a valid row."""
    assert score_arrow(model, pa.array([], pa.string()), pa.array([], pa.string())).equals(pa.array([], pa.float32()))
    assert score_arrow(model, pa.nulls(3), pa.nulls(3), errors="null").equals(pa.nulls(3, pa.float32()))


def test_an_unknown_way_with_errors_is_refused(model: Path) -> None:
    """The message names both."""
    with pytest.raises(InvalidValueError) as caught:
        score_arrow(model, pa.nulls(0), pa.nulls(0), errors="ignore")
    assert str(caught.value) == "errors must be 'raise' or 'null'. Got 'ignore'."


def test_a_history_scores_ipv6(tmp_path: Path) -> None:
    """A path with the name of the scorer has the estimator's scores of IPv6 rows."""
    rows = [("ann", "11.0.0.1"), ("ann", "2a00:1::1"), ("bob", "2a00:2::1"), ("bob", "12.0.0.1")] * 5
    model = IPInsights(vector_dim=4, epochs=1, keep_history=True, ipv6=True, scorer="history", progress=False).fit(rows)
    model.save(tmp_path / "model")
    entities, ips = columns([*rows, ("ann", "fe80::1")])
    expected = model.score_samples(rows).tolist()
    for scores in (
        model.score_arrow(entities, ips, errors="null"),
        score_arrow(tmp_path / "model", entities, ips, errors="null", scorer="history"),
    ):
        assert scores.to_pylist() == [*expected, None]


def test_threads_may_score_at_once(model: Path, rng: np.random.Generator) -> None:
    """Each has the scores that it would have alone."""
    parts = [columns(drawn(2000, rng=rng)) for _ in range(8)]
    expected = [score_arrow(model, *part) for part in parts]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda part: score_arrow(model, *part), parts * 3))
    assert all(one.equals(other) for one, other in zip(found, expected * 3, strict=True))


def test_little_is_imported(model: Path, tmp_path: Path) -> None:
    """Scoring imports no large library but NumPy and Arrow, and starts no thread."""
    batch = pa.RecordBatch.from_arrays(columns([("a", "10.0.0.1"), (None, "1")]), ["entity", "ip"])
    with pa.OSFile(str(tmp_path / "rows"), "wb") as file, pa.ipc.new_stream(file, batch.schema) as stream:
        stream.write(batch)
    code = (
        "import sys, threading, pyarrow as pa, ipinsights\n"
        f"batch = pa.ipc.open_stream(pa.OSFile({str(tmp_path / 'rows')!r})).read_next_batch()\n"
        f"scores = ipinsights.score_arrow({str(model)!r}, batch['entity'], batch['ip'], errors='null')\n"
        "found = {'mxnet', 'numba', 'pandas', 'scipy', 'sklearn'} & set(sys.modules)\n"
        "assert not found and threading.active_count() == 1 and scores.null_count == 1, found\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(sys.platform != "linux", reason="the C library is glibc on Linux")
def test_memory_is_not_taken_anew_for_each_piece(tmp_path: Path) -> None:
    """Few page faults occur even where the C library gives freed memory back at once.

    The pages of a second call are those of its columns, a quarter of what pieces would take.
    """
    save_random_model(tmp_path, num_entities=100, vector_dim=128, rng=np.random.default_rng(0))
    code = (
        "import resource, sys, pyarrow as pa; from ipinsights import score_arrow\n"
        "columns = pa.array(['ann', 'bob'] * 250_000), pa.array(['192.0.2.1', '203.0.113.9'] * 250_000)\n"
        "def faults(): score_arrow(sys.argv[1], *columns); return resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "first = faults(); print(faults() - first)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path],
        env={**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 15_000

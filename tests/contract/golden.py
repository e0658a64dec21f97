"""Golden files: texts that are stored in `golden/` and compared whole."""

from __future__ import annotations

import difflib
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

from .masking import masked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .builds import Done, Outcome

FOLDER = Path(__file__).parent / "golden"
TOLERANCE = 1e-4
CUT = "(more)\n"
"""End of a text that was cut."""
NUM_RANKS = 201
"""Possible p-values, one more than `threshold.json` has scores."""
MOST_EQUAL = 9
"""Most equal scores in `threshold.json`."""

# Addresses, versions and fingerprints are not numbers.
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+(?:e[-+]?\d+)?|e[-+]?\d+)(?!\w|\.\d)")
_MOST_LINES = 300
_OF_LIBRARIES = (
    re.compile(r"\AUsage: (?:.*\n)+?\n(?=Error: )"),
    re.compile(r"(?<=^Error: )No such option.*", re.MULTILINE),
    re.compile(r"(?<=cannot be read as Parquet: ).*"),
)


@dataclass(frozen=True)
class Golden:
    """The golden files of a run of the tests.

    Attributes
    ----------
    update
        Write what is found instead of comparing it.
    """

    update: bool

    def check(self, name: str, found: str, *, close: bool = False) -> None:
        """Compare a text with the golden file of a name.

        Parameters
        ----------
        name
            Path below `golden/`, without its suffix.
        found
            Text of this run.
        close
            Whether numbers with a point or an exponent may differ by `TOLERANCE`.
        """
        path = FOLDER / f"{name}.txt"
        stored = path.read_text(encoding="utf-8") if path.exists() else None
        if found == stored or (close and stored is not None and _is_close(stored, found)):
            return
        if self.update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(found, encoding="utf-8")
            return
        lines = difflib.unified_diff((stored or "").split("\n"), found.split("\n"), str(path), "this run", lineterm="")
        raise AssertionError("\n".join(lines))


def _is_close(stored: str, found: str) -> bool:
    (texts, numbers), (other_texts, others) = _parted(stored), _parted(found)
    if found.endswith(CUT):  # where, depends on digits
        size = min(len(numbers), len(others)) - 1
        texts, numbers, other_texts, others = texts[:size], numbers[:size], other_texts[:size], others[:size]
    if texts != other_texts:
        return False
    return bool((np.isclose(numbers, others, rtol=TOLERANCE, atol=TOLERANCE) | _are_close_ranks(numbers, others)).all())


def _parted(text: str) -> tuple[list[str], NDArray[np.float64]]:
    """Return what is between the numbers of a text, and the numbers."""
    return _NUMBER.split(text), np.array(_NUMBER.findall(text), dtype=np.float64)


def _are_close_ranks(numbers: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which numbers may be p-values of scores that differ in last digits.

    Scores of calibration events can be equal to each other and to a score. Last digits decide about all of them.
    """
    first, second = numbers * NUM_RANKS, others * NUM_RANKS
    are_ranks = (np.abs(first - first.round()) < TOLERANCE) & (np.abs(second - second.round()) < TOLERANCE)
    close: NDArray[np.bool_] = are_ranks & (np.abs(first - second) <= MOST_EQUAL + TOLERANCE)
    return close


def transcript(outcome: Outcome) -> str:
    """Return what the commands of a case printed and wrote, as a text for people."""
    parts = [_printed(done) for done in outcome.done]
    for name in outcome.case.outputs:
        content = outcome.output(name)
        parts.append(f"==> {name}\n{'(no such file)' if content is None else _shortened(_as_text(name, content))}\n")
    return "\n".join(parts)


def _printed(done: Done) -> str:
    text = f"$ ipinsights {done.command}\nexit code {done.code}\n"
    for name, stream in (("output", done.stdout), ("error", done.stderr)):
        if stream:
            text += f"==> standard {name}\n{_shortened(masked(own_words(decoded(stream))))}\n"
    return text


def decoded(content: bytes) -> str:
    """Return bytes as text, with invalid UTF-8 and carriage returns escaped."""
    return content.decode("utf-8", errors="backslashreplace").replace("\r", "\\r")


def own_words(text: str) -> str:
    """Remove the words of libraries, which differ between their versions."""
    for words in _OF_LIBRARIES:
        text = words.sub("", text)
    return text


def _as_text(name: str, content: bytes) -> str:
    if name.endswith(".parquet"):
        return _table_text(parquet.read_table(io.BytesIO(content)))
    if name.endswith(".npz"):
        arrays = np.load(io.BytesIO(content), allow_pickle=False)
        return "\n".join(f"{key} {array.dtype} {array.shape}\n{array.tolist()}" for key, array in arrays.items())
    if name.endswith(".json"):
        return json.dumps(json.loads(content), indent=1, sort_keys=True, ensure_ascii=False)
    return masked(decoded(content))


def _table_text(table: pa.Table) -> str:
    columns = {name: [str(value) for value in table[name].to_pylist()] for name in table.column_names}
    stream = io.BytesIO()
    csv.write_csv(pa.table(columns), stream)
    return f"{table.schema.remove_metadata()}\n{stream.getvalue().decode()}"


def _shortened(text: str) -> str:
    lines = text.rstrip("\n").split("\n")
    more = len(lines) - _MOST_LINES
    return "\n".join(lines[:_MOST_LINES] + ([f"({more} more lines)"] if more > 0 else []))

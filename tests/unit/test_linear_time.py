"""Regular expressions on untrusted text take time that is linear in its length."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import score_reader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipinsights.config import constraints
from ipinsights.data.ipv4 import explain_ip
from ipinsights.etl.csv_dialect import Dialect
from ipinsights.etl.json_documents import batches_of_records
from ipinsights.runs import criteria, parse_line, reader, unwrap

if TYPE_CHECKING:
    import re
    from collections.abc import Callable

STAMP = "[01/01/2026 00:00:00 INFO 1] "
# Quadratic time would be sixteen times as much.
SIZES = 2**13, 2**15
MOST_TIMES = 8
NEGLIGIBLE_SECONDS = 0.01
# Before the part that is repeated, the part, and behind it.
SHAPES = {
    "ESC ]": ("", "\x1b]", ""),
    "ESC [": ("", "\x1b[1;", ""),
    "a colour without end": ("[1", ";1", ""),
    "algo-1": ("", "algo-1", ""),
    "algo-1 with dots": ("", "algo-1.", " "),
    "algo-1 exited": ("", "algo-1", " exited with code 1x"),
    "Creating": ("Creating ", "algo-1", ""),
    "Creating with dots": ("Creating algo-1", ".", "!"),
    "a stream": ("", "/algo-1-123456789", "!"),
    "DMLC": ("{", "'DMLC", ""),
    "DMLC in a log line": (STAMP + "{", "'DMLC", ""),
    "Reading default configuration": (STAMP + "Reading default configuration from ", ": {", ""),
    "Merging": (STAMP + "Merging with provided configuration from ", ": {", "}x"),
    "Final configuration": (STAMP + "Final configuration: {1:", "(", "}"),
    "Wrote checkpoint": (STAMP + 'Wrote checkpoint "', '" in ', ""),
    "Resuming": (STAMP + 'Resuming from checkpoint "', '": epoch 1, after batch ', ""),
    "Checkpoint damaged": (STAMP + "Checkpoint ", " is damaged and passed over for the one before: ", ""),
    "Speed": (STAMP + "Epoch[1] Batch [1]\tSpeed: 1 samples/sec", "\ta==", " "),
    "#metrics": ('#metrics {"a":', "[", "}"),
    "Training seconds": ("Training seconds: ", " ", "x"),
    "numbers": ("[00:00:00] ", ":1", ""),
    "tabs": (STAMP + "#metrics {", "\t", ""),
    "EVENTS": ("EVENTS\t1234567890123\t", "\t1234567890123", "x"),
}
GRAMMAR = [*((STAMP, rule) for _, rule in parse_line._LOGGED), *(("", rule) for _, rule in parse_line._BARE)]
PREFIXES = [*unwrap._PREFIXES, *unwrap._TEXT_EVENTS, unwrap._STATUS, unwrap._COLOUR, parse_line._PREFIX]


def seconds(function: Callable[[str], Any], text: str) -> float:
    """Return the CPU seconds of a call, the least of three."""
    spent = []
    for _ in range(3):
        start = time.thread_time()
        function(text)
        spent.append(time.thread_time() - start)
    return min(spent)


def check_linear(function: Callable[[str], Any], before: str, part: str, behind: str) -> None:
    """Check that the time grows with the number of parts, and not with its square."""
    texts = [before + part * (size // len(part)) + behind for size in SIZES]
    small, large = (seconds(function, text) for text in texts)
    assert large < MOST_TIMES * small + NEGLIGIBLE_SECONDS, f"{texts[0][:80]!r}: {small:.4f} s, {large:.4f} s"


def read_line(text: str) -> None:
    """Read a line as `ipinsights compare` does."""
    for _, piece in unwrap.unwrap(text):
        parse_line.parse_line(piece)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_lines_that_once_took_long(shape: tuple[str, str, str]) -> None:
    """Lines of a log that were made to be slow."""
    check_linear(read_line, *shape)


@given(st.data())
@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_every_rule_of_a_log(data: st.DataObject) -> None:
    """A line that a rule fits, with any part of it repeated, is read in linear time."""
    stamp, rule = data.draw(st.sampled_from([*GRAMMAR, *(("", pattern) for pattern in PREFIXES)]))
    line = data.draw(st.from_regex(rule))
    start = data.draw(st.integers(0, max(0, len(line) - 1)))
    end = data.draw(st.integers(start + 1, min(len(line), start + 12))) if line else 0
    check_linear(read_line, stamp + line[:start], line[start:end] or "x", data.draw(st.sampled_from(["", "!", line])))


@pytest.mark.parametrize("text", ["1", "1.", "e1", "+", "9" * 9, ".", "1 ", "_"])
@pytest.mark.parametrize("behind", ["", "x", "e", "%x"])
def test_numbers(text: str, behind: str) -> None:
    """Of hyperparameters, which may be a stranger's model's, and of tolerances."""

    def parse(number: str) -> None:
        criteria._AMOUNT.fullmatch(number)
        constraints._NUMBER.fullmatch(number)

    check_linear(parse, "", text, behind)


@pytest.mark.parametrize("part", ['"', '""', '"a', "1.", "1", ":", " ", "0."])
def test_cells_of_tables(part: str) -> None:
    """The separator of a first line, and why a text is no address."""
    check_linear(lambda text: Dialect.of([text]), "", part, "")
    check_linear(explain_ip, "", part, "x")


@pytest.mark.parametrize("item", ["{},", "{} ", '{"message": "a"},\n', "[],", "1,"])
def test_dumps_of_events(tmp_path_factory: pytest.TempPathFactory, item: str) -> None:
    """Many small items, and one that never ends."""
    path = tmp_path_factory.mktemp("dump") / "dump.json"

    def read(text: str) -> None:
        path.write_text(text)
        list(unwrap.read_lines(path))

    check_linear(read, '{"events": [', item * 8, "")
    check_linear(read, '{"events": [[', item * 8, "")


def test_scores_one_after_another() -> None:
    """Documents without a line's end between them."""
    check_linear(lambda text: list(score_reader._consecutive(text, Path("scores"))), "", '{"a":1} ', "")


@pytest.mark.parametrize("part", ['{"a":1}{"b":2}\n', '{"a":1} ', '{"a":1\n', '{"a":[\n', "[\n", "{\n", '{"a":1}x\n'])
def test_json_in_any_layout(part: str) -> None:
    """Documents next to each other, cut off documents, and documents inside of each other."""

    def read(text: str) -> None:
        list(batches_of_records(io.BytesIO(text.encode())))

    check_linear(read, "", part * 8, "")


def test_starts_of_a_job(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A job that was started again and again, each time in another epoch."""
    path = tmp_path_factory.mktemp("starts") / "train.log"

    def read(starts: str) -> None:
        path.write_text("".join(
            f"{STAMP}Reading default configuration from x: {{}}\n{STAMP}#quality_metric: host=algo-1, epoch={epoch}, "
            "train binary_classification_accuracy <score>=0.5\n"
            for epoch in range(len(starts) // 16)
        ))  # fmt: skip
        reader.read_run(path)

    check_linear(read, "", "x", "")


def patterns_of(module: Any) -> list[re.Pattern[str]]:
    """Return the patterns that a module keeps by name."""
    return [value for value in vars(module).values() if type(value).__name__ == "Pattern"]


def test_searches_and_splits() -> None:
    """The patterns that are looked for anywhere in a line, on what each of them begins with."""
    for pattern in patterns_of(unwrap):
        for part in (
            "[01/01/2026 00:00:00 A",
            "#metrics {",
            "\t",
            "\ta",
            '"events"',
            '"events" : ',
            "[",
            "[ ",
            "\x1b]",
        ):
            check_linear(pattern.split, "", part, "")

"""Batch transform through the command line."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ipinsights.data.pairs import read_pairs
from ipinsights.inference.predictor import Predictor
from ipinsights.testing import csv_text

from .command import run

if TYPE_CHECKING:
    from collections.abc import Callable


def write_rows(path: Path, num_rows: int, *, rng: np.random.Generator) -> Path:
    """Write random rows."""
    entities = [f"user_{number}" for number in rng.integers(1000, size=num_rows)]
    path.write_text(csv_text(entities, rng.integers(2**32, size=num_rows, dtype=np.uint32)))
    return path


def expected_lines(model: Path, source: Path) -> list[str]:
    """Return the lines that a file's output must have."""
    pairs = read_pairs(source)
    scores = Predictor.load(model).score(pairs.entities, pairs.ips).tolist()
    return [f'{{"dot_product":{score!r}}}' for score in scores]


def wait_until(condition: Callable[[], bool]) -> bool:
    """Wait for a condition for up to a minute; give whether it came true."""
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


class TestTransform:
    """``ipinsights transform``."""

    def test_files_and_folders(self, model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
        """Each file has its output at its relative path, in order, as JSON Lines.

        Borders of payloads and the number of processes have no effect.
        """
        (tmp_path / "in" / "deep").mkdir(parents=True)
        sources = [
            write_rows(tmp_path / "in" / "deep" / "large.csv", 120_000, rng=rng),
            write_rows(tmp_path / "in" / "small.csv", 7, rng=rng),
        ]
        alone = write_rows(tmp_path / "alone.csv", 3, rng=rng)
        out = tmp_path / "out"
        done = run("transform", tmp_path / "in", alone, "--model-dir", model, "--output-dir", out,
                   "--max-payload-mb", 1, "--concurrency", 2)  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "Files transformed: 3; outputs that were there already: 0.\n")
        targets = [out / "deep" / "large.csv.out", out / "small.csv.out", out / "alone.csv.out"]
        assert sorted(path for path in out.rglob("*") if path.is_file()) == sorted(targets)
        for source, target in zip([*sources, alone], targets, strict=True):
            assert target.read_text().splitlines() == expected_lines(model, source)

    def test_formats(self, model: Path, tmp_path: Path) -> None:
        """JSON goes whole, JSON Lines and gzip are read, and what is accepted is obeyed."""
        record = {"features": ["user_1", "192.168.1.2"]}
        (tmp_path / "a.json").write_text(json.dumps({"instances": [record]}))
        (tmp_path / "a.jsonl").write_text(json.dumps(record))
        (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"user_1,192.168.1.2"))
        out, common = tmp_path / "out", ("--model-dir", model, "--output-dir", tmp_path / "out")
        accept = "application/json; verbose=True"
        for name, content_type in (("a.json", "application/json"), ("a.jsonl", "application/jsonlines"),
                                   ("a.csv.gz", "text/csv; charset=utf-8")):  # fmt: skip
            done = run("transform", tmp_path / name, *common, "--content-type", content_type, "--accept", accept)
            assert done.returncode == 0, done.stderr
        texts = {path.read_text() for path in out.glob("*.out")}
        assert len(texts) == 1
        (content,) = json.loads(texts.pop())["predictions"]
        assert list(content) == ["dot_product", "ip_embedding", "entity_embedding"]

    def test_a_bad_record_fails_its_file_only(self, model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
        """A bad record fails only its file, and the error has the line number in the file.

        Payloads before the record are valid, and other files have their outputs.
        """
        good, bad = (write_rows(tmp_path / name, 100_000, rng=rng) for name in ("b.csv", "a.csv"))
        with bad.open("a") as stream:
            stream.write("user_1,10.0.0.300\nuser_1,10.0.0.1\n")
        empty = tmp_path / "c.csv"
        empty.touch()
        out = tmp_path / "out"
        options = ("--model-dir", model, "--output-dir", out, "--max-payload-mb", 1)
        done = run("transform", bad, good, empty, tmp_path / "gone.csv", *options)
        assert (done.returncode, done.stderr) == (2, f"ClientError: There is no file or folder {tmp_path}/gone.csv.\n")
        done = run("transform", bad, good, empty, *options)
        assert done.returncode == 2
        assert done.stderr.splitlines() == [
            "ClientError: 1 of 3 files could not be transformed and have no output:",
            f"  - {bad}:100001: '10.0.0.300' is no IPv4 address: 300 is more than 255.",
        ]
        assert sorted(path.name for path in out.iterdir()) == ["b.csv.out", "c.csv.out"]
        assert (out / "c.csv.out").read_bytes() == b""
        assert (out / "b.csv.out").read_text().splitlines() == expected_lines(model, good)

    def test_it_goes_on_where_it_stopped(self, model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
        """An output that is there is kept, and only what is missing is made."""
        sources = [write_rows(tmp_path / name, 10, rng=rng) for name in ("a.csv", "b.csv")]
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "a.csv.out").write_text("kept")
        done = run("transform", *sources, "--model-dir", model, "--output-dir", tmp_path / "out")
        assert (done.returncode, done.stderr) == (0, "Files transformed: 1; outputs that were there already: 1.\n")
        assert (tmp_path / "out" / "a.csv.out").read_text() == "kept"
        assert (tmp_path / "out" / "b.csv.out").read_text().splitlines() == expected_lines(model, sources[1])

    def test_a_terminal_sees_how_far_it_is(self, model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
        """The bar counts bytes of the input, and only the closing line stays."""
        source = write_rows(tmp_path / "a.csv", 10, rng=rng)
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
        command: list[str | Path] = [sys.executable, "-m", "ipinsights", "transform", source, "--model-dir", model]
        subprocess.run([*command, "--output-dir", tmp_path / "out"], stderr=theirs, check=True, timeout=60)
        os.close(theirs)
        shown = os.read(ours, 65536).decode()
        os.close(ours)
        assert "\rtransform:   0%|" in shown
        assert f"/{source.stat().st_size} " in shown
        assert shown.endswith(" \rFiles transformed: 1; outputs that were there already: 0.\r\n")

    def test_a_killed_run_leaves_nothing_for_long(self, model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
        """Processes of a killed run end, and the next run removes the folder of this run only.

        The folder of a live run stays.
        """
        source, out = write_rows(tmp_path / "a.csv", 300_000, rng=rng), tmp_path / "out"
        options = ("transform", source, "--model-dir", model, "--output-dir", out, "--max-payload-mb", 1)
        command = [
            sys.executable,
            "-m",
            "ipinsights",
            *map(str, options),
            "--accept",
            "application/jsonlines; verbose=True",
        ]
        with subprocess.Popen(command) as process:
            assert wait_until(lambda: any(out.glob(".transform-*/*")))
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            process.kill()
        assert children
        assert wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in children))
        alive = out / ".transform-alive"
        alive.mkdir()
        descriptor = os.open(alive, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        done = run(*options)
        os.close(descriptor)
        assert (done.returncode, sorted(out.iterdir())) == (0, [alive, out / "a.csv.out"])
        assert (out / "a.csv.out").read_text().splitlines() == expected_lines(model, source)

    @pytest.mark.parametrize(
        ("content", "content_type", "message"),
        [
            ("x" * (2**20 + 1), "text/csv", "{}:1: the line is longer than a payload of 1,048,576 bytes."),
            (
                json.dumps({"instances": [{"features": ["user_1", "1.2.3.4"]}] * 40_000}),
                "application/json",
                "{} is larger than a payload of 1 MB, and JSON cannot be split: make it JSON Lines, or raise "
                "--max-payload-mb.",
            ),
        ],
    )
    def test_payloads_that_are_too_large(
        self, model: Path, tmp_path: Path, content: str, content_type: str, message: str
    ) -> None:
        """A line, or JSON, that does not fit into a payload is refused."""
        source = tmp_path / "a"
        source.write_text(content)
        done = run("transform", source, "--model-dir", model, "--output-dir", tmp_path / "out", "--max-payload-mb", 1,
                   "--content-type", content_type)  # fmt: skip
        assert (done.returncode, done.stderr.splitlines()[-1]) == (2, f"  - {message.format(source)}")

    def test_refused_before_it_begins(self, model: Path, tmp_path: Path) -> None:
        """A type that is not known, and two inputs of one name, are the user's to mend."""
        for folder in ("x", "y"):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "a.csv").write_text("user_1,1.2.3.4\n")
        options = ("--model-dir", model, "--output-dir", tmp_path / "out")
        twice = run("transform", tmp_path / "x" / "a.csv", tmp_path / "y" / "a.csv", *options)
        assert twice.stderr == (
            f"ClientError: Two inputs would be written to {tmp_path}/out/a.csv.out: give them one at a time.\n"
        )
        unknown = run("transform", tmp_path / "x", *options, "--content-type", "text/plain")
        assert unknown.returncode == 2
        assert "Content-Type 'text/plain' is not supported" in unknown.stderr

    @pytest.mark.slow
    def test_a_file_larger_than_memory(self, model: Path, tmp_path: Path, rng: np.random.Generator) -> None:
        """A file of 200 MB is transformed in far less memory than it has, by every process."""
        piece = write_rows(tmp_path / "piece.csv", 100_000, rng=rng).read_bytes()
        source = tmp_path / "large.csv"
        with source.open("wb") as stream:
            for _ in range(200 * 2**20 // len(piece)):
                stream.write(piece)
        script = (
            "import resource, sys; from ipinsights.cli import cli\n"
            "cli.main(sys.argv[1:], standalone_mode=False)\n"
            "print(max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))"
        )
        command: list[str | Path] = [sys.executable, "-c", script, "transform", "--model-dir", model]
        command += ["--output-dir", tmp_path]
        peaks = []
        for given in ([tmp_path / "piece.csv", "--max-payload-mb", "1"], [source]):
            done = subprocess.run([*command, *given], capture_output=True, text=True, check=True, timeout=300)
            peaks.append(int(done.stdout))
        assert peaks[1] - peaks[0] < 100 * 2**10

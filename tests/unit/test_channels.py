"""Folders from other programs: markers are skipped, links followed, and losses reported."""

from __future__ import annotations

import csv
import gzip
import json
import logging
import os
from pathlib import Path

import pytest

from ipinsights.data.channels import channel_files, read_channel
from ipinsights.data.entity_hash import hash_entities
from ipinsights.data.pairs import read_pairs
from ipinsights.errors import ClientError
from ipinsights.etl.filters import Filters
from ipinsights.etl.pipeline import extract
from ipinsights.etl.records import LogOptions
from ipinsights.testing import run_command

GOLDEN = str(Path(__file__).parents[1] / "data" / "golden")
IP = "192.0.2.1"


def fill(folder: Path, contents: dict[str, str | bytes]) -> None:
    """Write files, and the folders that they are in."""
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def names(folder: Path) -> list[str]:
    """Return the names of the files that hold data."""
    return [str(path.relative_to(folder)) for path in channel_files(folder)]


LEFTOVERS: dict[str, str | bytes] = {
    "_SUCCESS": "",
    "_started_17": "{}",
    "_temporary/0/part-00000.csv": f"half,{IP}\n",
    ".part-00000.csv.crc": b"crc\0\0\x02\0",
    ".DS_Store": b"\0\0\0\x01Bud1",
    ".ipynb_checkpoints/rows-checkpoint.csv": f"old,{IP}\n",
    "day=2_$folder$": "",
    "8f1c.csv.metadata": b"\x0a\x04user\x12\x07varchar",
    "8f1c-manifest.csv": "s3://bucket/train/8f1c.csv\n",
    "train.manifest": json.dumps([{"prefix": "s3://bucket/train/"}, "part-00000.csv"]),
    "unload_manifest": json.dumps({"entries": [{"url": "s3://bucket/part-00000"}]}, indent=2),
    "manifest.json": json.dumps({"sourceBucket": "logs", "files": []}),
    "manifest.checksum": "9e107d9d372bb6826bd81d3542a419d6",
    "rows.csv.sha256": "e3b0c442  rows.csv",
    "input.json": '[\n {"prefix": "s3://bucket/"},\n "a.csv"]',
    "Thumbs.db": b"\xd0\xcf\x11\xe0",
    "part-00002.csv._COPYING_": f"half,{IP}\n",
}
EMPTY: dict[str, str | bytes] = {
    "part-00003.csv": "",
    "part-00004.csv.gz": gzip.compress(b""),
    "part-00005.csv": "\n\r\n",
    "part-00006.csv": b"\xef\xbb\xbf",
    "day=3": "",
}
ROWS: dict[str, str | bytes] = {
    "part-00000.csv": f"ann,{IP}\n",
    "day=1/part-00001.csv.gz": gzip.compress(f"ben,{IP}\n".encode()),
    "manifest.csv": f"cem,{IP}\n",
}


class TestFolders:
    """Which files of a folder are read."""

    def test_sorted_as_one(self, tmp_path: Path) -> None:
        """All files below a folder, whatever their names."""
        fill(tmp_path, {"b.csv": f"b,{IP}\n", "a/z.txt": f"a,{IP}\n", "c": f"c,{IP}\n"})
        assert names(tmp_path) == ["a/z.txt", "b.csv", "c"]
        assert read_pairs(tmp_path).entities.tolist() == hash_entities(["a", "b", "c"]).tolist()

    @pytest.mark.parametrize("name", [*LEFTOVERS, *EMPTY])
    def test_what_is_no_data(self, tmp_path: Path, name: str) -> None:
        """Markers, metadata, manifests and empty parts are left out one by one."""
        fill(tmp_path, {"rows.csv": f"ann,{IP}\n", name: {**LEFTOVERS, **EMPTY}[name]})
        assert names(tmp_path) == ["rows.csv"]

    @pytest.mark.parametrize(
        "name", ["manifesto.csv", "success", "part_$folder$.csv", "metadata.csv", "a~b", "a.crc.csv"]
    )
    def test_names_that_only_look_like_markers(self, tmp_path: Path, name: str) -> None:
        """Files whose names only resemble markers are read."""
        fill(tmp_path, {name: f"ann,{IP}\n"})
        assert names(tmp_path) == [name]

    def test_what_is_skipped_is_logged(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """One line with the number by reason and some names."""
        fill(tmp_path, {**LEFTOVERS, **EMPTY, **ROWS})
        with caplog.at_level(logging.WARNING):
            channel_files(tmp_path)
        assert caplog.messages == [
            f"Skipped in the folder {tmp_path}: markers or metadata (12: .DS_Store, .ipynb_checkpoints, "
            ".part-00000.csv.crc, ...), manifests (5: 8f1c-manifest.csv, input.json, manifest.json, ...), "
            "empty files (5: day=3, part-00003.csv, part-00004.csv.gz, ...)."
        ]

    def test_a_folder_without_data(self, tmp_path: Path) -> None:
        """The error says what there is instead."""
        fill(tmp_path, {"_SUCCESS": "", "part-0": ""})
        with pytest.raises(ClientError) as caught:
            channel_files(tmp_path)
        assert str(caught.value) == (
            f"The folder {tmp_path} holds no file with data: skipped are markers or metadata (1: _SUCCESS), empty "
            "files (1: part-0). It must hold at least one such file."
        )
        with pytest.raises(ClientError, match=r"/none holds no file with data\. It must"):
            channel_files(make_folder(tmp_path / "none"))

    def test_a_small_file_that_is_damaged_is_not_empty(self, tmp_path: Path) -> None:
        """A damaged file counts as data, so that its reader reports the damage."""
        fill(tmp_path, {"a.gz": gzip.compress(b"")[:12] + b"\xff\xff\xff\xff"})
        assert names(tmp_path) == ["a.gz"]


def make_folder(path: Path) -> Path:
    """Make a folder and return it."""
    path.mkdir()
    return path


class TestLinks:
    """Links are read through."""

    def test_links_to_folders_and_files(self, tmp_path: Path) -> None:
        """Links to files and folders are followed, also out of the folder."""
        fill(tmp_path, {"train/a.csv": f"a,{IP}\n", "more/deep/b.csv": f"b,{IP}\n", "other/c.csv": f"c,{IP}\n"})
        (tmp_path / "train/linked").symlink_to(tmp_path / "more", target_is_directory=True)
        (tmp_path / "more/deep/c.csv").symlink_to(tmp_path / "other/c.csv")
        assert names(tmp_path / "train") == ["a.csv", "linked/deep/b.csv", "linked/deep/c.csv"]

    def test_nothing_is_read_twice(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """A link to a neighbour, to the folder itself or to what another link leads to adds nothing."""
        fill(tmp_path, {"in/2/a.csv": f"a,{IP}\n", "out/b.csv": f"b,{IP}\n"})
        for name, target in {"1-latest": "2", "2/up": "..", "3": "../out", "4": "../out", "2/b.csv": "a.csv"}.items():
            (tmp_path / "in" / name).symlink_to(target)
        assert names(tmp_path / "in") == ["2/a.csv", "3/b.csv"]
        assert caplog.messages == [
            f"Skipped in the folder {tmp_path / 'in'}: links to what is read already (4: 1-latest, 2/b.csv, 2/up, ...)."
        ]

    def test_a_link_to_nothing(self, tmp_path: Path) -> None:
        """Rows are missing, which must not go unnoticed."""
        fill(tmp_path, {"a.csv": f"a,{IP}\n"})
        (tmp_path / "b.csv").symlink_to("gone.csv")
        with pytest.raises(ClientError) as caught:
            channel_files(tmp_path)
        assert str(caught.value) == f"{tmp_path}/b.csv cannot be read: it is a link to gone.csv, which does not exist."

    def test_a_folder_that_is_a_link(self, tmp_path: Path) -> None:
        """A link to a folder is read as the folder."""
        fill(tmp_path, {"real/a.csv": f"a,{IP}\n"})
        (tmp_path / "link").symlink_to("real")
        assert names(tmp_path / "link") == ["a.csv"]

    def test_a_pipe_is_no_file(self, tmp_path: Path) -> None:
        """A named pipe in a folder is skipped, not waited for."""
        fill(tmp_path, {"a.csv": f"a,{IP}\n"})
        os.mkfifo(tmp_path / "pipe")
        channel = read_channel(tmp_path)
        assert channel.skipped == {"special files": [tmp_path / "pipe"]}


def test_a_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names it: its rows would be missing."""

    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ClientError) as caught:
        channel_files(tmp_path)
    assert str(caught.value) == f"The folder {tmp_path} cannot be read: Permission denied."


def test_a_transform_of_nothing(tmp_path: Path) -> None:
    """A folder without anything to transform is an error, too."""
    fill(tmp_path, {"in/_SUCCESS": ""})
    done = run_command("transform", tmp_path / "in", "--model-dir", GOLDEN, "--output-dir", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr == (
        f"ClientError: The folder {tmp_path}/in holds no file with data: skipped are markers or metadata "
        "(1: _SUCCESS). It must hold at least one such file.\n"
    )


class TestEveryCommand:
    """One folder means the same rows to train, extract, score and transform."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """Return a folder with rows, leftovers, empty parts and a link."""
        fill(tmp_path, {f"in/{name}": content for name, content in {**LEFTOVERS, **EMPTY, **ROWS}.items()})
        fill(tmp_path, {"elsewhere/dan.csv": f"dan,{IP}\n"})
        (tmp_path / "in/linked").symlink_to("../elsewhere")
        return tmp_path / "in"

    ENTITIES = ("ben", "dan", "cem", "ann")

    def test_train(self, folder: Path) -> None:
        """Rows in the order of the files' names."""
        assert read_pairs(folder).entities.tolist() == hash_entities(self.ENTITIES).tolist()

    def test_extract(self, folder: Path, tmp_path: Path) -> None:
        """The same rows from the same files."""
        options = LogOptions(no_timestamps=True)
        summary = extract([folder], tmp_path / "out.csv", log_format="csv", options=options, filters=Filters())
        assert (summary.num_files, summary.num_records) == (4, 4)
        assert (tmp_path / "out.csv").read_text() == "".join(f"{entity},{IP}\n" for entity in self.ENTITIES)

    def test_score(self, folder: Path, tmp_path: Path) -> None:
        """A line for each row behind one header."""
        done = run_command("score", folder, "--model-dir", GOLDEN, "-o", tmp_path / "scores.csv")
        assert done.returncode == 0, done.stderr
        with (tmp_path / "scores.csv").open() as stream:
            assert [row["entity"] for row in csv.DictReader(stream)] == list(self.ENTITIES)

    def test_transform(self, folder: Path, tmp_path: Path) -> None:
        """An output for each file that holds rows or nothing, and none for markers."""
        out = tmp_path / "out"
        done = run_command("transform", folder, "--model-dir", GOLDEN, "--output-dir", out)
        assert done.returncode == 0, done.stderr
        outputs = {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.out")}
        assert sorted(outputs) == sorted(f"{name}.out" for name in [*EMPTY, *ROWS, "linked/dan.csv"])
        assert all((outputs[f"{name}.out"] == b"") == (name in EMPTY) for name in [*EMPTY, *ROWS])

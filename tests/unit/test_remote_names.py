"""Names of remote files: what is a URL, what messages show, and where copies of objects lie."""

from __future__ import annotations

import posixpath
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from ipinsights.data.remote_names import as_given, call_copy, is_remote, local_names, shown_url

NAMES = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=300) | st.from_regex(r"[./a\\~-]{0,12}")


@pytest.mark.parametrize("path", ["s3://bucket/key", "gs://b", "https://example.org/a.csv", "memory://", "S3://b/k"])
def test_a_url_is_remote(path: str) -> None:
    """A scheme and two slashes make a URL."""
    assert is_remote(path)


@pytest.mark.parametrize("path", ["train.csv", "-", "C:/train.csv", "a:b", "s3:/bucket", "/a://b", "", Path("s3://b")])
def test_other_paths_are_local(path: str | Path) -> None:
    """A path of ``pathlib`` has lost the second slash, and a single letter is a drive."""
    assert not is_remote(path)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:secret@example.org/a.csv?X-Amz-Signature=1f", "https://example.org/a.csv"),
        ("s3://bucket/what?.csv", "s3://bucket/what?.csv"),
        ("s3://bucket/me@home", "s3://bucket/me@home"),
    ],
)
def test_secrets_are_not_shown(url: str, shown: str) -> None:
    """Passwords and the query of a web address are left out of messages."""
    assert shown_url(url) == shown


def test_messages_name_the_url_of_a_copy() -> None:
    """The copy and what lies below are replaced, until the copy is forgotten."""
    call_copy("/copies/x/train", "s3://bucket/train/")
    assert as_given("/copies/x/train/part-0.csv:1: bad") == "s3://bucket/train/part-0.csv:1: bad"
    call_copy("/copies/x/train", None)
    assert as_given("/copies/x/train/part-0.csv") == "/copies/x/train/part-0.csv"


def test_ordinary_names_stay() -> None:
    """Partitions, blanks, markers and other scripts are kept.

    Since rules about markers read names.
    """
    names = ["day=1/part 0.csv.gz", "_SUCCESS", "year=2019_$folder$", "überall/日.csv"]
    assert local_names(names) == names


@given(st.lists(NAMES, max_size=8))
@example(["../../etc/passwd", "/etc/passwd", "..", "a//b", "a/b", "A/b", "a", "", "\0", "\n", "x" * 300])
def test_no_name_leads_out_of_the_folder(names: list[str]) -> None:
    """Whatever objects are called.

    Copies lie below the folder, none is another's folder, and no two are the same.
    """
    found = local_names(names)
    folded = [name.casefold() for name in found]
    assert len(set(folded)) == len(names)
    for name in found:
        assert posixpath.normpath(name) == name
        assert not name.startswith(("/", "../"))
        assert name.isprintable()
        assert all(len(part.encode()) <= 255 and part not in (".", "..") for part in name.split("/"))
        assert not any(other.startswith(f"{name.casefold()}/") for other in folded)

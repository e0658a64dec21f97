"""Errors of remote file systems: one sentence, with the URL and the cure."""

from __future__ import annotations

import errno
import sys

import pytest
from fsspec.registry import _registry

from ipinsights.data.remote import staged
from ipinsights.data.remote_errors import remote_errors
from ipinsights.errors import ClientError, RowsError


def refusal_of(url: str) -> str:
    """Return the message that an input is refused with."""
    with pytest.raises(ClientError) as caught, staged(url):
        pass
    return str(caught.value)


def sentence_for(error: Exception, url: str = "s3://me:secret@b/k", done: str = "written") -> str:
    """Return the message that an error becomes."""
    with pytest.raises(ClientError) as caught, remote_errors(url, done):
        raise error
    return str(caught.value)


def test_what_a_file_system_raises_is_one_sentence() -> None:
    """Passwords are not shown, and of a long text the first line is."""
    assert sentence_for(FileNotFoundError("b")) == "There is no file or folder s3://b/k."
    assert sentence_for(PermissionError("Forbidden")) == (
        "s3://b/k cannot be written: access is denied. Check the credentials and their rights."
    )
    assert sentence_for(OSError(errno.ENOSPC, "No space left on device")) == (
        "s3://b/k cannot be written: No space left on device."
    )
    assert sentence_for(ValueError("first line of s3://me:secret@b/k.\nsecond")) == (
        "s3://b/k cannot be written: first line of s3://b/k."
    )
    assert sentence_for(TimeoutError()) == "s3://b/k cannot be written: TimeoutError."


def test_our_own_errors_stay() -> None:
    """Errors of this package are raised unchanged."""
    error = RowsError("row 1")
    with pytest.raises(RowsError) as caught, remote_errors("s3://b/k", "read"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    ("url", "package"),
    [("s3://b/k", "s3fs"), ("gs://b/k", "gcsfs"), ("http://b/k", "aiohttp"), ("abfs://b/k", "adlfs")],
)
def test_a_missing_package_is_named(url: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the command that installs the package."""
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(_registry, url.partition("://")[0], raising=False)
    assert refusal_of(url) == (
        f"{url} cannot be read: the package {package} is missing. Install it: pip install {package}."
    )


def test_an_unknown_protocol_is_refused() -> None:
    """What fsspec does not know cannot be installed."""
    assert refusal_of("foo://b/k") == "foo://b/k cannot be read: Protocol not known: foo."


def test_a_missing_fsspec_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names fsspec if it is missing, whatever the protocol."""
    monkeypatch.setitem(sys.modules, "fsspec", None)
    assert refusal_of("s3://b/k") == (
        "s3://b/k cannot be read: the package fsspec is missing. Install it: pip install fsspec."
    )

"""Errors of remote file systems, each in one sentence about the URL."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from ipinsights.data.remote_names import is_web, protocol, shown_url
from ipinsights.errors import ClientError, IPInsightsError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["remote_errors"]

_PACKAGES = {
    "s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "http": "aiohttp", "https": "aiohttp",
    "abfs": "adlfs", "abfss": "adlfs", "az": "adlfs",
}  # fmt: skip
_DENIED, _MISSING = (401, 403), (None, 404, 410)


@contextlib.contextmanager
def remote_errors(url: str, done: str) -> Iterator[None]:
    """Raise whatever a remote file system raises as a ClientError of one sentence about the URL.

    >>> with remote_errors("s3://bucket/train.csv", "read"):
    ...     raise PermissionError
    Traceback (most recent call last):
    ipinsights.errors.ClientError: s3://bucket/train.csv cannot be read: access is denied. Check the credentials ...
    """
    try:
        yield
    except IPInsightsError:
        raise
    except Exception as error:  # noqa: BLE001 - each package has errors of its own
        raise ClientError(_reason(error, url, done)) from None


def _reason(error: Exception, url: str, done: str) -> str:
    name = shown_url(url)
    if isinstance(error, ImportError):
        return f"{name} cannot be {done}: {_missing(error, url)}"
    status = _status(error)
    if isinstance(error, PermissionError) or status in _DENIED:
        return f"{name} cannot be {done}: access is denied. Check the credentials and their rights."
    if isinstance(error, FileNotFoundError):
        if not is_web(url) or (status in _MISSING and not isinstance(error.__cause__, OSError)):
            return f"There is no file or folder {name}."
        answer = "does not answer" if status is None else f"answers with status {status}"
        return f"{name} cannot be {done}: the server {answer}."
    text = (getattr(error, "strerror", None) or str(error) or type(error).__name__).partition("\n")[0]
    return f"{name} cannot be {done}: {text.replace(url, name).rstrip('.')}."


def _missing(error: ImportError, url: str) -> str:
    package = error.name if error.name == "fsspec" else _PACKAGES.get(protocol(url), error.name)
    if package is None:
        return f"{str(error).rstrip('.')}."
    return f"the package {package} is missing. Install it: pip install {package}."


def _status(error: BaseException | None) -> int | None:
    """Return the status of the HTTP response behind an error."""
    while error is not None:
        if hasattr(error, "status"):
            return int(error.status)
        error = error.__cause__ or error.__context__
    return None

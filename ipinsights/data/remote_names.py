"""Names of remote files and folders, and of their local copies in messages."""

from __future__ import annotations

import os
import re
from urllib.parse import quote

__all__ = ["as_given", "call_copy", "is_remote", "is_web", "local_names", "protocol", "shown_url"]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_USER = re.compile(r"(?<=://)[^/@?#]*@")
# File systems allow 255 bytes in a name, and an escape takes three.
_LONGEST_PLAIN, _KEPT_OF_LONG = 200, 60
_urls: dict[str, str] = {}


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is a URL, such as ``s3://BUCKET/KEY``.

    >>> is_remote("s3://bucket/train.csv"), is_remote("train.csv")
    (True, False)
    """
    return isinstance(path, str) and _URL.match(path) is not None


def protocol(url: str) -> str:
    """Return the protocol of a URL.

    >>> protocol("S3://bucket/train.csv")
    's3'
    """
    return url.partition("://")[0].lower()


def is_web(url: str) -> bool:
    """Return whether a URL is on a web server.

    >>> is_web("https://example.org/train.csv")
    True
    """
    return protocol(url) in ("http", "https")


def shown_url(url: str) -> str:
    """Return a URL for messages, without its password and its query.

    >>> shown_url("https://me:secret@example.org/train.csv?X-Amz-Signature=1f")
    'https://example.org/train.csv'
    """
    return _USER.sub("", url.partition("?")[0] if is_web(url) else url)


def call_copy(path: str | os.PathLike[str], url: str | None) -> None:
    """Set the URL that messages name instead of a local copy. None ends that."""
    _urls.pop(os.fspath(path), None)
    if url is not None:
        _urls[os.fspath(path)] = shown_url(url).rstrip("/")


def as_given(text: str) -> str:
    """Return a text with URLs instead of their local copies."""
    for path, url in _urls.items():
        text = text.replace(path, url)
    return text


def local_names(names: list[str]) -> list[str]:
    """Return distinct relative paths for objects, none of which leads out of their folder.

    Anybody who may write to a bucket chooses the names of its objects.

    >>> local_names(["day=1/part-0.csv", "../../etc/passwd", "a", "a/b"])
    ['day=1/part-0.csv', '%2E%2E/%2E%2E/etc/passwd', 'a%', 'a/b']
    """
    parts = [[_local_part(part) for part in name.split("/") if part] or ["object"] for name in names]
    # Some file systems take upper and lower case for the same.
    folders = {"/".join(path[:end]).casefold() for path in parts for end in range(1, len(path))}
    taken: set[str] = set()
    found = []
    for path in parts:
        name = "/".join(path)
        while name.casefold() in folders or name.casefold() in taken:
            name += "%"
        taken.add(name.casefold())
        found.append(name)
    return found


def _local_part(part: str) -> str:
    if part in (".", ".."):
        return part.replace(".", "%2E")
    if len(part.encode("utf-8", "surrogatepass")) <= _LONGEST_PLAIN and part.isprintable() and "\\" not in part:
        return part
    escaped = quote(part, safe="", errors="surrogatepass")
    if len(escaped) <= _LONGEST_PLAIN:
        return escaped
    import hashlib

    digest = hashlib.blake2b(part.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{escaped[:_KEPT_OF_LONG]}%{digest}"

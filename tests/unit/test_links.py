"""Every relative link of a Markdown page leads to a file of the repository and, within it, to a heading."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for place in ("*.md", "docs/**/*.md", "docker/*.md")
    for page in ROOT.glob(place)
    if "_build" not in page.parts
)
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def prose(page: Path) -> str:
    """Give a page's text without its blocks of code."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Give what a link may name after the hash, as GitHub and MyST make it of headings."""
    headings = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(prose(page)))
    return {heading.strip().replace(" ", "-") for heading in headings}


def is_broken(link: str, page: Path) -> bool:
    """Tell whether a link of a page leads nowhere; links to other sites are taken on trust."""
    if "://" in link or link.startswith("mailto:"):
        return False
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    return not target.exists() or (bool(anchor) and anchor not in anchors(target))


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    """A page has no broken link to a file or a heading of this repository."""
    page = ROOT / name
    assert [link for link in _LINK.findall(prose(page)) if is_broken(link, page)] == []


def test_broken_links_are_seen(tmp_path: Path) -> None:
    """A missing file and a missing heading are told from those that are there, and code is not looked at."""
    (tmp_path / "other.md").write_text("# What it's for\n", encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text("[a](other.md#what-its-for) [b](gone.md) [c](other.md#gone)\n```\n[d](x)\n```\n", encoding="utf-8")
    assert [link for link in _LINK.findall(prose(page)) if is_broken(link, page)] == ["gone.md", "other.md#gone"]

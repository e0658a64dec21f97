"""Links of Markdown pages: local files and headings exist, and external links are listed."""

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
# Looked at by hand, because no test needs a network: what is not listed here is not on a page.
ELSEWHERE = {
    "https://arxiv.org/abs/1412.6980",
    "https://keepachangelog.com",
    "https://pandas.pydata.org/docs/reference/api/pandas.util.hash_array.html",
    "https://papers.nips.cc/paper/4443-algorithms-for-hyper-parameter-optimization",
    "https://papers.nips.cc/paper/5477-neural-word-embedding-as-implicit-matrix-factorization",
    "https://proceedings.mlr.press/v9/gutmann10a.html",
    "https://semver.org",
}
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def prose(page: Path) -> str:
    """Return the text of a page without its code blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    headings = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(prose(page)))
    return {heading.strip().replace(" ", "-") for heading in headings}


def is_broken(link: str, page: Path) -> bool:
    """Return whether a link of a page is broken.

    External links count as valid.
    """
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


def test_links_to_other_sites_are_those_that_were_looked_at() -> None:
    """External links are exactly the listed ones, use HTTPS and end without punctuation."""
    links = {link for name in PAGES for link in _LINK.findall(prose(ROOT / name)) if "://" in link}
    assert links == ELSEWHERE
    assert all(re.fullmatch(r"https://[\w.-]+\.\w+(/[\w./-]*[\w/])?", link) for link in links)


def test_broken_links_are_seen(tmp_path: Path) -> None:
    """A missing file and a missing heading are reported, and code is not checked."""
    (tmp_path / "other.md").write_text("# What it's for\n", encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text("[a](other.md#what-its-for) [b](gone.md) [c](other.md#gone)\n```\n[d](x)\n```\n", encoding="utf-8")
    assert [link for link in _LINK.findall(prose(page)) if is_broken(link, page)] == ["gone.md", "other.md#gone"]

"""Date the changelog and tag the version of a release, after ``make check``.

The version is that of ``ipinsights/__init__.py``.
"""

from __future__ import annotations

import argparse
import datetime as dt
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
_HEADING = "## Unreleased\n"


def main() -> None:
    """Check that a release is possible, and make it unless ``--check`` is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only check that a release is possible")
    is_check = parser.parse_args().check
    version = _version()
    changelog = ROOT / "CHANGELOG.md"
    dated = date_changelog(changelog.read_text(encoding="utf-8"), version, dt.datetime.now(dt.timezone.utc).date())
    _check_repository(version)
    if is_check:
        return
    changelog.write_text(dated, encoding="utf-8")
    _git("commit", "--quiet", "--all", "--message", f"release: date the changelog of version {version}")
    _git("tag", "--annotate", f"v{version}", "--message", f"ipinsights {version}")
    print(f"Tagged v{version}.")


def date_changelog(text: str, version: str, day: dt.date) -> str:
    """Return the changelog with the unreleased section under a version and a date.

    Raises
    ------
    SystemExit
        The section is missing or empty, or the version has a section already.
    """
    _, heading, rest = text.partition(_HEADING)
    section = rest.partition("\n## ")[0]
    if not heading or not section.strip():
        raise SystemExit("CHANGELOG.md has nothing under '## Unreleased': describe the release there.")
    if re.search(rf"^## {re.escape(version)}\b", text, re.MULTILINE):
        raise SystemExit(f"CHANGELOG.md has a section for {version} already: set the next version.")
    return text.replace(_HEADING, f"{_HEADING}\n## {version} - {day.isoformat()}\n", 1)


def _version() -> str:
    found = re.search(r'^__version__ = "([^"]+)"$', (ROOT / "ipinsights" / "__init__.py").read_text(), re.MULTILINE)
    assert found is not None
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    if cited is None or cited[1] != found[1]:
        raise SystemExit(f"CITATION.cff must name version {found[1]}, as ipinsights/__init__.py does.")
    return found[1]


def _check_repository(version: str) -> None:
    if _git("status", "--porcelain", "--untracked-files=no"):
        raise SystemExit("The work tree has changes: commit them before a release.")
    if _git("tag", "--list", f"v{version}"):
        raise SystemExit(f"The tag v{version} exists already: set the next version.")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603, S607
    return done.stdout


if __name__ == "__main__":
    main()

"""What a release changes, and which subjects of commits are accepted."""

from __future__ import annotations

import datetime as dt
import runpy
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOOK = ROOT / ".githooks" / "commit-msg"
DAY = dt.date(2026, 12, 1)
date_changelog = runpy.run_path(str(ROOT / "scripts" / "release.py"))["date_changelog"]


class TestChangelog:
    """The changelog of a release."""

    def test_the_unreleased_section_gets_version_and_date(self) -> None:
        """An empty section for the next release stands above it."""
        text = "# Changelog\n\n## Unreleased\n\n- New.\n\n## 0.1.0 - 2026-01-01\n\n- Old.\n"
        assert date_changelog(text, "0.2.0", DAY) == (
            "# Changelog\n\n## Unreleased\n\n## 0.2.0 - 2026-12-01\n\n- New.\n\n## 0.1.0 - 2026-01-01\n\n- Old.\n"
        )

    @pytest.mark.parametrize(
        "text", ["# Changelog\n", "## Unreleased\n", "## Unreleased\n\n## 0.1.0 - 2026-01-01\n\n- Old.\n"]
    )
    def test_an_empty_section_is_refused(self, text: str) -> None:
        """A release has changes, and they are described."""
        with pytest.raises(SystemExit) as caught:
            date_changelog(text, "0.2.0", DAY)
        assert str(caught.value) == "CHANGELOG.md has nothing under '## Unreleased': describe the release there."

    def test_a_released_version_is_refused(self) -> None:
        """The section of a version is written once."""
        with pytest.raises(SystemExit) as caught:
            date_changelog("## Unreleased\n\n- New.\n\n## 0.1.0 - 2026-01-01\n", "0.1.0", DAY)
        assert str(caught.value) == "CHANGELOG.md has a section for 0.1.0 already: set the next version."


class TestSubject:
    """The hook that `make install` sets up in a clone."""

    @pytest.mark.parametrize(
        "subject",
        [
            "training: resume from the newest whole checkpoint",
            "docs, tests: show what is printed",
            "data/files.py: open files once",
            "a: " + "x" * 69,
            "fixup! anything",
            'Revert "training: resume"',
        ],
    )
    def test_accepted(self, tmp_path: Path, subject: str) -> None:
        """A component and a summary, or a commit of git's own."""
        message = tmp_path / "message"
        message.write_text(f"{subject}\n\nA body of any length.{'x' * 100}\n", encoding="utf-8")
        assert subprocess.run([HOOK, message], capture_output=True, check=False).returncode == 0

    def test_without_component(self, tmp_path: Path) -> None:
        """The message shows the form, the subject and an example."""
        message = tmp_path / "message"
        message.write_text("Resume training\n", encoding="utf-8")
        done = subprocess.run([HOOK, message], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (
            1,
            "The subject of a commit must be 'component: imperative summary', and is 'Resume training'.\n"
            "For example: 'training: resume from the newest whole checkpoint'.\n",
        )

    def test_too_long(self, tmp_path: Path) -> None:
        """The message says how long the subject is, in characters and not in bytes."""
        message = tmp_path / "message"
        message.write_text("a: " + "é" * 70 + "\n", encoding="utf-8")
        done = subprocess.run([HOOK, message], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (
            1,
            f"The subject of a commit must have at most 72 characters, and has 73: 'a: {'é' * 70}'.\n",
        )

"""Text of others on terminals, in Markdown and in HTML: nothing in it acts."""

from __future__ import annotations

import doctest
import json
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ipinsights.cli import cli
from ipinsights.config.hyperparameters import Hyperparameters
from ipinsights.model.artifact import parameter_shapes
from ipinsights.model.bloom import BloomFilter
from ipinsights.reporting import plain_text
from ipinsights.reporting.plain_text import html_text, markdown_text, one_line, printable

from .small_model import save

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "\x1b]0;title\x07\x1b[31m\u202e\x9b\u200b<script>alert(1)</script>\r\n[a](javascript:b) `c` | d"
VALUES = Hyperparameters(num_entity_vectors=10, vector_dim=6)


class TestTexts:
    """The four functions."""

    def test_examples(self) -> None:
        """The examples of the docstrings are right."""
        assert doctest.testmod(plain_text).failed == 0

    @given(st.text())
    def test_nothing_is_left_that_acts(self, text: str) -> None:
        """Any text becomes printable, and one line where that is needed."""
        assert one_line(text).isprintable()
        assert printable(text).replace("\n", "").replace("\t", "").isprintable()
        assert markdown_text(text).isprintable()
        assert "<" not in markdown_text(text) + html_text(text)

    @given(st.text(st.characters(categories=["L", "N", "P", "Zs"], exclude_characters="\\|[]`<&>\"'"), min_size=1))
    def test_ordinary_text_stays_as_it_is(self, text: str) -> None:
        """Printable text of any script is unchanged."""
        words = " ".join(text.split()) or "x"
        assert printable(words) == one_line(words) == markdown_text(words) == html_text(words) == words

    def test_a_hostile_text(self) -> None:
        """Each character is shown, and does nothing."""
        assert one_line(HOSTILE) == (
            r"\x1b]0;title\x07\x1b[31m\u202e\x9b\u200b<script>alert(1)</script>\r\n[a](javascript:b) `c` | d"
        )
        assert markdown_text("\x1b[a](b)<i>\n`c`|") == r"\\x1b[a\](b)&lt;i> \`c\`\|"
        assert html_text("\x1b<i>&") == r"\x1b&lt;i&gt;&amp;"


class TestInspect:
    """`ipinsights inspect` of a stranger's model."""

    @pytest.mark.parametrize("place", ["data_fingerprint", "versions", "a new name"])
    def test_no_character_reaches_the_terminal(self, tmp_path: Path, place: str) -> None:
        """Names and values are shown on a line each, with escapes."""
        params = {name: np.zeros(shape, dtype=np.float32) for name, shape in parameter_shapes(VALUES).items()}
        training = {"versions": {HOSTILE: HOSTILE}} if place == "versions" else {place: HOSTILE, HOSTILE: 1}
        nobody = BloomFilter(np.zeros(10, dtype=np.uint8))
        path = save(
            tmp_path, params=params, symbol="{}", known_entities=nobody, hyperparameters=VALUES, training=training
        )
        shown = CliRunner().invoke(cli, ["inspect", str(path)]).output
        assert shown.replace("\n", "").isprintable()
        assert one_line(HOSTILE) in shown
        as_json = CliRunner().invoke(cli, ["inspect", "--json", str(path)]).output
        assert json.loads(as_json)["training"] == training

    def test_a_message_about_it(self, tmp_path: Path) -> None:
        """A refusal quotes what the model says of itself."""
        path = tmp_path / "model_algo-1"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("meta.json", json.dumps({"format_version": HOSTILE}))
        result = CliRunner().invoke(cli, ["inspect", str(path)])
        assert HOSTILE in str(result.exception)
        assert printable(str(result.exception)).replace("\n", "").isprintable()

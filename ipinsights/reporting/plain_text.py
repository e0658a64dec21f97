r"""Text of others, made safe for what shows it: terminals, logs, Markdown and HTML.

A model, a log or a name of a file may be a stranger's. A control character in it can rewrite what a terminal has shown,
and a mark of direction can reorder it. So they are shown as escapes, ``\x1b`` for one.
"""

from __future__ import annotations

import re

__all__ = ["counted", "html_text", "markdown_text", "one_line", "preformatted", "printable", "shortened"]

_LONGEST_SHOWN = 60

# A closing bracket makes a link only in front of one of three characters, so intervals such as [0, 1] stay readable.
_MARKDOWN = re.compile(r"[\\|`]|\](?=[(\[:])")


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """Return a number with its noun.

    >>> counted(1, "row"), counted(2000, "entity", "entities")
    ('1 row', '2,000 entities')
    """
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def printable(text: str, *, kept: str = "\n\t") -> str:
    r"""Return a text with every character that cannot be seen as an escape.

    >>> printable("\x1b[31mred\n")
    '\\x1b[31mred\n'
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in kept else ascii(character)[1:-1] for character in text
    )


def one_line(value: object) -> str:
    r"""Return a value as text on one line, see :func:`printable`.

    >>> one_line("a\nb")
    'a\\nb'
    """
    return printable(str(value), kept="")


def shortened(text: str) -> str:
    """Return a text that is shown in a message, without what is behind its first 60 characters.

    >>> shortened("a" * 61) == "a" * 60 + "..."
    True
    """
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def markdown_text(value: object) -> str:
    r"""Return a value as text that Markdown shows as it is, on one line.

    >>> markdown_text("[a](b) | <i>")
    '[a\\](b) \\| &lt;i>'
    """
    text = printable(str(value), kept="\n").replace("\n", " ").strip()
    return _MARKDOWN.sub(r"\\\g<0>", text).replace("<", "&lt;")


def html_text(value: object) -> str:
    """Return a value as text that HTML shows as it is.

    >>> html_text("<i>")
    '&lt;i&gt;'
    """
    import html  # a table of all entities comes with it, which few commands need

    return html.escape(printable(str(value)))


def preformatted(text: str) -> str:
    """Return HTML that shows a text of several lines as a terminal does.

    >>> preformatted("a < b")
    '<pre>a &lt; b</pre>'
    """
    return f"<pre>{html_text(text)}</pre>"

"""Domains: sets of values of a hyperparameter, with a description and a parser of texts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

__all__ = ["LARGEST_INTEGER", "AutoOrNumber", "Choice", "Domain", "Number", "Text", "TooLargeError"]

LARGEST_INTEGER = 2**31 - 1
"""Largest value of a number without an upper end: SageMaker's specification has no open ranges."""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)


class TooLargeError(ValueError):
    """A number without an upper end is above :data:`LARGEST_INTEGER`."""


@dataclass(frozen=True)
class Number:
    """Values from an interval, its ends included."""

    # Integers may be written as ``1e4``, since their value is what counts.
    type: type[int | float]
    low: float
    # None is :data:`LARGEST_INTEGER`, which the text leaves out.
    high: float | None = None

    def __str__(self) -> str:
        name = "an integer" if self.type is int else "a number"
        if self.high is None:
            return f"{name}, at least {self.low}"
        return f"{name} from {self.low} to {self.high}"

    def parse(self, text: str) -> float:
        """Parse a finite number of this type within the interval, or raise a ValueError.

        It is a :class:`TooLargeError` if the number is above an end that is not named.
        """
        if not _NUMBER.fullmatch(text):
            raise ValueError(text)
        value = Decimal(text)
        if value < Decimal(str(self.low)) or (self.high is not None and value > Decimal(str(self.high))):
            raise ValueError(text)
        if self.high is None and value > LARGEST_INTEGER:
            raise TooLargeError(text)
        if self.type is int and value != value.to_integral_value():
            raise ValueError(text)
        return self.type(value)


@dataclass(frozen=True)
class AutoOrNumber:
    """``auto``, which parses to None, or an integer of at least ``low``."""

    low: int

    def __str__(self) -> str:
        return f"'auto' or {Number(int, self.low)}"

    def parse(self, text: str) -> float | None:
        """Parse an integer or "auto", which is None. Any other text is a ValueError."""
        return None if text == "auto" else Number(int, self.low).parse(text)


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def __str__(self) -> str:
        return "one of " + ", ".join(f"'{word}'" for word in self.words)

    def parse(self, text: str) -> str:
        """Return the text itself. A text that is not among the words is a ValueError."""
        if text not in self.words:
            raise ValueError(text)
        return text


@dataclass(frozen=True)
class Text:
    """Any text at all."""

    def __str__(self) -> str:
        return "a text"

    def parse(self, text: str) -> str:
        """Return the text itself."""
        return text


Domain = Number | AutoOrNumber | Choice | Text

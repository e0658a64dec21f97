"""Comparisons of runs as JUnit XML, which continuous integration shows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ipinsights.runs.run_comparison import Judgement, RunComparison

__all__ = ["junit_xml"]

# What XML 1.0 cannot hold at all, not even escaped.
_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(comparisons: Mapping[str, RunComparison | str]) -> bytes:
    """Return JUnit XML with a suite per candidate and a case per judgement.

    A text in place of a comparison is the reason why the candidate was not compared.

    A regression is a failure, an unreadable log an error, and what is not judged is skipped.
    """
    root = ET.Element("testsuites", name="ipinsights compare_runs")
    for name, comparison in comparisons.items():
        suite = ET.SubElement(root, "testsuite", name=_text(name))
        if isinstance(comparison, str):
            case = ET.SubElement(suite, "testcase", classname=_text(name), name="log is readable")
            ET.SubElement(case, "error", message=_text(comparison))
        else:
            for judgement in comparison.judgements:
                _add_case(suite, name, judgement)
        for attribute, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"),
                               ("skipped", "skipped")):  # fmt: skip
            suite.set(attribute, str(len(list(suite.iter(tag)))))
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _add_case(suite: ET.Element, name: str, judgement: Judgement) -> None:
    case = ET.SubElement(suite, "testcase", classname=_text(name), name=judgement.name)
    if judgement.verdict.is_regression:
        ET.SubElement(case, "failure", message=_text(_sentence(judgement)), type=judgement.verdict.name)
    elif judgement.allowed is None and judgement.verdict.name == "NOT_JUDGED":
        ET.SubElement(case, "skipped", message=_text(_sentence(judgement)))


def _sentence(judgement: Judgement) -> str:
    numbers = f"baseline {judgement.baseline}, candidate {judgement.candidate}"
    allowed = "" if judgement.allowed is None else f", may be worse by {judgement.allowed:g}"
    return f"{judgement.name} {judgement.verdict.value}: {numbers}{allowed}" + (
        f" ({judgement.reason})" if judgement.reason else ""
    )


def _text(text: str) -> str:
    return _FORBIDDEN.sub("?", text)

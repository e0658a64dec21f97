"""Code blocks of the pages: each is valid, and is run by a named test or says why not."""

from __future__ import annotations

import ast
import itertools
import json
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
import yaml

from ipinsights.cli import cli
from ipinsights.config.hyperparameter_table import TABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for place in ("*.md", "docs/**/*.md", "docker/*.md")
    for page in ROOT.glob(place)
    if "_build" not in page.parts and "python" not in page.parts
)
LANGUAGES = ("console", "json", "python", "sh", "text", "toml", "yaml")
# Blocks that Sphinx replaces by something else than text of a file.
DIRECTIVES = ("{eval-rst}", "{include}", "{toctree}")

_FENCE = re.compile(r"^( *)(`{3,}|~{3,})(\S*) *(.*)$")
_MARKER = re.compile(r"<!-- (checked by|not run): (.+) -->")
_PAGE_MARKER = re.compile(r"^<!-- every (\w+) block checked by: (.+) -->$", re.MULTILINE)
_INLINE = re.compile(r"`(ipinsights [a-z]+ [^`]+)`")
_HERE_DOCUMENT = re.compile(r"<<-?'?(\w+)'?")
# What may stand before a command of ours: the first words of these start another program.
_STARTERS = re.compile(r"^(?:(?:exec|do|then|srun|time)\b(?: --?\S+)* |docker run .* (?=ipinsights [a-z]))")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes
    ----------
    page
        Its page.
    line
        Number of the line with the fence, from 1.
    kind
        Language or directive.
    argument
        Text behind the language or directive.
    text
        Content.
    above
        Line above the fence.
    """

    page: Path
    line: int
    kind: str
    argument: str
    text: str
    above: str

    @property
    def place(self) -> str:
        """Return the page and the line."""
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"

    @property
    def included(self) -> Path | None:
        """Return the file that is shown, if the block shows one."""
        return self.page.parent / self.argument if self.kind == "{literalinclude}" else None

    @property
    def language(self) -> str:
        """Return the language, or "file" for a file that is shown."""
        return "file" if self.kind == "{literalinclude}" else self.kind

    @property
    def checkers(self) -> list[str]:
        """Return the tests that the block or its page names."""
        found = _MARKER.fullmatch(self.above)
        if found:
            return found[2].split(", ") if found[1] == "checked by" else []
        tests = dict(_PAGE_MARKER.findall(self.page.read_text(encoding="utf-8"))).get(self.language)
        return tests.split(", ") if tests else []

    @property
    def is_marked(self) -> bool:
        """Return whether a test or a reason for none is named."""
        return bool(_MARKER.fullmatch(self.above) or self.checkers)


def blocks_of(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), start=1))
    above = ""
    for number, line in lines:
        fence = _FENCE.match(line)
        if fence:
            content = itertools.takewhile(lambda rest: rest[1].strip() != fence[2], lines)  # noqa: B023 - used at once
            text = "".join(f"{rest}\n" for _, rest in content)
            yield Block(page, number, fence[3], fence[4], text, above.strip())
        above = line


def commands_typed(text: str) -> str:
    """Return what is typed in a console block, without what it prints."""
    typed, is_continued, end = [], False, ""
    for line in text.splitlines():
        if line.startswith("$ ") or is_continued or end:
            command = line.removeprefix("$ ") if not (is_continued or end) else line
            typed.append(command)
            opened = _HERE_DOCUMENT.search(command)
            end = opened[1] if opened else "" if line == end else end
            is_continued = command.endswith("\\")
    return "".join(f"{line}\n" for line in typed)


def shell_of(block: Block) -> str:
    """Return the shell commands of a block, empty if it has none."""
    if block.kind == "sh":
        return block.text
    if block.kind == "console":
        return commands_typed(block.text)
    included = block.included
    return included.read_text(encoding="utf-8") if included and included.suffix == ".sh" else ""


def simple_commands(script: str) -> Iterator[list[str]]:
    """Yield the words of the commands of a script, without operators and redirections."""
    script = script.replace("\\\n", " ").replace("$(", "; ").replace("if !", "; ").replace("if ", "; ")
    for line in script.splitlines():
        try:
            tokens = list(shlex.shlex(line, posix=True, punctuation_chars=True))
        except ValueError:  # a line of a text that goes on
            continue
        for is_operator, group in itertools.groupby(tokens, lambda token: set(token) <= set("();<>|&")):
            if not is_operator:
                yield list(group)


def own_commands(script: str) -> Iterator[list[str]]:
    """Yield the words after ``ipinsights`` of each command of ours."""
    for words in simple_commands(script):
        line = shlex.join(words)
        while (found := _STARTERS.match(line)) is not None:
            line = line[found.end() :]
        program, *arguments = shlex.split(line) or [""]
        if program == "ipinsights" or program.endswith("/ipinsights"):
            yield arguments


def fault_of(arguments: list[str]) -> str | None:
    """Return what is wrong with a command of ours: its name, an option or a hyperparameter."""
    name = arguments[0] if arguments else ""
    if name == "--version":
        return None
    command = cli.commands.get(name)
    if command is None:
        return f"no command: {name}"
    context = click.Context(command, info_name=name)
    try:
        values, _, order = command.make_parser(context).parse_args(arguments[1:])
    except click.NoSuchOption as error:
        return f"{name}: no option {error.option_name}"
    except click.UsageError as error:
        return f"{name}: {error.message}"
    old = [parameter.opts for parameter in order if isinstance(parameter, click.Option) and parameter.hidden]
    if old:
        return f"{name}: old option {old[0][0]}"
    known = {row.name for row in TABLE}
    given = [assignment.partition("=")[0] for assignment in values.get("assignments") or ()]
    unknown = [assignment for assignment in given if assignment not in known]
    return f"{name}: no hyperparameter {unknown}" if unknown else None


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
CODE = [block for block in BLOCKS if block.kind not in DIRECTIVES]


def of_kind(*kinds: str) -> list[Block]:
    """Return the blocks of languages, at least one of each."""
    found = [block for block in CODE if block.kind in kinds]
    assert {block.kind for block in found} == set(kinds)
    return found


def test_every_block_names_its_language() -> None:
    """A fence names one of the languages of the site, or shows a file."""
    assert [block.place for block in CODE if block.kind not in (*LANGUAGES, "{literalinclude}")] == []


def test_every_block_names_its_test_or_why_there_is_none() -> None:
    """The comment above a block, or one of its page, names the test that runs or checks it."""
    assert [block.place for block in CODE if not block.is_marked] == []


def test_named_tests_exist_and_read_the_page() -> None:
    """A named test is in its file, and that file names the page or the file that is shown."""
    wrong = []
    for block in CODE:
        for node in block.checkers:
            path, _, name = node.partition("::")
            text = (ROOT / path).read_text(encoding="utf-8") if (ROOT / path).is_file() else ""
            defined = {getattr(found, "name", None) for found in ast.walk(ast.parse(text))}
            names = [block.page.name, *([block.included.name] if block.included else [])]
            if not set(name.split("::")) <= defined or not any(shown in text for shown in names):
                wrong.append((block.place, node))
    assert wrong == []


def test_marks_of_pages_are_used() -> None:
    """A page that marks all blocks of a language has some."""
    kinds = {page: {block.language for block in CODE if block.page == page} for page in PAGES}
    marked = [(page, kind) for page in PAGES for kind, _ in _PAGE_MARKER.findall(page.read_text(encoding="utf-8"))]
    assert [(page.name, kind) for page, kind in marked if kind not in kinds[page]] == []


def test_shell_is_valid() -> None:
    """Bash reads every command, each block as the body of a function."""
    blocks = [block for block in CODE if shell_of(block)]
    assert len(blocks) > 50
    script = "".join(
        f"block_{number}() {{ # {block.place}\n{shell_of(block)}\n}}\n" for number, block in enumerate(blocks)
    )
    read = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    wrong = [script.splitlines()[int(number) - 1] for number in re.findall(r"line (\d+)", read.stderr)]
    assert (read.returncode, read.stderr, wrong) == (0, "", [])


@pytest.mark.parametrize(
    ("kind", "parse"),
    [
        ("python", ast.parse),
        ("json", lambda text: [json.loads(line) for line in ([text] if text.startswith("{\n") else text.splitlines())]),
        ("yaml", lambda text: list(yaml.safe_load_all(text))),
        ("toml", tomllib.loads),
    ],
)
def test_programs_and_data_are_valid(kind: str, parse: Callable[[str], Any]) -> None:
    """Each block is read by the parser of its language. JSON may be a document or lines."""
    for block in of_kind(kind):
        try:
            parse(block.text)
        except (ValueError, SyntaxError, yaml.YAMLError) as error:
            raise AssertionError(block.place) from error


def test_files_that_are_shown_exist() -> None:
    """A file that a page shows is in the repository, with each function that is named."""
    for block in of_kind("{literalinclude}"):
        path = block.included
        assert path is not None
        assert path.is_file(), block.place
        for name in re.findall(r"^:pyobject: (\w+)$", block.text, re.MULTILINE):
            defined = {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
            assert name in defined, block.place


def test_commands_and_options_exist() -> None:
    """Commands of ours in blocks name commands, options and hyperparameters that exist."""
    typed = [(block.place, words) for block in CODE for words in own_commands(shell_of(block))]
    assert len(typed) > 60
    assert [(place, fault) for place, words in typed if (fault := fault_of(words))] == []


def test_commands_in_sentences_exist() -> None:
    """So do those in sentences and tables, where they may end in dots."""
    typed = [
        (page.name, text)
        for page in PAGES
        if page.name != "CHANGELOG.md"
        for text in _INLINE.findall(page.read_text(encoding="utf-8"))
    ]
    assert len(typed) > 30
    faults = [(name, fault) for name, text in typed for words in own_commands(text) if (fault := fault_of(words))]
    assert faults == []


def test_programs_of_the_repository_exist() -> None:
    """`make` names targets, and `python` names scripts, that are in the repository."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for block in CODE:
        for program, *words in simple_commands(shell_of(block)):
            if program == "make":
                assert words[0] in targets, block.place
            if program.rpartition("/")[2] == "python" and words[0].endswith(".py"):
                assert (ROOT / words[0]).is_file(), block.place


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("ipinsights trane", "no command: trane"),
        ("cat a | ipinsights score - --modeldir b", "score: no option --modeldir"),
        ("ipinsights train --train a \\\n  --model-dir b -H epoch=3 > log", "train: no hyperparameter ['epoch']"),
        ("ipinsights compare a b --json c", "compare: old option --json"),
        ("docker run --rm ipinsights serve --basedir c", "serve: no option --basedir"),
        ("ipinsights score - --model-dir b -H", "score: no option -H"),
        ("systemctl start ipinsights && docker tag ipinsights a", None),
        ("for n in 1 2; do\n  ipinsights train --train $n -H epochs=1\ndone", None),
    ],
)
def test_wrong_commands_are_seen(script: str, fault: str | None) -> None:
    """A wrong name is found wherever a command stands."""
    faults = [found for words in own_commands(script) if (found := fault_of(words))]
    assert faults == ([fault] if fault else [])


def test_blocks_are_found(tmp_path: Path) -> None:
    """A block has its line, its language, its content and its mark."""
    page = tmp_path / "page.md"
    page.write_text("a\n\n<!-- not run: a reason -->\n```sh\nls\n```\n\n```{literalinclude} x.py\n:a: b\n```\n")
    first, second = blocks_of(page)
    assert first == Block(page, 4, "sh", "", "ls\n", "<!-- not run: a reason -->")
    assert (first.is_marked, first.checkers) == (True, [])
    assert (second.included, second.language, second.is_marked) == (tmp_path / "x.py", "file", False)


def test_what_is_typed_is_told_from_what_is_printed() -> None:
    """Continued lines and documents of a shell are typed, what follows is printed."""
    text = "$ cat > a <<END\nb\nEND\n$ a \\\n    b\nc\n"
    assert commands_typed(text) == "cat > a <<END\nb\nEND\na \\\n    b\n"

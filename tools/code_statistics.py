#!/usr/bin/env python3
"""Measure the language and the layout of the source: a table to compare two commits with.

    tools/code_statistics.py [PATH]

PATH is any checkout of this repository; the default is the one that holds this file. Only the
standard library is needed. Source means the ten packages without migrations; tests and tools are
not counted.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGES = (
    *("accounts", "common", "config", "credentials", "egress"),
    *("events", "oauth_apps", "providers", "vault", "webhooks"),
)
QUESTION_WORDS = ("What", "Whether", "How", "Who", "Which", "Where")

Function = ast.FunctionDef | ast.AsyncFunctionDef
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

# "where" that stands for "if": followed by the subject of a clause. It also matches a few relative
# clauses ("the folder where the files are"); other projects are measured with the same expression.
_CONDITIONAL_WHERE = re.compile(
    r"\bwhere (?:it|its|there|a|an|the|that|no|nothing|none|one|they|another|nobody|somebody|each)\b"
)
# The first words of a sentence: at the start of the text, or after the end of another sentence.
_QUESTION = re.compile(rf"(?:^|[.!?]\s+)(?:{'|'.join(QUESTION_WORDS)})\w*\b")
_DIRECTIVE = re.compile(r"#\s*(?:type: ignore|noqa|pragma|!)")
_VENDOR = re.compile(r"\.vendor\b|\bis_(?:postgresql|sqlite)\(")


def split_words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_IRREGULAR = split_words(
    "taken held told given found shown sent kept seen known left lost made written drawn chosen"
    " broken done gone bound built bought brought paid said sold sought spent begun meant spoken"
    " stolen thrown understood worn won hidden forgotten frozen grown laid led lent lit beaten"
    " driven eaten fallen"
)
_NO_PARTICIPLES = frozenset({"need", "seed", "feed", "speed", "red", "embed", "heed"})
# A name that begins with one of these is a question or a command, whatever it ends with.
_LEADING_VERBS = split_words(
    "is has are was may can should any check reject refuse mark take claim delete export clean test"
    " get list find read fetch store keep record require raise set send return register add count"
    " encrypt filter iterate report respond select update write"
)


@dataclass(frozen=True)
class SourceFile:
    path: Path
    text: str
    tree: ast.Module

    def functions(self) -> Iterator[Function]:
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))

    def module_functions(self) -> list[Function]:
        return [node for node in self.tree.body if isinstance(node, Function)]

    def docstrings(self) -> Iterator[str]:
        """Yield every string that stands alone as a statement, also those below attributes."""
        for node in ast.walk(self.tree):
            if (
                isinstance(node, ast.Expr)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            ):
                yield node.value.value.strip()

    def comments(self) -> Iterator[str]:
        """Yield each comment on a line of its own or behind a statement; directives are none."""
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type == tokenize.COMMENT and not _DIRECTIVE.match(token.string):
                yield token.string.lstrip("#: ")

    def code_lines(self) -> int:
        """Count the lines that hold code: neither blank, nor a comment, nor a docstring."""
        lines: set[int] = set()
        skip = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type not in skip and token.type != tokenize.ENDMARKER:
                lines.update(range(token.start[0], token.end[0] + 1))
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                lines.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        return len(lines)

    def references(self) -> Counter[str]:
        """Count the uses of each bare name, definitions and imports not included."""
        return Counter(
            node.id
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
        )

    def called_names(self) -> set[str]:
        """Return the bare names that are called, not those that are passed as a value."""
        calls = (node.func for node in ast.walk(self.tree) if isinstance(node, ast.Call))
        return {function.id for function in calls if isinstance(function, ast.Name)}


def read_source(root: Path) -> list[SourceFile]:
    files = []
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            if "migrations" not in path.relative_to(root).parts:
                text = path.read_text(encoding="utf-8")
                files.append(SourceFile(path.relative_to(root), text, ast.parse(text)))
    return files


def is_participle(name: str) -> bool:
    """Return whether a function's name says what happened instead of what it does."""
    words = name.strip("_").split("_")
    if len(words) > 1 and words[0] in _LEADING_VERBS:
        return False
    last = words[-1]
    return (last.endswith("ed") and last not in _NO_PARTICIPLES) or last in _IRREGULAR


def measure(root: Path) -> list[tuple[str, str]]:
    """Return the rows of the table: what was counted, and the figure."""
    files = read_source(root)
    docstrings = [text for file in files for text in file.docstrings()]
    comments = [text for file in files for text in file.comments()]
    code_lines = sum(file.code_lines() for file in files)
    vendor = {file.path: len(_VENDOR.findall(file.text)) for file in files}
    return [
        *_count_words(docstrings, comments),
        *_count_functions(files),
        ("modules, without __init__", str(sum(f.path.name != "__init__.py" for f in files))),
        ("loose files in credentials/, without __init__", str(len(_loose_files(files)))),
        ("vendor branches", _total_and_files(vendor)),
        ("classes named ...Claim, most with one name", _claims(files)),
        ("comments per 100 code lines", f"{100 * len(comments) / max(code_lines, 1):.1f}"),
        ("Any", str(sum(file.references()["Any"] for file in files))),
        ("longest file, lines", str(max(len(file.text.splitlines()) for file in files))),
        ("lines of source", f"{sum(len(file.text.splitlines()) for file in files):,}"),
        ("... that are code: no comment, docstring or blank line", f"{code_lines:,}"),
    ]


def _count_words(docstrings: list[str], comments: list[str]) -> Iterator[tuple[str, str]]:
    prose = docstrings + comments
    words = sum(len(re.findall(r"[A-Za-z]+", text)) for text in prose)

    def count(pattern: str) -> int:
        word = re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE)
        return sum(len(word.findall(text)) for text in prose)

    def per_10_000(number: int) -> str:
        return f"{number} ({10_000 * number / max(words, 1):.0f} per 10,000 words)"

    yield "words of docstrings and comments", f"{words:,}"
    for label, old, new in (
        ("answer : response", r"answer\w*", r"responses?"),
        ("refuse : reject", r"refus\w*", r"reject\w*"),
        ("tell : notify", r"told|tells?|telling", r"notif\w*"),
        ("trail : audit", r"trails?", r"audit\w*"),
        ("moment : datetime", r"moments?", r"datetimes?|timestamps?"),
    ):
        yield label, f"{count(old)} : {count(new)}"
    questions = sum(len(_QUESTION.findall(text)) for text in docstrings)
    yield (
        "docstring sentences that open with What/Whether/How/Who/Which/Where",
        per_10_000(questions),
    )
    wheres = sum(len(_CONDITIONAL_WHERE.findall(text)) for text in prose)
    yield 'conditional "where"', per_10_000(wheres)


def _count_functions(files: list[SourceFile]) -> Iterator[tuple[str, str]]:
    names = [
        function.name
        for file in files
        for function in file.functions()
        if not function.name.startswith("__")
    ]
    participles = sum(is_participle(name) for name in names)
    private, once, plain, short = 0, 0, 0, 0
    for file in files:
        references = file.references()
        called = file.called_names()
        for function in file.module_functions():
            if function.name.startswith("_"):
                private += 1
                if references[function.name] == 1:
                    once += 1
                    plain += function.name in called and not function.decorator_list
                    short += _body_lines(function) <= 3
    yield "functions", f"{len(names):,}"
    yield "functions named by a participle", f"{participles} ({_percent(participles, len(names))})"
    yield "private module-level functions", str(private)
    yield "... called once in their file", f"{once} ({_percent(once, len(names))} of all functions)"
    yield "... of these by a plain call: not decorated, not passed as a value", str(plain)
    yield "... of these with three lines or fewer", str(short)
    yield "module-level functions used once in all the source", str(_used_once(files))


def _used_once(files: list[SourceFile]) -> int:
    """Count the functions, public or private, whose name is used once in the whole source.

    Decorated functions are left out: their decorator uses them.
    """
    uses: Counter[str] = Counter()
    for file in files:
        uses.update(file.references())
        uses.update(n.attr for n in ast.walk(file.tree) if isinstance(n, ast.Attribute))
    return sum(
        uses[function.name] == 1
        for file in files
        for function in file.module_functions()
        if not function.decorator_list
    )


def _body_lines(function: Function) -> int:
    body = function.body
    if ast.get_docstring(function) is not None:
        body = body[1:]
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def _loose_files(files: Iterable[SourceFile]) -> list[Path]:
    return [
        file.path
        for file in files
        if file.path.parent == Path("credentials") and file.path.name != "__init__.py"
    ]


def _claims(files: Iterable[SourceFile]) -> str:
    names = Counter(
        node.name
        for file in files
        for node in ast.walk(file.tree)
        if isinstance(node, ast.ClassDef) and node.name.endswith("Claim")
    )
    return f"{names.total()}, {max(names.values(), default=0)}"


def _total_and_files(counts: dict[Path, int]) -> str:
    return f"{sum(counts.values())} in {sum(1 for count in counts.values() if count)} files"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.1f} %"


def main(arguments: list[str]) -> None:
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    rows = measure(root)
    width = max(len(label) for label, _ in rows)
    for label, figure in rows:
        print(f"{label:<{width}}  {figure}")


if __name__ == "__main__":
    main(sys.argv[1:])

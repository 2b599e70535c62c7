"""Every regular expression, and every matcher of patterns, takes work that grows with its input alone.

Python's `re` backtracks, and no other thread runs meanwhile: one pattern that backtracks for long
would stop a process for every account. Each is tried with inputs that are made from its own parts.
"""

from __future__ import annotations

import ast
import importlib
import re
import re._parser as regex_parser  # type: ignore[import-not-found]
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from credentials.proxy.path_rules import is_endpoint_blocked, is_path_allowed, matches_pattern
from credentials.proxy.target import decode_fully
from egress.headers import parse_retry_after

ROOT = Path(__file__).resolve().parents[2]
APPS = (
    *("accounts", "common", "config", "credentials", "egress", "events", "oauth_apps"),
    *("providers", "vault", "webhooks"),
)
MINIMUM = 0.004
"""Seconds of CPU. What is faster than this at the largest input cannot be measured, and is harmless."""

MAXIMUM_RATIO = 3.2
"""Of the work for input of twice the length. Linear work has 2, quadratic work 4."""

SIZE = 10_000


class Regex(NamedTuple):
    """A regular expression. `searches`: it is used to search, which starts at each character."""

    place: str
    pattern: re.Pattern[Any]
    searches: bool


SOURCES = {
    path.relative_to(ROOT): path.read_text() for app in APPS for path in (ROOT / app).rglob("*.py")
}


def _find_named_regexes() -> Iterator[Regex]:
    """Yield the regular expressions of the modules' constants."""
    for path, source in sorted(SOURCES.items()):
        if "re.compile(" not in source:
            continue
        module = importlib.import_module(".".join(path.with_suffix("").parts))
        for name in re.findall(r"^(\w+)(?:: [^=\n]+)? = .*", source, re.MULTILINE):
            value = getattr(module, name)
            for regex in value.values() if isinstance(value, dict) else [value]:
                for each in regex if isinstance(regex, tuple) else [regex]:
                    if isinstance(each, re.Pattern):
                        searches = rf"\b({name}|pattern)\.(search|sub|split|find)"
                        yield Regex(f"{path}:{name}", each, bool(re.search(searches, source)))


def _find_inline_regexes() -> Iterator[Regex]:
    """Yield the regular expressions that are applied where they are written."""
    for path, source in sorted(SOURCES.items()):
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, ast.Call):
                continue
            call = re.match(r"re\.(match|fullmatch|search|sub|split|find\w+)\(", ast.unparse(node))
            pattern = node.args[0] if call else None
            if call and isinstance(pattern, ast.Constant):
                searches = call[1] not in {"match", "fullmatch"}
                yield Regex(f"{path}:{call[1]}", re.compile(str(pattern.value)), searches)


def _find_provider_regexes() -> Iterator[Regex]:
    for path in sorted((ROOT / "providers" / "data").glob("*.json")):
        for match in re.finditer(r'"pattern": ("(?:[^"\\]|\\.)*")', path.read_text()):
            yield Regex(path.name, re.compile(orjson.loads(match[1])[1:-1], re.ASCII), False)


REGEXES = [*_find_named_regexes(), *_find_inline_regexes(), *_find_provider_regexes()]


def _build_sample(tree: Any) -> str:
    """Return a short text that the parsed expression would match."""
    text = ""
    for operation, argument in tree:
        name = str(operation)
        if name == "LITERAL":
            text += chr(argument)
        elif name in {"NOT_LITERAL", "ANY"}:
            text += "a"
        elif name == "IN":
            text += _choose(argument)
        elif name == "BRANCH":
            text += _build_sample(argument[1][0])
        elif name == "SUBPATTERN":
            text += _build_sample(argument[-1])
        elif "REPEAT" in name:
            text += _build_sample(argument[2]) * max(1, min(argument[0], 70))
    return text


def _choose(members: Any) -> str:
    """Return a character of a class."""
    for operation, argument in members:
        name = str(operation)
        if name == "LITERAL":
            return chr(argument)
        if name == "RANGE":
            return chr(argument[1])
        if name == "CATEGORY":
            return " " if str(argument).endswith("_SPACE") else "1"
    return "a"


def _build_attacks(regex: re.Pattern[Any]) -> set[tuple[str, str]]:
    """Return pairs of a prefix and a part that, repeated, may make the expression backtrack."""
    pattern = regex.pattern.decode() if isinstance(regex.pattern, bytes) else regex.pattern
    sample = _build_sample(regex_parser.parse(pattern, regex.flags & ~re.UNICODE))[:48]
    ends = [0, *range(0, len(sample), max(1, len(sample) // 12))]
    parts = {sample[start : start + length] for start in ends for length in (1, 2, 4, 8, 48)}
    return {(prefix, part) for prefix in {"", sample[:8]} for part in parts | {" ", "a"} if part}


def _measure(function: Callable[[Any], object], value: Any) -> float:
    """Return the least of four measurements of this thread's CPU time, in seconds."""
    best = 1e9
    for _ in range(4):
        start = time.thread_time()
        function(value)
        best = min(best, time.thread_time() - start)
        if best < MINIMUM / 4:
            break
    return best


def _require_linear(function: Callable[[Any], object], build: Callable[[int], Any]) -> None:
    # Small inputs first: exponential work would not end at the size at which quadratic work shows.
    size = 16
    previous = _measure(function, build(size))
    while size < SIZE:
        size *= 2
        work = _measure(function, build(size))
        if work > MINIMUM:
            assert work <= MAXIMUM_RATIO * max(previous, MINIMUM / 2), f"{size}: {work:.4f} s"
        previous = work


@pytest.mark.parametrize("regex", REGEXES, ids=[regex.place for regex in REGEXES])
def test_the_work_of_a_regular_expression_grows_with_its_input(regex: Regex) -> None:
    pattern = regex.pattern

    def run(value: Any) -> None:
        pattern.fullmatch(value)
        pattern.match(value)
        if regex.searches:
            pattern.sub(value[:0], value)

    for prefix, part in _build_attacks(pattern):

        def build(size: int, prefix: str = prefix, part: str = part) -> Any:
            text = prefix + part * (size // len(part) + 1) + "\x00"
            return text.encode() if isinstance(pattern.pattern, bytes) else text

        _require_linear(run, build)


def test_the_regular_expressions_are_found() -> None:
    places = {regex.place.partition(":")[0] for regex in REGEXES}
    assert len(REGEXES) > 60
    assert {"config/logging.py", "credentials/proxy/target.py", "docusign.json"} <= places
    assert any(regex.place == "config/logging.py:_TOKENS" and regex.searches for regex in REGEXES)


@pytest.mark.parametrize(
    ("function", "build"),
    [
        (lambda size: is_path_allowed("/" + "a" * size, ["/" + "*a" * 127 + "*b"]), int),
        (lambda size: is_path_allowed("/" + "ab" * size, ["/" + "*ab" * 84 + "c"]), int),
        (lambda size: is_endpoint_blocked("GET", "/" + "a" * size, ["* /" + "*a" * 99 + "b"]), int),
        (lambda size: decode_fully("%" + "25" * size + "41"), int),
        (lambda size: decode_fully("%" * size + "32" * size), int),
        (lambda size: parse_retry_after([("retry-after", "1" * size)], maximum=60.0), int),
    ],
    ids=["stars", "pairs", "blocked", "layers", "nested", "retry"],
)
def test_the_work_of_a_matcher_grows_with_its_input(
    function: Callable[[int], object], build: Callable[[int], int]
) -> None:
    _require_linear(function, build)


def test_a_pattern_with_many_stars_is_matched_at_once() -> None:
    pattern, text = "/" + "*a" * 120 + "b", "/" + "a" * 4_000
    start = time.thread_time()
    assert not matches_pattern(text, pattern)
    assert time.thread_time() - start < 0.01


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("/a", "/a", True),
        ("/a", "/ab", False),
        ("/a*", "/a", True),
        ("/a*a", "/a", False),
        ("/a*a", "/aa", True),
        ("/*b*c", "/abxc", True),
        ("/*bc*c", "/abc", False),
        ("/*ab*ab", "/abab", True),
        ("/*ab*bc", "/abc", False),
        ("*", "", True),
        ("**", "a\nb", True),
        ("/v1/*/x/*", "/v1/a/b/x/", True),
        ("/v1/.+", "/v1/aa", False),
    ],
)
def test_a_star_matches_any_run_of_characters(pattern: str, text: str, matches: bool) -> None:
    assert matches_pattern(text, pattern) is matches


def test_matching_agrees_with_a_regular_expression() -> None:
    texts = [format(n, "b")[1:] for n in range(2, 256)]
    for number in range(3**5):
        pattern = "".join("01*"[number // 3**place % 3] for place in range(5))
        regex = re.compile(".*".join(pattern.split("*")))
        for text in texts:
            assert matches_pattern(text, pattern) is bool(regex.fullmatch(text)), (pattern, text)

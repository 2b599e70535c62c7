"""Names and docstrings use the words of the field (docs/glossary.md, CONTRIBUTING.md "Style").

The rules are few and mechanical, so that they can be held: a name that is a participle says nothing
about what a function does, and a docstring that begins with a question or an article hides it. Ordinary
verbs are free: only the forms below are rejected.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.code_statistics import SourceFile, is_participle, read_source, split_words

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("deploy/*.md")])

# Callbacks whose name a framework has chosen.
FRAMEWORK_NAMES = {"lookup_allowed", "permission_denied", "to_field_allowed"}

NO_VERBS = split_words(
    "a an the this that these those it its one two three each every all any some no none both either"
    " what whether how who whom whose which where when why while whoever whatever whichever"
    " as at by for from in into of on only out over than to under up with within without"
    " and but if not or so as true false same other another more most less few many"
    " only never always again already later now then here there"
)
# Imperatives that end like another form of a verb.
IMPERATIVES = split_words(
    "access address bless bypass canvas compress discuss dismiss express focus guess pass press process"
    " progress suppress toss apply comply multiply rely reply supply bring sing ring spring string embed feed need seed speed proceed exceed"
    " shed spread"
)

PROSE = {
    r"\b(?:is|are|was|were|be|been) told\b|\btold (?:apart|by|of|that|to)\b|\btells? of\b": "notify, say",
    r"\b(?:opens?|opened) (?:a|no|any|the|its|every) seals?\b|\bdoes not open\b": "decrypt",
    r"\b(?:a|no|the|each|every) seals?\b(?! of)": "ciphertext, batch",
    r"\btrails?\b": "audit log",
    r"\brefusals?\b": "error, rejection",
    r"\bunopenable\b|\bstays? shut\b": "cannot be decrypted",
    r"\b(?:gives?|given|gave|giving) back\b": "revoke",
    r"\b(?:puts?|putting) off\b": "reschedule",
    r"\blapses?\b|\blapsed\b": "expire",
    r"\b(?:anew|afresh)\b": "again",
    r"\bmeanwhile\b": "concurrently, in the meantime",
    r"\b(?:nobody|somebody|everybody|whoever)\b": "no process, another process, no user",
    r"\bwhere there (?:is|are|was|were)\b|\bwhere (?:nothing|none|nobody|no|it|one)\b": "if",
    r"\b(?:after|by|for|in|of|with) so many\b": "N, a number of",
    r"\b(?:onlookers?|strangers?)\b": "anonymous, other account",
    r"\bheed(?:s|ed)?\b": "apply",
    r"\bhappenings?\b": "event",
    r"\bthe rooms?\b|\bother rooms?\b|\bour own rooms?\b": "package",
    r"\bis to be\b|\bare to be\b": "must, will",
    r"\banswers? (?:comes?|came|that came|with)\b|\b(?:the|an|no|each|its|their) answers?\b": "response",
}
NAMES = split_words(
    "told tells taken held shown chosen heed lapse lapsed refusal refusals trail onlooker stranger"
    " happening happenings moment anew afresh meanwhile nobody somebody unopenable crowded lent"
    " answer answers answered"
)
# Columns of tables and published fields, which cannot be renamed.
STORED_NAMES = {"answer", "answered_at", "held_until", "links_in_answers"}


@pytest.fixture(scope="module")
def source() -> list[SourceFile]:
    return read_source(ROOT)


def test_prose_uses_the_words_of_the_field(source):
    found = [
        f"{file.path}: {match[0]!r} in {text[:60]!r}; write {instead}"
        for file in source
        for text in (*file.docstrings(), *file.comments())
        for match, instead in banned_prose(text)
    ]
    assert found == [], listing(found)


def test_documents_use_the_words_of_the_field():
    found = [
        f"{path.name}: {match[0]!r}; write {instead}"
        for path in DOCUMENTS
        for match, instead in banned_prose(without_code(path.read_text()))
    ]
    assert found == [], listing(found)


def test_names_use_the_words_of_the_field(source):
    found = [f"{file.path}: {name}" for file in source for name in banned_names(file.tree)]
    assert found == [], listing(found)


def test_function_docstrings_begin_with_a_verb(source):
    found = [
        f"{file.path}:{function.lineno} {docstring.splitlines()[0]}"
        for file in source
        for function, docstring in function_docstrings(file.tree)
        if not begins_with_a_verb(docstring)
    ]
    assert found == [], listing(found)


def test_functions_are_not_named_by_a_participle(source):
    found = [
        f"{file.path}:{function.lineno} {function.name}"
        for file in source
        for function in file.functions()
        if is_participle(function.name)
        and function.name not in FRAMEWORK_NAMES
        and not is_attribute(function)
    ]
    assert found == [], listing(found)


def test_few_files_are_loose_in_credentials():
    loose = {path.name for path in (ROOT / "credentials").glob("*.py")}
    assert loose <= {"__init__.py", "apps.py", "models.py", "urls.py"}


@pytest.mark.parametrize(
    "text",
    [
        "The owner is told when it stops working.",
        "Listing opens no seal.",
        "Whoever comes second gets nothing.",
        "Return the row where there is one.",
        "Read the answers of the provider, whose answer is JSON.",
    ],
)
def test_banned_prose_is_found(text):
    assert banned_prose(text)


@pytest.mark.parametrize(
    "text",
    [
        "Ask the provider and hold the lock until it responds.",
        "Return the folder where the files are kept.",
        "Encrypt the value; `unseal` decrypts it.",
    ],
)
def test_ordinary_verbs_are_free(text):
    assert banned_prose(text) == []


@pytest.mark.parametrize("name", ["_taken", "held", "is_told", "tell_moment", "link_shown"])
def test_banned_names_are_found(name):
    assert list(banned_names(ast.parse(f"def {name}(): ..."))) == [name]
    assert list(banned_names(ast.parse(f"{name} = 1"))) == [name]


@pytest.mark.parametrize(
    "docstring", ["What it returns.", "The row.", "Returns the row.", "Whether it is.", "Claimed."]
)
def test_docstrings_without_a_verb_are_found(docstring):
    assert not begins_with_a_verb(docstring)


@pytest.mark.parametrize("docstring", ["Return the row.", "Pass it on.", "Embed it.", "Bring it."])
def test_imperatives_are_verbs(docstring):
    assert begins_with_a_verb(docstring)


@pytest.mark.parametrize("name", ["_taken", "opened", "_refused", "link_held"])
def test_participles_are_found(name):
    assert is_participle(name)


@pytest.mark.parametrize("name", ["claim_rows", "is_sealed", "mark_used", "feed", "has_expired"])
def test_verbs_are_no_participles(name):
    assert not is_participle(name)


def banned_prose(text: str) -> list[tuple[re.Match[str], str]]:
    """Return each banned form in `text` with the words to use."""
    return [
        (match, instead)
        for pattern, instead in PROSE.items()
        for match in re.finditer(pattern, text, re.IGNORECASE)
    ]


def without_code(markdown: str) -> str:
    """Remove code, which may name stored verbs and columns."""
    return re.sub(r"`[^`]*`|^    .*$", "", markdown, flags=re.MULTILINE)


def banned_names(tree: ast.AST) -> Iterator[str]:
    """Yield the names that the module defines and that have a banned word in them."""
    for name in defined_names(tree):
        if name not in STORED_NAMES and NAMES & set(name.strip("_").lower().split("_")):
            yield name


def defined_names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name
        elif isinstance(node, ast.ClassDef):
            yield re.sub(r"(?<=[a-z])(?=[A-Z])", "_", node.name)
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def function_docstrings(tree: ast.AST) -> Iterator[tuple[ast.FunctionDef, str]]:
    """Yield the functions that have a docstring; properties are nouns and are left out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and not is_attribute(node):
            docstring = ast.get_docstring(node)
            if docstring:
                yield node, docstring


def is_attribute(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return whether the function is read like an attribute: a property, or a column of the admin."""
    decorators = [ast.unparse(decorator) for decorator in function.decorator_list]
    return any("property" in text or "display(" in text for text in decorators)


def begins_with_a_verb(docstring: str) -> bool:
    """Return whether the first word can be an imperative."""
    word = (re.match(r"[A-Za-z]+", docstring) or [""])[0].lower()
    if word in IMPERATIVES:
        return True
    return bool(word) and word not in NO_VERBS and not re.search(r"(?:s|ed|ing|ly|tion)$", word)


def listing(found: list[str]) -> str:
    return f"{len(found)} found\n" + "\n".join(found)

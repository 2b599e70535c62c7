"""The facts of a provider file: the fields that state something about the provider.

The evidence of each is in the file's `facts`, by the path of the field, or next to the fact itself
(`source`). A field that is null, or has the value that the standard says, states nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

Document = Mapping[str, Any]

SURENESSES: Final = ("vendor", "vendor_code", "two_independent", "one_independent")
"""From the surest on."""

# The values of RFC 6749 and RFC 7009, and of a plain JSON API. They need no evidence.
_STANDARD: Final[Mapping[str, Any]] = {
    "scope_separator": " ",
    "scope_param": "scope",
    "token_format": "form",
    "authorize_params": {},
    "authorize_options": {},
    "token_params": {},
    "default_scopes": [],
    "quirks": [],
    "scopes_required": False,
}
_WITH_OWN_SOURCES: Final = frozenset({"required_scopes", "refresh"})
_API_FIELDS: Final = ("base_url", "auth", "paths", "links_in_answers")
_KIND_FIELDS: Final = ("auth", "grant", "probe", "connect")


@dataclass(frozen=True, slots=True)
class Fact:
    """A field that states a fact. `evidence` is None if the file has none for it.

    `evidence` has `sureness` and `sources`, as an entry of the file's `facts`.
    """

    path: str
    value: Any
    evidence: Mapping[str, Any] | None


def list_facts(document: Document) -> Iterator[Fact]:
    """Yield every fact that the file states, with its evidence."""
    evidence = document["facts"]
    for path, value in _list_fields(document):
        if is_stated(path, value):
            yield Fact(path, value, evidence.get(path))
    for path, source in _list_sourced_entries(document):
        statement = {name: text for name, text in source.items() if name != "sureness"}
        yield Fact(path, source, {"sureness": source["sureness"], "sources": [statement]})


def list_unknown(document: Document) -> Iterator[str]:
    """Yield the path of each field whose fact is not known: its value is null."""
    return (path for path, value in _list_fields(document) if value is None)


def list_fact_paths(document: Document) -> set[str]:
    """Return the paths that `facts` may have: of all fields that can state a fact."""
    return {path for path, _ in _list_fields(document)}


def is_stated(path: str, value: object) -> bool:
    """Return whether the field of `path` states a fact with this value."""
    name = path.rpartition(".")[2]
    return value is not None and not (name in _STANDARD and _STANDARD[name] == value)


def list_oauth_sections(document: Document) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each authorization server of the file, with its path."""
    if document["oauth"] is not None:
        yield "oauth", document["oauth"]
    for name, section in document.get("oauth_sections", {}).items():
        yield f"oauth_sections.{name}", section


def get_section(document: Document, kind: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the authorization server of a kind of the file, {} if it has none."""
    if name := kind.get("oauth_section"):
        return document.get("oauth_sections", {}).get(name) or {}
    return document["oauth"] or {}


def list_section_kinds(document: Document, at: str) -> dict[str, Mapping[str, Any]]:
    """Return the kinds whose tokens the server at this path of `list_oauth_sections` issues."""
    section = None if at == "oauth" else at.removeprefix("oauth_sections.")
    kinds = document["kinds"].items()
    return {name: kind for name, kind in kinds if kind.get("oauth_section") == section}


def sends_token_requests(kind: Mapping[str, Any], oauth: Mapping[str, Any]) -> bool:
    """Return whether the app of the kind authenticates at the token endpoint with its secret."""
    if kind["grant"] in {"refresh_token", "client_credentials"}:
        return True
    return kind["mechanism"] == "oauth2" and oauth["authorize_url"] is not None


def _list_fields(document: Document) -> Iterator[tuple[str, Any]]:
    api, variables = document["api"], document["variables"]
    yield from ((f"api.{name}", api[name]) for name in _API_FIELDS if name in api)
    yield from ((f"variables.{name}", variable) for name, variable in variables.items())
    for at, oauth in list_oauth_sections(document):
        own = oauth.keys() - _WITH_OWN_SOURCES
        yield from ((f"{at}.{name}", value) for name, value in oauth.items() if name in own)
        refresh = {name: value for name, value in oauth["refresh"].items() if name != "responses"}
        yield from ((f"{at}.refresh.{name}", value) for name, value in refresh.items())
    for at, kind in document["kinds"].items():
        yield from ((f"kinds.{at}.{name}", kind[name]) for name in _KIND_FIELDS if name in kind)


def _list_sourced_entries(document: Document) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for index, limit in enumerate(document["api"].get("limits") or ()):
        yield f"api.limits.{index}", limit["source"]
    for at, oauth in list_oauth_sections(document):
        for index, scope in enumerate(oauth.get("required_scopes", ())):
            yield f"{at}.required_scopes.{index}", scope["source"]
        for index, rule in enumerate(oauth["refresh"].get("responses", ())):
            yield f"{at}.refresh.responses.{index}", rule["source"]
    for name, kind in document["kinds"].items():
        if person := kind.get("person"):
            yield f"kinds.{name}.person", person["source"]

"""What `schema.json` cannot say of a provider file: names that must exist, URLs that must be safe."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from common.errors import Invalid
from providers import properties
from providers.registry import build_kind

UNREADABLE: Final = "providers.E001"
SCHEMA: Final = "providers.E002"
DUPLICATE: Final = "providers.E003"
UNKNOWN_FIELD: Final = "providers.E004"
EXAMPLE: Final = "providers.E005"
VARIABLE: Final = "providers.E006"
FILE_NAME: Final = "providers.E007"
RULE: Final = "providers.E008"

_TEMPLATE: Final = re.compile(r"\{([^{}]*)\}")
_ENDPOINTS: Final = ("authorize_url", "token_url", "revocation_url", "introspection_url", "issuer")

Fault = tuple[str, str, str]
"""The check's id, the path of the field in the file, and what is wrong with it."""


def faults(path: Path, document: Mapping[str, Any]) -> Iterator[Fault]:
    """What the schema cannot say, of a document that it accepts."""
    if path.stem != document["slug"]:
        yield FILE_NAME, "slug", "is not the file's name"
    posted = [name for name, kind in document["kinds"].items() if "posted_key" in kind]
    if len(posted) > 1:
        yield (
            RULE,
            "kinds",
            f"only one kind can take a key posted alone, not {' and '.join(posted)}",
        )
    yield from _variable_faults(document)
    for name, kind in document["kinds"].items():
        yield from _kind_faults(document, name, kind)


def _kind_faults(
    document: Mapping[str, Any], name: str, kind: Mapping[str, Any]
) -> Iterator[Fault]:
    at = f"kinds.{name}"
    fields = {"name": {"type": "string"}, **kind["properties"]}
    yield from _name_faults(document["slug"], at, name, kind)
    yield from _field_faults(at, kind, fields)
    yield from _posted_faults(at, kind)
    yield from _auth_faults(document, at, kind, fields)
    if kind["grant"] and document["oauth"] is None:
        yield RULE, f"{at}.grant", "needs the provider's oauth"
    if not kind["secret"] and not kind["identity"]:
        yield RULE, f"{at}.identity", "is needed where there is no secret"
    yield from _example_faults(document["slug"], at, name, kind)


def _name_faults(slug: str, at: str, name: str, kind: Mapping[str, Any]) -> Iterator[Fault]:
    if not name.startswith(f"{slug}_") or not name.endswith(f"_{kind['mechanism']}"):
        yield RULE, at, f"must be named {slug}_…{kind['mechanism']}, by its provider and mechanism"


def _field_faults(at: str, kind: Mapping[str, Any], fields: Mapping[str, Any]) -> Iterator[Fault]:
    named = {
        "required": kind["required"],
        "secret": kind["secret"],
        "identity": [part["field"] for part in kind["identity"]],
        "property_aliases": kind.get("property_aliases", {}).values(),
        "posted_key": [kind["posted_key"]] if "posted_key" in kind else [],
    }
    for where, names in named.items():
        for field in names:
            if field not in fields:
                yield UNKNOWN_FIELD, f"{at}.{where}", f"names {field}, which is not a property"
    for field in kind["secret"]:
        if fields.get(field, {}).get("type", "string") != "string":
            yield RULE, f"{at}.secret", f"{field} must be a string"
        if field in named["identity"]:
            yield RULE, f"{at}.identity", f"{field} is secret"
    for alias in kind.get("property_aliases", {}):
        if alias in fields or alias == "kind":
            yield DUPLICATE, f"{at}.property_aliases", f"{alias} is a property too"


def _posted_faults(at: str, kind: Mapping[str, Any]) -> Iterator[Fault]:
    posted = kind.get("posted_key")
    if posted is None:
        return
    if posted not in kind["secret"]:
        yield RULE, f"{at}.posted_key", f"{posted} is not secret"
    if more := set(kind["required"]) - {posted, "name"}:
        yield RULE, f"{at}.posted_key", f"a key posted alone has no {', '.join(sorted(more))}"


def _auth_faults(
    document: Mapping[str, Any], at: str, kind: Mapping[str, Any], fields: Mapping[str, Any]
) -> Iterator[Fault]:
    auth = kind.get("auth", document["api"]["auth"])
    if auth is None:
        yield RULE, f"{at}.auth", "is needed where the provider has none"
        return
    known = {*fields, "access_token"} if kind["grant"] else set(fields)
    for field in _names(auth.get("values", {}).values()) - known:
        yield UNKNOWN_FIELD, f"{at}.auth", f"uses {field}, which is not a property"


def _example_faults(slug: str, at: str, name: str, kind: Mapping[str, Any]) -> Iterator[Fault]:
    try:
        properties.clean(build_kind(slug, name, kind, inherited=None), kind["example"])
    except Invalid as problem:
        for field, reasons in problem.fields.items():
            yield EXAMPLE, f"{at}.example.{field.removeprefix('properties.')}", "; ".join(reasons)


def _variable_faults(document: Mapping[str, Any]) -> Iterator[Fault]:
    """URLs are made of variables and properties that can only be what their place allows."""
    kinds, oauth = document["kinds"], document["oauth"] or {}
    renewed = {name: kind for name, kind in kinds.items() if kind["grant"]}
    for endpoint in _ENDPOINTS:
        # Where the user is sent to, nobody is connected yet: there are no properties to take.
        users = {} if endpoint == "authorize_url" else renewed
        yield from _url_faults(f"oauth.{endpoint}", oauth.get(endpoint) or "", document, users)
    for name, value in oauth.get("token_params", {}).items():
        yield from _url_faults(f"oauth.token_params.{name}", value, document, renewed)
    yield from _url_faults("api.base_url", document["api"]["base_url"], document, kinds)
    for name, kind in kinds.items():
        if probe := kind["probe"]:
            url = f"https://host{probe['path']}"
            yield from _url_faults(f"kinds.{name}.probe.path", url, document, {name: kind})


def _url_faults(
    at: str, url: str, document: Mapping[str, Any], kinds: Mapping[str, Any]
) -> Iterator[Fault]:
    host = url.removeprefix("https://").partition("/")[0]
    for name in sorted(_names([url])):
        place = "host" if f"{{{name}}}" in host else "path"
        variable = document["variables"].get(name)
        if variable and place == "host" and variable.get("place", "host") != "host":
            yield VARIABLE, at, f"{{{name}}} stands in the host, but is declared for paths"
        parts = {kind: item["properties"].get(name) for kind, item in kinds.items()}
        if variable is None and (not parts or None in parts.values()):
            yield VARIABLE, at, f"{{{name}}} is neither in variables nor a property of each kind"
        for kind, part in parts.items():
            if part and not _fits(part, place, whole=url == f"{{{name}}}"):
                yield VARIABLE, at, f"{{{name}}}, a property of {kind}, may be more than its place"


def _fits(part: Mapping[str, Any], place: str, *, whole: bool) -> bool:
    """Whether a property can only be a value that is safe at this place of a URL."""
    if whole:
        return part.get("format") == "uri" and "hosts" in part
    if place == "path":
        return part["type"] == "integer" or part.get("format") in {"label", "segment"}
    return part.get("format") == "label" or (part.get("format") == "host" and "hosts" in part)


def _names(templates: Iterable[str]) -> set[str]:
    return {name for template in templates for name in _TEMPLATE.findall(template)}

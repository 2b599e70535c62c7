"""What `schema.json` cannot say of a provider file: names that must exist, URLs that must be safe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from common.errors import InvalidInputError
from providers import properties, quirks
from providers.check_messages import DUPLICATE, EXAMPLE, FILE_NAME, RULE, UNKNOWN_FIELD, FileError
from providers.connect_rules import find_connect_errors
from providers.limit_rules import find_limit_errors
from providers.registry import build_kind
from providers.url_rules import find_url_errors, find_variable_names

_ENDPOINTS: Final = (
    *("authorize_url", "token_url", "refresh_url", "revocation_url", "introspection_url", "issuer"),
)


def find_file_errors(path: Path, document: Mapping[str, Any]) -> Iterator[FileError]:
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
    yield from find_limit_errors(document)
    yield from _variable_faults(document)
    yield from _oauth_faults(document["oauth"])
    for name, kind in document["kinds"].items():
        yield from _kind_faults(document, name, kind)
        yield from find_connect_errors(document, f"kinds.{name}.connect", kind)


def _oauth_faults(oauth: Mapping[str, Any] | None) -> Iterator[FileError]:
    if oauth is None:
        return
    for quirk in oauth["quirks"]:
        if quirk not in quirks.NAMES:
            yield UNKNOWN_FIELD, "oauth.quirks", f"names {quirk}, which quirks.py does not have"
    revocation = oauth["revocation"]
    if revocation and oauth["revocation_url"]:
        yield RULE, "oauth.revocation", "stands beside revocation_url: one of them is enough"
    if revocation and revocation["token_field"] is None and revocation["auth"] != "bearer":
        yield RULE, "oauth.revocation.token_field", "is needed where auth is not bearer"


def _kind_faults(
    document: Mapping[str, Any], name: str, kind: Mapping[str, Any]
) -> Iterator[FileError]:
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


def _name_faults(slug: str, at: str, name: str, kind: Mapping[str, Any]) -> Iterator[FileError]:
    if not name.startswith(f"{slug}_") or not name.endswith(f"_{kind['mechanism']}"):
        yield RULE, at, f"must be named {slug}_…{kind['mechanism']}, by its provider and mechanism"


def _field_faults(
    at: str, kind: Mapping[str, Any], fields: Mapping[str, Any]
) -> Iterator[FileError]:
    named = {
        "required": kind["required"],
        "secret": kind["secret"],
        "identity": [part["field"] for part in kind["identity"]],
        "property_aliases": kind.get("property_aliases", {}).values(),
        "posted_key": [kind["posted_key"]] if "posted_key" in kind else [],
    }
    for where, listed in named.items():
        for field in listed:
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


def _posted_faults(at: str, kind: Mapping[str, Any]) -> Iterator[FileError]:
    posted = kind.get("posted_key")
    if posted is None:
        return
    if posted not in kind["secret"]:
        yield RULE, f"{at}.posted_key", f"{posted} is not secret"
    if more := set(kind["required"]) - {posted, "name"}:
        yield RULE, f"{at}.posted_key", f"a key posted alone has no {', '.join(sorted(more))}"


def _auth_faults(
    document: Mapping[str, Any], at: str, kind: Mapping[str, Any], fields: Mapping[str, Any]
) -> Iterator[FileError]:
    auth = kind.get("auth", document["api"]["auth"])
    if auth is None:
        yield RULE, f"{at}.auth", "is needed where the provider has none"
        return
    known = {*fields, "access_token"} if kind["grant"] else set(fields)
    for field in find_variable_names(auth.get("values", {}).values()) - known:
        yield UNKNOWN_FIELD, f"{at}.auth", f"uses {field}, which is not a property"


def _example_faults(slug: str, at: str, name: str, kind: Mapping[str, Any]) -> Iterator[FileError]:
    try:
        properties.validate_properties(
            build_kind(slug, name, kind, inherited=None), kind["example"]
        )
    except InvalidInputError as problem:
        for field, reasons in problem.fields.items():
            yield EXAMPLE, f"{at}.example.{field.removeprefix('properties.')}", "; ".join(reasons)


def _variable_faults(document: Mapping[str, Any]) -> Iterator[FileError]:
    """URLs are made of variables and properties that can only be what their place allows."""
    kinds, oauth = document["kinds"], document["oauth"] or {}
    renewed = {name: kind for name, kind in kinds.items() if kind["grant"]}
    for endpoint in _ENDPOINTS:
        # Where the user is sent to, nobody is connected yet: there are no properties to take.
        users = {} if endpoint == "authorize_url" else renewed
        yield from find_url_errors(f"oauth.{endpoint}", oauth.get(endpoint) or "", document, users)
    if revocation := oauth.get("revocation"):
        yield from find_url_errors("oauth.revocation.url", revocation["url"], document, renewed)
    for name, value in oauth.get("token_params", {}).items():
        yield from find_url_errors(f"oauth.token_params.{name}", value, document, renewed)
    yield from find_url_errors("api.base_url", document["api"]["base_url"], document, kinds)
    for name, kind in kinds.items():
        if probe := kind["probe"]:
            url = f"https://host{probe['path']}"
            yield from find_url_errors(f"kinds.{name}.probe.path", url, document, {name: kind})

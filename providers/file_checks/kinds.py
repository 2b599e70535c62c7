"""Rules for the kinds of a provider file: fields must exist, names and examples must be right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from common.errors import InvalidInputError
from providers import properties
from providers.facts import get_section
from providers.file_checks.connect import find_connect_errors
from providers.file_checks.findings import (
    DUPLICATE,
    EXAMPLE,
    RULE,
    UNKNOWN_FIELD,
    FileError,
)
from providers.file_checks.urls import find_variable_names
from providers.registry import build_kind


def find_kind_errors(document: Mapping[str, Any]) -> Iterator[FileError]:
    posted = [name for name, kind in document["kinds"].items() if "posted_key" in kind]
    if len(posted) > 1:
        reason = f"only one kind can take a key posted alone, not {' and '.join(posted)}"
        yield RULE, "kinds", reason
    for name, kind in document["kinds"].items():
        at, fields = f"kinds.{name}", {"name": {"type": "string"}, **kind["properties"]}
        slug, mechanism = document["slug"], kind["mechanism"]
        if not name.startswith(f"{slug}_") or not name.endswith(f"_{mechanism}"):
            yield RULE, at, f"must be named {slug}_…{mechanism}, after its provider and mechanism"
        yield from _find_field_errors(at, kind, fields)
        yield from _find_auth_errors(document, at, kind, fields)
        if kind["grant"] and not get_section(document, kind):
            yield RULE, f"{at}.grant", "requires the provider's oauth"
        if not kind["secret"] and not kind["identity"]:
            yield RULE, f"{at}.identity", "is required if there is no secret"
        try:
            example = build_kind(slug, name, kind, inherited=None)
            properties.validate_properties(example, kind["example"])
        except InvalidInputError as error:
            for field, reasons in error.fields.items():
                field = field.removeprefix("properties.")
                yield EXAMPLE, f"{at}.example.{field}", "; ".join(reasons)
        yield from find_connect_errors(document, f"{at}.connect", kind)


def _find_field_errors(
    at: str, kind: Mapping[str, Any], fields: Mapping[str, Any]
) -> Iterator[FileError]:
    """Yield an error for each name that is not a field of the kind, or not the right sort of one."""
    aliases, posted = kind.get("property_aliases", {}), kind.get("posted_key")
    yield from _find_unknown_fields(at, kind, fields)
    identity = [part["field"] for part in [*kind["identity"], *filter(None, [kind.get("person")])]]
    for field in kind["secret"]:
        if fields.get(field, {}).get("type", "string") != "string":
            yield RULE, f"{at}.secret", f"{field} must be a string"
        if field in identity:
            yield RULE, f"{at}.identity", f"{field} is secret"
    for alias in aliases:
        if alias in fields or alias == "kind":
            yield DUPLICATE, f"{at}.property_aliases", f"{alias} is a property too"
    if posted is not None:
        if posted not in kind["secret"]:
            yield RULE, f"{at}.posted_key", f"{posted} is not secret"
        if missing := set(kind["required"]) - {posted, "name"}:
            reason = f"a key posted alone has no {', '.join(sorted(missing))}"
            yield RULE, f"{at}.posted_key", reason


def _find_unknown_fields(
    at: str, kind: Mapping[str, Any], fields: Mapping[str, Any]
) -> Iterator[FileError]:
    mentions = {
        "required": kind["required"],
        "secret": kind["secret"],
        "identity": [part["field"] for part in kind["identity"]],
        "person": [kind["person"]["field"]] if kind.get("person") else [],
        "property_aliases": kind.get("property_aliases", {}).values(),
        "posted_key": [kind["posted_key"]] if kind.get("posted_key") is not None else [],
    }
    for key, names in mentions.items():
        for field in names:
            if field not in fields:
                yield UNKNOWN_FIELD, f"{at}.{key}", f"names {field}, which is not a property"


def _find_auth_errors(
    document: Mapping[str, Any], at: str, kind: Mapping[str, Any], fields: Mapping[str, Any]
) -> Iterator[FileError]:
    auth = kind.get("auth", document["api"]["auth"])
    if auth is None:
        yield RULE, f"{at}.auth", "is required if the provider has none"
        return
    known = {*fields, "access_token"} if kind["grant"] else set(fields)
    for field in find_variable_names(auth.get("values", {}).values()) - known:
        yield UNKNOWN_FIELD, f"{at}.auth", f"uses {field}, which is not a property"

"""Rules for the URLs of a provider file: each variable may only have values that fit its place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from providers.facts import list_oauth_sections, list_section_kinds
from providers.file_checks.findings import VARIABLE, FileError
from providers.formats import find_dns_labels_error
from providers.kinds import Variable
from providers.properties import find_variable_error
from providers.url_templates import get_first_variable

# Wider than a valid name, so that a misspelt one is found too.
_BRACES: Final = re.compile(r"\{([^{}]*)\}")
_ENDPOINTS: Final = (
    *("authorize_url", "token_url", "refresh_url", "revocation_url", "introspection_url", "issuer"),
)


def find_variable_errors(document: Mapping[str, Any]) -> Iterator[FileError]:
    """Yield the errors in the variables of all URLs of the file."""
    kinds = document["kinds"]
    yield from _find_declaration_errors(document)
    for at, oauth in list_oauth_sections(document):
        users = {n: k for n, k in list_section_kinds(document, at).items() if k["grant"]}
        for endpoint in _ENDPOINTS:
            # At the authorization endpoint there is no credential yet, and so no property.
            known = {} if endpoint == "authorize_url" else users
            yield from find_url_errors(f"{at}.{endpoint}", oauth[endpoint] or "", document, known)
        if revocation := oauth["revocation"]:
            yield from find_url_errors(f"{at}.revocation.url", revocation["url"], document, users)
        for name, value in oauth["token_params"].items():
            # A value that is one variable is no URL.
            url = f"https://host/{value}" if value.startswith("{") else value
            yield from find_url_errors(f"{at}.token_params.{name}", url, document, users)
    yield from find_url_errors("api.base_url", document["api"]["base_url"], document, kinds)
    for name, kind in kinds.items():
        if probe := kind["probe"]:
            url = f"https://host{probe['path']}"
            yield from find_url_errors(f"kinds.{name}.probe.path", url, document, {name: kind})


def find_url_errors(
    at: str, url: str, document: Mapping[str, Any], kinds: Mapping[str, Any]
) -> Iterator[FileError]:
    """Yield an error for each `{name}` of the URL that does not fit its place.

    A name must be a variable of the provider, or a property of each of `kinds`.
    """
    yield from _find_domain_errors(at, url, document)
    first = get_first_variable(url)
    host = "" if first else re.sub("^https?://", "", url).partition("/")[0]
    for name in sorted(find_variable_names([url])):
        place = "origin" if name == first else "host" if f"{{{name}}}" in host else "path"
        variable = document["variables"].get(name)
        if variable and (error := _find_place_error(variable, place)):
            yield VARIABLE, at, f"{{{name}}} {error}"
        parts = {kind: item["properties"].get(name) for kind, item in kinds.items()}
        if variable and place == "origin":
            for kind, part in parts.items():
                if part:
                    reason = f"{{{name}}} is an origin, so it may not be a property of {kind}"
                    yield VARIABLE, at, reason
            continue
        if variable is None and (not parts or None in parts.values()):
            yield VARIABLE, at, f"{{{name}}} is neither in variables nor a property of each kind"
        for kind, part in parts.items():
            if part and not _is_safe(part, place, is_whole_url=url == f"{{{name}}}"):
                reason = f"{{{name}}}, a property of {kind}, may have values that do not fit here"
                yield VARIABLE, at, reason


def _find_place_error(variable: Mapping[str, Any], place: str) -> str | None:
    declared = variable.get("place", "host")
    if place == "path":
        return None if declared != "origin" else "is an origin, with which a URL must begin"
    if place == "origin":
        return (
            None
            if declared == "origin"
            else "must be declared as an origin: the URL begins with it"
        )
    return (
        None if declared in {"host", "labels"} else "is in the host, but is not declared for hosts"
    )


def _find_declaration_errors(document: Mapping[str, Any]) -> Iterator[FileError]:
    """Yield the errors of `variables` themselves: a default must be a valid value."""
    for name, item in document["variables"].items():
        variable = Variable(**{**item, "values": tuple(item.get("values", ()))})
        if item.get("place") == "labels" and not ({"pattern", "values"} & item.keys()):
            yield VARIABLE, f"variables.{name}", "requires pattern or values, because of its place"
        if variable.default is not None and (
            error := find_variable_error(variable, variable.default)
        ):
            yield VARIABLE, f"variables.{name}.default", error


def _find_domain_errors(at: str, url: str, document: Mapping[str, Any]) -> Iterator[FileError]:
    """Yield an error if a variable without fixed values could be the whole domain of the host."""
    host = re.sub("^https?://", "", url).partition("/")[0]
    if url.startswith("{") or "{" not in host:
        return
    domain = host.rpartition("}")[2].partition(":")[0]
    last = find_variable_names([host[host.rindex("{") :]]).pop()
    variable = document["variables"].get(last)
    if variable and domain.count(".") < 2 and "values" not in variable:
        yield VARIABLE, at, f"must have a domain after {{{last}}}, or {last} must have values"


def find_variable_names(templates: Iterable[str]) -> set[str]:
    """Return the names in braces in any of the templates."""
    return {name for template in templates for name in _BRACES.findall(template)}


def _is_safe(part: Mapping[str, Any], place: str, *, is_whole_url: bool) -> bool:
    """Return whether every value of the property is safe at this place of a URL."""
    if is_whole_url:
        return part.get("format") == "uri" and "hosts" in part
    if place == "path":
        return part["type"] == "integer" or part.get("format") in {"label", "segment"}
    if "enum" in part:
        return not any(map(find_dns_labels_error, part["enum"]))
    return part.get("format") == "label" or (part.get("format") == "host" and "hosts" in part)

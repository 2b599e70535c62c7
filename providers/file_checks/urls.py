"""Rules for the URLs of a provider file: each variable may only have values that fit its place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from providers.file_checks.findings import VARIABLE, FileError

# Wider than a valid name, so that a misspelt one is found too.
_BRACES: Final = re.compile(r"\{([^{}]*)\}")
_ENDPOINTS: Final = (
    *("authorize_url", "token_url", "refresh_url", "revocation_url", "introspection_url", "issuer"),
)


def find_variable_errors(document: Mapping[str, Any]) -> Iterator[FileError]:
    """Yield the errors in the variables of all URLs of the file."""
    kinds, oauth = document["kinds"], document["oauth"] or {}
    refreshing = {name: kind for name, kind in kinds.items() if kind["grant"]}
    for endpoint in _ENDPOINTS:
        # At the authorization endpoint there is no credential yet, and so no property.
        users = {} if endpoint == "authorize_url" else refreshing
        yield from find_url_errors(f"oauth.{endpoint}", oauth.get(endpoint) or "", document, users)
    if revocation := oauth.get("revocation"):
        yield from find_url_errors("oauth.revocation.url", revocation["url"], document, refreshing)
    for name, value in oauth.get("token_params", {}).items():
        yield from find_url_errors(f"oauth.token_params.{name}", value, document, refreshing)
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
    host = url.removeprefix("https://").partition("/")[0]
    for name in sorted(find_variable_names([url])):
        place = "host" if f"{{{name}}}" in host else "path"
        variable = document["variables"].get(name)
        if variable and place == "host" and variable.get("place", "host") != "host":
            yield VARIABLE, at, f"{{{name}}} is in the host, but is declared for paths"
        parts = {kind: item["properties"].get(name) for kind, item in kinds.items()}
        if variable is None and (not parts or None in parts.values()):
            yield VARIABLE, at, f"{{{name}}} is neither in variables nor a property of each kind"
        for kind, part in parts.items():
            if part and not _is_safe(part, place, is_whole_url=url == f"{{{name}}}"):
                reason = f"{{{name}}}, a property of {kind}, may have values that do not fit here"
                yield VARIABLE, at, reason


def find_variable_names(templates: Iterable[str]) -> set[str]:
    """Return the names in braces in any of the templates."""
    return {name for template in templates for name in _BRACES.findall(template)}


def _is_safe(part: Mapping[str, Any], place: str, *, is_whole_url: bool) -> bool:
    """Return whether every value of the property is safe at this place of a URL."""
    if is_whole_url:
        return part.get("format") == "uri" and "hosts" in part
    if place == "path":
        return part["type"] == "integer" or part.get("format") in {"label", "segment"}
    return part.get("format") == "label" or (part.get("format") == "host" and "hosts" in part)

"""Rules for the `oauth` part of a provider file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from providers import quirks
from providers.facts import list_oauth_sections, list_section_kinds, sends_token_requests
from providers.file_checks.findings import RULE, UNKNOWN_FIELD, FileError


def find_oauth_errors(document: Mapping[str, Any]) -> Iterator[FileError]:
    for at, oauth in list_oauth_sections(document):
        yield from _find_section_errors(at, oauth, list_section_kinds(document, at))
    for name, kind in document["kinds"].items():
        section = kind.get("oauth_section")
        if section and section not in document.get("oauth_sections", {}):
            yield (
                UNKNOWN_FIELD,
                f"kinds.{name}.oauth_section",
                f"{section} is not in oauth_sections",
            )


def _find_section_errors(
    at: str, oauth: Mapping[str, Any], kinds: Mapping[str, Any]
) -> Iterator[FileError]:
    for quirk in oauth["quirks"]:
        if quirk not in quirks.NAMES:
            yield UNKNOWN_FIELD, f"{at}.quirks", f"names {quirk}, which quirks.py does not have"
    yield from _find_scope_errors(at, oauth)
    if oauth["client_auth"] is None:
        for name, kind in kinds.items():
            if sends_token_requests(kind, oauth):
                yield RULE, f"{at}.client_auth", f"is required: {name} sends token requests"
    for name in oauth.get("authorize_options", {}):
        if name == oauth["scope_param"]:
            yield RULE, f"{at}.authorize_options", f"{name} is the parameter of the scopes"
    revocation = oauth["revocation"]
    if revocation and oauth["revocation_url"]:
        yield RULE, f"{at}.revocation", "excludes revocation_url: one of the two is enough"
    if revocation and revocation["token_field"] is None and revocation["auth"] != "bearer":
        yield RULE, f"{at}.revocation.token_field", "is required unless auth is bearer"


def _find_scope_errors(at: str, oauth: Mapping[str, Any]) -> Iterator[FileError]:
    scopes = [each["scope"] for each in oauth.get("required_scopes", ())]
    for scope in sorted({scope for scope in scopes if scopes.count(scope) > 1}):
        yield RULE, f"{at}.required_scopes", f"has {scope} twice"

"""Rules for the `oauth` part of a provider file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from providers import quirks
from providers.facts import sends_token_requests
from providers.file_checks.findings import RULE, UNKNOWN_FIELD, FileError


def find_oauth_errors(document: Mapping[str, Any]) -> Iterator[FileError]:
    oauth = document["oauth"]
    if oauth is None:
        return
    for quirk in oauth["quirks"]:
        if quirk not in quirks.NAMES:
            yield UNKNOWN_FIELD, "oauth.quirks", f"names {quirk}, which quirks.py does not have"
    yield from _find_scope_errors(oauth)
    if oauth["client_auth"] is None:
        for name, kind in document["kinds"].items():
            if sends_token_requests(kind, oauth):
                yield RULE, "oauth.client_auth", f"is required: {name} sends token requests"
    revocation = oauth["revocation"]
    if revocation and oauth["revocation_url"]:
        yield RULE, "oauth.revocation", "excludes revocation_url: one of the two is enough"
    if revocation and revocation["token_field"] is None and revocation["auth"] != "bearer":
        yield RULE, "oauth.revocation.token_field", "is required unless auth is bearer"


def _find_scope_errors(oauth: Mapping[str, Any]) -> Iterator[FileError]:
    scopes = [each["scope"] for each in oauth.get("required_scopes", ())]
    for scope in sorted({scope for scope in scopes if scopes.count(scope) > 1}):
        yield RULE, "oauth.required_scopes", f"has {scope} twice"

"""Rules for a kind's `connect`: a connection must fill all that an import would require."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from providers.facts import get_section
from providers.file_checks.findings import RULE, UNKNOWN_FIELD, FileError
from providers.file_checks.urls import find_url_errors, find_variable_names

# The flow itself reads these from the token response.
_FILLED_BY_FLOW: Final = frozenset({"access_token", "refresh_token", "expires_at"})
# Columns of the credential instead of properties of its kind.
_CREDENTIAL_FIELDS: Final = frozenset({"name", "owner_email"})
_KNOWN_BEFORE_CALL: Final = ("token", "callback", "id_token", "config")


def find_connect_errors(
    document: Mapping[str, Any], at: str, kind: Mapping[str, Any]
) -> Iterator[FileError]:
    connect = kind.get("connect")
    if connect is None:
        return
    sources, call = connect["properties"], connect["call"]
    oauth = get_section(document, kind)
    if not oauth.get("authorize_url"):
        yield RULE, at, "requires the provider's oauth.authorize_url"
    yield from _find_source_errors(document, at, kind, sources)
    needed = {*kind["required"], *(part["field"] for part in kind["identity"])}
    for field in sorted(needed - _FILLED_BY_FLOW - {"name"} - sources.keys()):
        yield RULE, f"{at}.properties", f"does not say where {field} is found"
    places = {part["in"] for part in sources.values()}
    if "id_token" in places and not oauth.get("issuer"):
        yield RULE, f"{at}.properties", "requires oauth.issuer, to validate the id token with"
    # A user can change what the callback says.
    unverified = {
        part["field"]
        for part in kind["identity"]
        if sources.get(part["field"], {}).get("in") == "callback"
    }
    if (call is None) == bool("call" in places or unverified):
        reason = "a property is found in its response, or an identity in the callback"
        yield RULE, f"{at}.call", f"is required if, and allowed only if, {reason}"
    if call:
        # Only a call to that very account proves that the account is the user's.
        where = "url" if "url" in call else "path"
        address = call[where].partition("?")[0]
        for field in sorted(unverified - find_variable_names([address])):
            reason = f"must contain {{{field}}}: the callback says it, the call verifies it"
            yield RULE, f"{at}.call.{where}", reason
        yield from _find_call_errors(document, f"{at}.call", kind, sources, call)


def _find_source_errors(
    document: Mapping[str, Any], at: str, kind: Mapping[str, Any], sources: Mapping[str, Any]
) -> Iterator[FileError]:
    for field, part in sources.items():
        if field not in kind["properties"] and field not in _CREDENTIAL_FIELDS:
            yield UNKNOWN_FIELD, f"{at}.properties", f"names {field}, which is not a property"
        if field in kind["secret"] and part["in"] != "token":
            reason = f"{field} is secret: it may come from the token response only"
            yield RULE, f"{at}.properties", reason
        if part["in"] == "config" and part["at"] not in document["variables"]:
            yield UNKNOWN_FIELD, f"{at}.properties.{field}", f"{part['at']} is not in variables"


def _find_call_errors(
    document: Mapping[str, Any],
    at: str,
    kind: Mapping[str, Any],
    sources: Mapping[str, Any],
    call: Mapping[str, Any],
) -> Iterator[FileError]:
    # The call is made before its response is known: it may use what the other places say.
    known = {field for field, part in sources.items() if part["in"] in _KNOWN_BEFORE_CALL}
    own_headers = {name.lower() for name in call["headers"]}
    auth = kind.get("auth", document["api"]["auth"]) or {}
    auth_values = {} if "authorization" in own_headers else auth.get("values", {})
    used = find_variable_names([*auth_values.values(), *call["headers"].values()])
    for field in sorted(used - known - _FILLED_BY_FLOW):
        yield UNKNOWN_FIELD, f"{at}.headers", f"use {field}, which is not known before the call"
    properties = {name: part for name, part in kind["properties"].items() if name in known}
    kinds = {"connect": {**kind, "properties": properties}}
    if "url" in call:
        yield from find_url_errors(f"{at}.url", call["url"], document, kinds)
        return
    yield from find_url_errors(f"{at}.path", f"https://host{call['path']}", document, kinds)
    base_variables = find_variable_names([document["api"]["base_url"]])
    for field in sorted(base_variables - known - document["variables"].keys()):
        yield UNKNOWN_FIELD, f"{at}.path", f"{field} of api.base_url is not known before the call"

"""What a kind's `connect` must hold, so that a connection fills all that its import would ask for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from providers.check_messages import RULE, UNKNOWN_FIELD, FileError
from providers.url_rules import find_url_errors, find_variable_names

FILLED: Final = frozenset({"access_token", "refresh_token", "expires_at"})
"""What the flow takes from the token answer by itself."""

_OWN: Final = frozenset({"name", "owner_email"})
_BEFORE_CALL: Final = ("token", "callback", "id_token", "config")


def find_connect_errors(
    document: Mapping[str, Any], at: str, kind: Mapping[str, Any]
) -> Iterator[FileError]:
    connect = kind.get("connect")
    if connect is None:
        return
    found, call = connect["properties"], connect["call"]
    if not (document["oauth"] or {}).get("authorize_url"):
        yield RULE, at, "needs the provider's oauth.authorize_url"
    yield from _found_faults(document, at, kind, found)
    needed = {*kind["required"], *(part["field"] for part in kind["identity"])}
    for field in sorted(needed - FILLED - {"name"} - found.keys()):
        yield RULE, f"{at}.properties", f"does not say where {field} is found"
    if any(part["in"] == "id_token" for part in found.values()) and not _issuer(document):
        yield RULE, f"{at}.properties", "has no issuer to hold the id token to: oauth.issuer"
    told = {part["field"] for part in kind["identity"]} & _in(found, "callback")
    if (call is None) == bool(_in(found, "call") or told):
        reason = "a property is found in its answer, or an identity in the callback"
        yield RULE, f"{at}.call", f"is there if and only if {reason}"
    if call:
        yield from _proof_faults(f"{at}.call", call, told)
        yield from _call_faults(document, f"{at}.call", kind, found, call)


def _in(found: Mapping[str, Any], place: str) -> set[str]:
    return {field for field, part in found.items() if part["in"] == place}


def _proof_faults(at: str, call: Mapping[str, Any], told: set[str]) -> Iterator[FileError]:
    """Users can change what the callback says: only a call to that very account proves it theirs."""
    where = "url" if "url" in call else "path"
    for field in sorted(told - find_variable_names([call[where].partition("?")[0]])):
        yield (
            RULE,
            f"{at}.{where}",
            f"must have {{{field}}}: the callback says it, the call proves it",
        )


def _issuer(document: Mapping[str, Any]) -> Any:
    return (document["oauth"] or {}).get("issuer")


def _found_faults(
    document: Mapping[str, Any], at: str, kind: Mapping[str, Any], found: Mapping[str, Any]
) -> Iterator[FileError]:
    for field, part in found.items():
        if field not in kind["properties"] and field not in _OWN:
            yield UNKNOWN_FIELD, f"{at}.properties", f"names {field}, which is not a property"
        if field in kind["secret"] and part["in"] != "token":
            yield RULE, f"{at}.properties", f"{field} is secret: only the token answer may hold it"
        if part["in"] == "config" and part["at"] not in document["variables"]:
            yield UNKNOWN_FIELD, f"{at}.properties.{field}", f"{part['at']} is not in variables"


def _call_faults(
    document: Mapping[str, Any],
    at: str,
    kind: Mapping[str, Any],
    found: Mapping[str, Any],
    call: Mapping[str, Any],
) -> Iterator[FileError]:
    """The call goes out before its own answer: its address is made of what is known by then."""
    known = {field for field, part in found.items() if part["in"] in _BEFORE_CALL}
    own = {name.lower() for name in call["headers"]}
    auth = kind.get("auth", document["api"]["auth"]) or {}
    sent = {} if "authorization" in own else auth.get("values", {})
    for field in sorted(
        find_variable_names([*sent.values(), *call["headers"].values()]) - known - FILLED
    ):
        yield UNKNOWN_FIELD, f"{at}.headers", f"need {field}, which is not known before the call"
    before = {**kind, "properties": {n: p for n, p in kind["properties"].items() if n in known}}
    base = document["api"]["base_url"]
    if "url" in call:
        yield from find_url_errors(f"{at}.url", call["url"], document, {"connect": before})
        return
    path = f"https://host{call['path']}"
    yield from find_url_errors(f"{at}.path", path, document, {"connect": before})
    for field in sorted(find_variable_names([base]) - known - document["variables"].keys()):
        yield UNKNOWN_FIELD, f"{at}.path", f"{field} of api.base_url is not known before the call"

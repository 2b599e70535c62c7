"""The rules for `oauth` and `connect` in provider files."""

import json
from typing import Any

import orjson
import pytest

from providers.checks import check_providers
from providers.facts import list_facts
from providers.registry import DATA_DIR
from tests.providers.documents import replace_at

# Pipedrive's file has a call, a URL from the token response, and scopes.
GOOD = json.loads((DATA_DIR / "pipedrive.json").read_text().replace("pipedrive_", "acme_")) | {
    "slug": "acme"
}
KIND = ("kinds", "acme_oauth2")
OFFLINE = {
    "scope": "offline",
    "purpose": "offline",
    "source": {"url": "https://acme.example/scopes", "read": "2026-11-30", "sureness": "vendor"},
}
EVIDENCE = {"sureness": "one_independent", "sources": []}
CONNECT = (*KIND, "connect")
CALL = (*CONNECT, "call")
REVOKE = {
    "method": "POST",
    "url": "https://acme.example/revoke",
    "auth": "client",
    "token_field": "token",
    "hint": True,
    "ok": [200],
}


def changed(*path: str, to: Any) -> dict[str, Any]:
    """Return GOOD with a change, and with evidence of every fact that it states now."""
    document = replace_at(GOOD, *path, to=to)
    for fact in path_facts(document):
        document["facts"].setdefault(fact, EVIDENCE)
    return document


def path_facts(document: dict[str, Any]) -> list[str]:
    """Return the facts of the document without evidence, if it has the shape that they need."""
    try:
        return [fact.path for fact in list_facts(document) if fact.evidence is None]
    except (KeyError, TypeError, AttributeError):
        return []


def without(*path: str) -> dict[str, Any]:
    document = changed(*path, to=None)
    at = document
    for step in path[:-1]:
        at = at[step]
    del at[path[-1]]
    return document


def found_at(place: str, at: str) -> dict[str, str]:
    return {"in": place, "at": at}


def named_by_the_callback(call: dict[str, str] | None) -> dict[str, Any]:
    """A file that takes the whole identity from the callback, with `call` to prove it."""
    document = changed(*KIND, "identity", to=[{"field": "realm"}])
    kind = document["kinds"]["acme_oauth2"]
    text = {"type": "string", "description": "An id.", "format": "segment"}
    kind["properties"] = {**kind["properties"], "realm": text}
    kind["example"] = {**kind["example"], "realm": "1"}
    kind["connect"]["properties"] = {
        "realm": found_at("callback", "realmId"),
        "api_domain": found_at("token", "/api_domain"),
    }
    request: dict[str, Any] = {"method": "GET", "headers": {}, "json": None}
    kind["connect"]["call"] = {**request, **call} if call else None
    return document


@pytest.mark.parametrize(
    "document",
    [
        GOOD,
        named_by_the_callback({"path": "/companies/{realm}"}),
        changed(*CONNECT, to=None),
        changed(*CONNECT, "properties", "name", to=found_at("call", "/data/name")),
        changed(*CONNECT, "properties", "refresh_token", to=found_at("token", "/refresh")),
        changed("oauth", "revocation", to=REVOKE),
        changed("oauth", "required_scopes", to=[OFFLINE, {**OFFLINE, "scope": "me"}]),
        changed("oauth", "quirks", to=["slack_answer", "basecamp_refresh"]),
        changed(
            *CALL,
            to={"method": "GET", "url": "https://acme.example/me", "headers": {}, "json": None},
        ),
    ],
    ids=[
        "as_it_is",
        "proved",
        "not_found",
        "name",
        "filled",
        "revocation",
        "scopes",
        "quirks",
        "address",
    ],
)
def test_valid_file_has_no_error(folder, request, document):
    (folder / "acme.json").write_text(json.dumps(document))
    faults = [message.msg for message in check_providers()]
    # The schema excludes the properties that the flow itself fills.
    assert bool(faults) is (request.node.callspec.id == "filled")


BROKEN = [
    ("E002", "oauth", without("oauth", "quirks")),
    ("E002", "oauth.authorize_params", changed("oauth", "authorize_params", to={"state": "x"})),
    ("E002", "oauth.authorize_params", changed("oauth", "authorize_params", to={"nonce": "x"})),
    ("E002", "oauth.authorize_params.a", changed("oauth", "authorize_params", to={"a": "{b}"})),
    ("E002", "oauth.token_format", changed("oauth", "token_format", to="xml")),
    ("E002", "oauth.scope_param", changed("oauth", "scope_param", to="")),
    ("E002", "oauth.iss", changed("oauth", "iss", to="yes")),
    ("E002", "oauth.client_auth", changed("oauth", "client_auth", to="mutual_tls")),
    ("E002", "oauth.refresh_url", changed("oauth", "refresh_url", to="ftp://acme.example")),
    ("E002", "oauth.revocation", changed("oauth", "revocation", to=REVOKE | {"method": "PUT"})),
    ("E002", "oauth.required_scopes", changed("oauth", "required_scopes", to=[])),
    (
        "E002",
        "oauth.required_scopes.0",
        changed("oauth", "required_scopes", to=[{"scope": "offline", "purpose": "offline"}]),
    ),
    (
        "E002",
        "oauth.required_scopes.0.purpose",
        changed("oauth", "required_scopes", to=[{**OFFLINE, "purpose": "fun"}]),
    ),
    (
        "E008",
        "oauth.required_scopes",
        changed("oauth", "required_scopes", to=[OFFLINE, {**OFFLINE, "purpose": "identity"}]),
    ),
    ("E004", "oauth.quirks", changed("oauth", "quirks", to=["acme_dance"])),
    ("E006", "oauth.refresh_url", changed("oauth", "refresh_url", to="https://{uid}.acme.example")),
    (
        "E006",
        "oauth.revocation.url",
        changed("oauth", "revocation", to=REVOKE | {"url": "https://acme.example/{uid}"}),
    ),
    (
        "E008",
        "oauth.revocation.token_field",
        changed("oauth", "revocation", to=REVOKE | {"token_field": None}),
    ),
    ("E002", "kinds.acme_oauth2", without(*CONNECT)),
    ("E002", "kinds.acme_oauth2.connect", changed(*CONNECT, "properties", to={})),
    (
        "E002",
        "connect.properties.user_id",
        changed(*CONNECT, "properties", "user_id", to=found_at("call", "data")),
    ),
    (
        "E002",
        "connect.properties.user_id",
        changed(*CONNECT, "properties", "user_id", to=found_at("cookie", "/id")),
    ),
    ("E002", "connect.call", changed(*CALL, "url", to="https://acme.example/me")),
    ("E002", "connect.call", without(*CALL, "path")),
    (
        "E004",
        "connect.properties",
        changed(*CONNECT, "properties", "colour", to=found_at("token", "/colour")),
    ),
    (
        "E004",
        "connect.properties.user_id",
        changed(*CONNECT, "properties", "user_id", to=found_at("config", "user")),
    ),
    ("E004", "connect.call.headers", changed(*CALL, "headers", to={"X-User": "{user_id}"})),
    (
        "E004",
        "connect.call.headers",
        changed(*KIND, "auth", to={"in": "header", "values": {"X-User": "{user_id}"}}),
    ),
    (
        "E004",
        "connect.call.path",
        changed(*CONNECT, "properties", "api_domain", to=found_at("call", "/domain")),
    ),
    ("E006", "connect.call.path", changed(*CALL, "path", to="/users/{user_id}")),
    ("E008", "connect.properties", without(*CONNECT, "properties", "company_id")),
    ("E008", "connect.properties", without(*CONNECT, "properties", "api_domain")),
    (
        "E008",
        "connect.properties",
        changed(*CONNECT, "properties", "user_id", to=found_at("id_token", "/sub")),
    ),
    ("E008", "connect.call", changed(*CALL[:-1], "call", to=None)),
    ("E008", "connect.call", named_by_the_callback(None)),
    ("E008", "connect.call.path", named_by_the_callback({"path": "/me"})),
    ("E008", "connect.call.path", named_by_the_callback({"path": "/me?id=1"})),
    ("E008", "connect.call.url", named_by_the_callback({"url": "https://acme.example/me"})),
    ("E008", "kinds.acme_oauth2.connect", changed("oauth", "authorize_url", to=None)),
]


@pytest.mark.parametrize(("code", "field", "document"), BROKEN)
def test_wrong_file_is_reported_with_its_field(folder, code, field, document):
    (folder / "acme.json").write_bytes(orjson.dumps(document))
    found = [message.msg for message in check_providers() if message.id == f"providers.{code}"]
    assert [message for message in found if "acme.json: " in message and field in message]


def test_secrets_come_from_the_token_response_only(folder):
    for place, faults in (("token", 0), ("callback", 1)):
        document = changed(*CONNECT, "properties", "key", to=found_at(place, "/k"))
        if place == "callback":
            document["kinds"]["acme_oauth2"]["connect"]["properties"]["key"]["at"] = "k"
        kind = document["kinds"]["acme_oauth2"]
        kind["properties"]["key"] = {"type": "string", "description": "A key."}
        kind["secret"].append("key")
        (folder / "acme.json").write_bytes(orjson.dumps(document))
        assert len(check_providers()) == faults


def test_a_call_with_an_authorization_of_its_own_needs_none_of_the_kinds(folder):
    document = changed(*CALL, "headers", to={"Authorization": "OAuth {access_token}"})
    document["kinds"]["acme_oauth2"]["auth"] = {
        "in": "header",
        "values": {"Authorization": "Bearer {access_token}", "X-User": "{user_id}"},
    }
    document["facts"]["kinds.acme_oauth2.auth"] = EVIDENCE
    (folder / "acme.json").write_bytes(orjson.dumps(document))
    assert check_providers() == []


def test_two_ways_to_revoke_are_one_too_many(folder):
    document = changed("oauth", "revocation", to=REVOKE)
    document["oauth"]["revocation_url"] = "https://acme.example/revoke"
    document["facts"]["oauth.revocation_url"] = EVIDENCE
    (folder / "acme.json").write_bytes(orjson.dumps(document))
    assert [message.id for message in check_providers()] == ["providers.E008"]

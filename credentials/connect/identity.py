"""What a connection brought: the kind's properties, and with them whose account it is.

The provider's file says where each property is found (`connect`): in the token answer, among the
callback's parameters, in the ID token, in the answer to one call, or in the app's own config.
The callback comes through the user's hands, who can change it: what it says of the account counts
only when the provider takes the new token there.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final

from common.datetimes import format_rfc3339
from credentials.connect.errors import ConnectError
from credentials.connect.flow_request import FlowRequest
from credentials.connect.identity_request import request_identity
from oauth_apps.protocol import OAuthClient, TokenResponse, validate_id_token
from providers.kinds import Kind, PropertySource
from providers.properties import find_field_error

_MISSING: Final = object()


def collect_properties(
    draft: FlowRequest,
    client: OAuthClient,
    tokens: TokenResponse,
    *,
    callback: Mapping[str, str],
    now: dt.datetime,
) -> dict[str, Any]:
    """The properties of the new credential, real secrets and all; the caller checks them by schema.

    Raises Refusal where what the company said beforehand is not what the provider says, and where
    the provider does not confirm what the callback says; ProtocolError and EgressError for an ID token or a call that did not work.
    """
    kind = draft.kind
    found = {"kind": kind.name, **draft.properties, **_granted(draft, tokens, now)}
    if kind.connect is None:
        return found
    places: dict[str, Any] = {
        "token": tokens.document,
        "callback": callback,
        "config": client.variables,
    }
    wanted = kind.connect.properties
    if any(part.place == "id_token" for part in wanted.values()):
        places["id_token"] = validate_id_token(client, tokens)
    _take(kind, wanted, places, found)
    if kind.connect.call is not None:
        named = kind.connect.get_unverified_fields(kind.identity)
        _check_named(kind, named, found)
        known = {**client.variables, **found}
        answer = request_identity(
            kind, kind.connect.call, known, tokens, verifies_account=bool(named)
        )
        _take(kind, wanted, {"call": answer}, found)
    return found


def _check_named(kind: Kind, named: Sequence[str], found: Mapping[str, Any]) -> None:
    """Raise Refusal where the callback does not name an account that could be asked about."""
    for name in named:
        if name not in found or find_field_error(kind, name, found[name]):
            raise ConnectError("answer_incomplete")


def _granted(draft: FlowRequest, tokens: TokenResponse, now: dt.datetime) -> dict[str, Any]:
    """What the flow itself fills: the tokens, when they end, and which scopes were given."""
    kind = draft.kind
    fields = kind.schema["properties"]
    granted: dict[str, Any] = {}
    if "access_token" in fields:
        granted["access_token"] = tokens.access_token.expose()
    elif not kind.refreshes and len(kind.secret_fields) == 1:
        # Where the access token never ends, its kind may call it by another name (Stripe's `secret`).
        granted[kind.secret_fields[0]] = tokens.access_token.expose()
    if tokens.refresh_token is not None and "refresh_token" in fields:
        granted["refresh_token"] = tokens.refresh_token.expose()
    if tokens.expires_in is not None and "expires_at" in fields:
        granted["expires_at"] = format_rfc3339(
            (now + dt.timedelta(seconds=tokens.expires_in)).replace(microsecond=0)
        )
    # RFC 6749 §5.1: left out where it is what was asked for.
    if scope := tokens.scope or " ".join(draft.scopes):
        named = [name for name in ("scope", "scopes") if name in fields]
        granted |= {name: _fitted(fields[name], scope) for name in named}
    return granted


def _take(
    kind: Kind,
    wanted: Mapping[str, PropertySource],
    places: Mapping[str, Any],
    found: dict[str, Any],
) -> None:
    fields = kind.schema["properties"]
    for name, part in wanted.items():
        if part.place not in places:
            continue
        value = _at(places[part.place], part)
        if value is _MISSING or value is None or value == "":
            continue
        value = _fitted(fields.get(name, {"type": "string"}), value)
        if name in found and name not in kind.secret_fields and _differ(found[name], value):
            raise ConnectError("account_mismatch")
        found[name] = value


def _differ(said: Any, value: Any) -> bool:
    """Whether the company's word is another than the provider's. Addresses have no case."""
    return str(said).casefold() != str(value).casefold()


def _at(document: Any, part: PropertySource) -> Any:
    """The value at a JSON pointer (RFC 6901), or under a parameter's name."""
    if part.place in {"callback", "config"}:
        return document.get(part.at, _MISSING)
    for step in part.at.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(document, list) and key.isdecimal() and int(key) < len(document):
            document = document[int(key)]
        elif isinstance(document, Mapping) and key in document:
            document = document[key]
        else:
            return _MISSING
    return document


def _fitted(field: Mapping[str, Any], value: Any) -> Any:
    """`value` in the type that the property has: providers write ids as numbers or as text."""
    kind = field["type"]
    if kind == "string":
        if isinstance(value, list):
            return " ".join(str(item) for item in value)
        return value if isinstance(value, str) else _text(value)
    if kind == "integer" and isinstance(value, str) and value.isdecimal() and len(value) < 20:
        return int(value)
    if kind == "array" and isinstance(value, str):
        return value.replace(",", " ").split()
    return value


def _text(value: Any) -> Any:
    return str(value) if type(value) is int else value

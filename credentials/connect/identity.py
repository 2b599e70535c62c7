"""The properties of a new credential, and with them the upstream account that it is for.

The provider's file says where each property is found (`connect`): in the token response, in the
callback's parameters, in the ID token, in the response to one call, or in the app's own config.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

from common.datetimes import format_rfc3339
from credentials.connect.errors import ConnectError
from credentials.connect.flow_request import FlowRequest
from credentials.connect.identity_request import request_identity
from credentials.core.token_properties import MISSING, convert_value, find_value
from credentials.imports.fields import is_email
from oauth_apps.protocol import OAuthClient, TokenResponse, validate_id_token
from providers.formats import find_email_error
from providers.kinds import Kind, PropertySource
from providers.properties import find_field_error

# Columns of the credential that `connect` may fill.
_CREDENTIAL_FIELDS: Final = {"owner_email": {"type": "string", "format": "email"}}


def collect_properties(
    flow_request: FlowRequest,
    client: OAuthClient,
    tokens: TokenResponse,
    *,
    callback: Mapping[str, str],
    now: dt.datetime,
) -> dict[str, Any]:
    """Return the properties with their real secrets, not yet validated by the kind's schema.

    Raises ConnectError if they contradict what the company set beforehand, or if the provider does
    not confirm the account in the callback; OAuth2Error and EgressError if the ID token or the call
    fails.
    """
    kind = flow_request.kind
    properties: dict[str, Any] = {
        "kind": kind.name,
        **flow_request.properties,
        **_get_token_properties(flow_request, tokens, now),
    }
    if kind.connect is None:
        return properties
    documents: dict[str, Any] = {
        "token": tokens.document,
        "callback": callback,
        "config": client.variables,
    }
    sources = kind.connect.properties
    if any(source.place == "id_token" for source in sources.values()):
        documents["id_token"] = validate_id_token(client, tokens)
    _add_properties(kind, sources, documents, properties)
    if kind.connect.call is not None:
        # The user can change the callback's parameters in the browser. The account in them counts
        # only if the provider accepts the new token for that very account.
        unverified = kind.connect.get_unverified_fields(kind.identity)
        for name in unverified:
            if name not in properties or find_field_error(kind, name, properties[name]):
                raise ConnectError("answer_incomplete")
        document = request_identity(
            kind,
            kind.connect.call,
            {**client.variables, **properties},
            tokens,
            verifies_account=bool(unverified),
        )
        _add_properties(kind, sources, {"call": document}, properties)
    return properties


def _get_token_properties(
    flow_request: FlowRequest, tokens: TokenResponse, now: dt.datetime
) -> dict[str, Any]:
    """Return the tokens, their expiry and their scopes, by the names that the kind has for them."""
    kind = flow_request.kind
    fields = kind.schema["properties"]
    properties: dict[str, Any] = {}
    if "access_token" in fields:
        properties["access_token"] = tokens.access_token.expose()
    elif not kind.refreshes and len(kind.secret_fields) == 1:
        # A kind may name an access token that never expires differently (Stripe's `secret`).
        properties[kind.secret_fields[0]] = tokens.access_token.expose()
    if tokens.refresh_token is not None and "refresh_token" in fields:
        properties["refresh_token"] = tokens.refresh_token.expose()
    if tokens.expires_in is not None and "expires_at" in fields:
        expires_at = now + dt.timedelta(seconds=tokens.expires_in)
        properties["expires_at"] = format_rfc3339(expires_at.replace(microsecond=0))
    # RFC 6749 §5.1: without `scope`, the granted scopes are those that were requested.
    if scope := tokens.scope or " ".join(flow_request.scopes):
        for name in ("scope", "scopes"):
            if name in fields:
                properties[name] = convert_value(fields[name], scope)
    return properties


def _add_properties(
    kind: Kind,
    sources: Mapping[str, PropertySource],
    documents: Mapping[str, Any],
    properties: dict[str, Any],
) -> None:
    """Add each property whose place is in `documents`. Raises ConnectError for a contradiction."""
    fields = kind.schema["properties"]
    for name, source in sources.items():
        if source.place not in documents:
            continue
        value = find_value(documents[source.place], source)
        if value is MISSING or value is None or value == "":
            continue
        field = fields.get(name, _CREDENTIAL_FIELDS.get(name, {"type": "string"}))
        value = convert_value(field, value)
        # A user name in place of an e-mail address is no reason to lose the grant.
        # Both checks of an import: of the owner's address, and of a property.
        if field.get("format") == "email" and not (
            is_email(str(value)) and find_email_error(str(value)) is None
        ):
            continue
        # The user must not connect another upstream account than the one that the company set. Case
        # is ignored, because most of these values are host names.
        is_set = name in properties and name not in kind.secret_fields
        if is_set and str(properties[name]).casefold() != str(value).casefold():
            raise ConnectError("account_mismatch")
        properties[name] = value

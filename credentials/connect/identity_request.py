"""The call after the exchange that says whose account the new token is for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import orjson

from common import strict_json
from common.errors import BadRequestError
from credentials.connect.errors import ConnectError
from credentials.core.request_auth import RequestAuth, build_request_auth, fill_template
from egress import Request
from egress import client as egress
from oauth_apps.protocol import AppError, TokenResponse, TransientError, UserError
from oauth_apps.protocol.urls import fill_url_template
from providers.kinds import IdentityCall, Kind
from providers.properties import find_field_error
from providers.registry import get_registry

_ORIGIN_VARIABLE: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}(.*)", re.ASCII)


def request_identity(
    kind: Kind,
    call: IdentityCall,
    variables: Mapping[str, Any],
    tokens: TokenResponse,
    *,
    verifies_account: bool = False,
) -> Any:
    """Return the JSON of the response. `variables` fill the templates of the call.

    If the call verifies the account in the callback, raises ConnectError (account_unverified) for
    401, 403 and 404. Otherwise raises UserError for 401 and 403. Raises TransientError for any other
    response that is not successful or not JSON, and ConflictError and EgressError.
    """
    values = {name: str(value) for name, value in variables.items()}
    values["access_token"] = tokens.access_token.expose()
    url = _build_url(kind, call, values)
    call_headers = {name: fill_template(text, values) for name, text in call.headers.items()}
    overridden = {name.lower() for name in call_headers}
    # The kind's own authentication may need a property that only this response has (Xero's tenant).
    uses_kind = "authorization" not in overridden
    auth = build_request_auth(kind, {}, values) if uses_kind else RequestAuth()
    headers = {name: text for name, text in auth.headers if name.lower() not in overridden}
    headers |= call_headers
    body = None
    if call.json is not None:
        body = orjson.dumps(call.json)
        headers.setdefault("Content-Type", "application/json")
    headers.setdefault("Accept", "application/json")
    if auth.query:
        url += ("&" if urlsplit(url).query else "?") + urlencode(auth.query, quote_via=quote)
    response = egress.send(
        Request(method=call.method, url=url, headers=tuple(headers.items()), body=body)
    )
    if verifies_account and response.status in {401, 403, 404}:
        raise ConnectError("account_unverified")
    # Zoom responds to a missing scope with 400. No later request with this token could succeed.
    if response.status // 100 == 4 and response.status not in {408, 429}:
        raise UserError(
            "identity_refused",
            "The provider does not say whose account this is. The app may lack a scope for that.",
        )
    if response.status // 100 != 2:
        raise TransientError(
            "identity_unavailable", "The provider did not say whose account this is."
        )
    try:
        return strict_json.loads(response.body, may_round=True)
    except BadRequestError:
        raise TransientError(
            "identity_unavailable", "The provider's response could not be read."
        ) from None


def _build_url(kind: Kind, call: IdentityCall, values: Mapping[str, str]) -> str:
    """Return the URL. Raises AppError if the property that is its origin has a wrong value."""
    if call.url is not None:
        return fill_url_template(call.url, values)
    provider = get_registry().get_provider(kind.provider)
    base_url = (provider.base_url if provider else None) or ""
    path = call.path or ""
    match = _ORIGIN_VARIABLE.fullmatch(base_url)
    if match and match[1] in kind.schema["properties"]:
        # The kind's schema limits the property to the provider's hosts: the token goes nowhere else.
        origin = values.get(match[1], "")
        if not origin or find_field_error(kind, match[1], origin):
            raise AppError("invalid_config", f"The value of {match[1]} is not a valid address.")
        return origin.rstrip("/") + match[2] + fill_url_template(path, values)
    return fill_url_template(base_url.rstrip("/") + path, values)

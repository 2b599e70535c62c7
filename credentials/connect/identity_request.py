"""The one call after the exchange that tells whose grant it is, or proves what the callback said."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import orjson

from common import strict_json
from common.errors import BadRequestError
from credentials.connect.errors import ConnectError
from credentials.core.request_auth import RequestAuth, build_request_auth
from credentials.core.request_auth import fill_template as fill_template
from egress import Request
from egress import client as egress
from oauth_apps.protocol import AppError, TokenResponse, TransientError, UserError
from oauth_apps.protocol.urls import fill_url_template
from providers.kinds import IdentityCall, Kind
from providers.properties import find_field_error
from providers.registry import get_registry

_WHOLE: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}(.*)", re.ASCII)


def request_identity(
    kind: Kind,
    call: IdentityCall,
    variables: Mapping[str, Any],
    tokens: TokenResponse,
    *,
    verifies_account: bool = False,
) -> Any:
    """The JSON that the call answers. `known` are properties and variables that were found already.

    With `proves`, the call is to an account that the callback named: Refusal (account_unverified)
    where the new token is not taken there, or nothing is. Raises UserError where the provider does not take the new token, TransientError for any other
    answer than JSON with a status of success, Conflict, EgressError.
    """
    values = {name: str(value) for name, value in variables.items()}
    values["access_token"] = tokens.access_token.expose()
    url = _address(kind, call, values)
    own = {name: fill_template(text, values) for name, text in call.headers.items()}
    taken = {name.lower() for name in own}
    # The kind's own way may want what only this answer tells (Xero's tenant).
    injected = RequestAuth() if "authorization" in taken else build_request_auth(kind, {}, values)
    headers = {name: text for name, text in injected.headers if name.lower() not in taken} | own
    body = None
    if call.json is not None:
        body = orjson.dumps(call.json)
        headers.setdefault("Content-Type", "application/json")
    headers.setdefault("Accept", "application/json")
    if injected.query:
        url += ("&" if urlsplit(url).query else "?") + urlencode(injected.query, quote_via=quote)
    answer = egress.send(
        Request(method=call.method, url=url, headers=tuple(headers.items()), body=body)
    )
    if verifies_account and answer.status in {401, 403, 404}:
        raise ConnectError("account_unverified")
    if answer.status in {401, 403}:
        raise UserError("identity_refused", "The provider does not say whose account this is.")
    if answer.status // 100 != 2:
        raise TransientError(
            "identity_unavailable", "The provider did not say whose account this is."
        )
    try:
        return strict_json.loads(answer.body)
    except BadRequestError:
        raise TransientError(
            "identity_unavailable", "The provider's answer could not be read."
        ) from None


def _address(kind: Kind, call: IdentityCall, values: Mapping[str, str]) -> str:
    """The URL, whose host is the provider's file's to say, or a property that it holds to hosts."""
    if call.url is not None:
        return fill_url_template(call.url, values)
    provider = get_registry().get_provider(kind.provider)
    base = (provider.base_url if provider else None) or ""
    if whole := _WHOLE.fullmatch(base):
        origin = values.get(whole[1], "")
        if not origin or find_field_error(kind, whole[1], origin):
            raise AppError("invalid_config", f"The value of {whole[1]} is not an address.")
        return origin.rstrip("/") + whole[2] + fill_url_template(call.path or "", values)
    return fill_url_template(base.rstrip("/") + (call.path or ""), values)

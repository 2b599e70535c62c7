"""The one call after the exchange that tells whose grant it is, or proves what the callback said."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

import orjson

from common import strict_json
from common.errors import BadRequest
from credentials.connect.errors import Refusal
from credentials.core.request_auth import Injection, inject
from credentials.core.request_auth import fill as fill_template
from egress import client as egress
from egress.requests import Request
from oauth_apps.protocol import AppError, Tokens, TransientError, UserError
from oauth_apps.protocol.urls import fill
from providers.kinds import Call, Kind
from providers.properties import field_fault
from providers.registry import registry

_WHOLE: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}(.*)", re.ASCII)


def ask(
    kind: Kind, call: Call, known: Mapping[str, Any], tokens: Tokens, *, proves: bool = False
) -> Any:
    """The JSON that the call answers. `known` are properties and variables that were found already.

    With `proves`, the call is to an account that the callback named: Refusal (account_unproved)
    where the new token is not taken there, or nothing is. Raises UserError where the provider does not take the new token, TransientError for any other
    answer than JSON with a status of success, Conflict, EgressError.
    """
    values = {name: str(value) for name, value in known.items()}
    values["access_token"] = tokens.access_token.expose()
    url = _address(kind, call, values)
    own = {name: fill_template(text, values) for name, text in call.headers.items()}
    taken = {name.lower() for name in own}
    # The kind's own way may want what only this answer tells (Xero's tenant).
    injected = Injection() if "authorization" in taken else inject(kind, {}, values)
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
    if proves and answer.status in {401, 403, 404}:
        raise Refusal("account_unproved")
    if answer.status in {401, 403}:
        raise UserError("identity_refused", "The provider does not say whose account this is.")
    if answer.status // 100 != 2:
        raise TransientError(
            "identity_unavailable", "The provider did not say whose account this is."
        )
    try:
        return strict_json.loads(answer.body)
    except BadRequest:
        raise TransientError(
            "identity_unavailable", "The provider's answer could not be read."
        ) from None


def _address(kind: Kind, call: Call, values: Mapping[str, str]) -> str:
    """The URL, whose host is the provider's file's to say, or a property that it holds to hosts."""
    if call.url is not None:
        return fill(call.url, values)
    provider = registry().provider(kind.provider)
    base = (provider.base_url if provider else None) or ""
    if whole := _WHOLE.fullmatch(base):
        origin = values.get(whole[1], "")
        if not origin or field_fault(kind, whole[1], origin):
            raise AppError("invalid_config", f"The value of {whole[1]} is not an address.")
        return origin.rstrip("/") + whole[2] + fill(call.path or "", values)
    return fill(base.rstrip("/") + (call.path or ""), values)

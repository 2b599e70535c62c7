"""Requests to the authorization server: authentication, bodies, and the errors of a missing response."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, TypeVar
from urllib.parse import quote_plus, urlencode

import orjson

from egress import (
    BlockedByPolicyError,
    ConnectError,
    EgressError,
    EgressTimeoutError,
    ProtocolError,
    Request,
    Response,
    ResponseTooLargeError,
    Timeouts,
)
from egress import client as egress
from oauth_apps.protocol.assertions import sign_client_assertion
from oauth_apps.protocol.errors import AppError, OAuth2Error, TransientError
from oauth_apps.protocol.types import TIMEOUTS, OAuthClient
from vault.secret import Secret

T = TypeVar("T")

Fields = Mapping[str, str]
RequestChange = Callable[[Fields, Fields], tuple[dict[str, str], dict[str, str]]]
"""Returns the fields and headers of a request, changed."""

# From the narrow to the wide: the first match counts.
_CODES: Final[tuple[tuple[type[EgressError], str], ...]] = (
    (EgressTimeoutError, "timeout"),
    (ResponseTooLargeError, "answer_too_large"),
    (ProtocolError, "connection_lost"),
    (ConnectError, "unreachable"),
    (BlockedByPolicyError, "refused"),
    (EgressError, "unreachable"),
)

_JSON: Final = "application/json"
_FORM: Final = "application/x-www-form-urlencoded"
_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def send_request(request: Request, timeouts: Timeouts = TIMEOUTS) -> Response:
    """Return the response, whatever its status. Raises TransientError if there is none."""
    try:
        return egress.send(request, timeouts=timeouts)
    except EgressError as error:
        failure = error
    code = next(code for kind, code in _CODES if isinstance(failure, kind))
    raise TransientError(code, f"{failure}.", sent=failure.sent)


def post_request(
    client: OAuthClient,
    url: str,
    fields: Fields,
    *,
    secret: Secret | None,
    timeouts: Timeouts,
    change: RequestChange | None = None,
) -> Response:
    """POST `fields`, authenticated with `secret`; `change` may alter what is sent."""
    auth_fields, auth_headers = build_client_authentication(
        client.oauth.client_auth, client_id=client.client_id, secret=secret, url=url
    )
    body: Fields = {**fields, **auth_fields}
    headers: Fields = {"Accept": _JSON, **auth_headers}
    if change is not None:
        body, headers = change(body, headers)
    content_type, content = encode_body(body, client.oauth.token_format)
    headers = {**headers, "Content-Type": content_type}
    return send_request(
        Request(method="POST", url=url, headers=tuple(headers.items()), body=content), timeouts
    )


def build_client_authentication(
    method: str | None, *, client_id: str, secret: Secret | None, url: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the fields and the headers that authenticate the app at `url` (RFC 6749 §2.3).

    Raises AppError if the method is not known (None), and KeyError for a name that `schema.json`
    excludes.
    """
    if secret is None or method == "none":
        # A public client only names itself (RFC 6749 §3.2.1).
        return ({"client_id": client_id} if client_id else {}), {}
    if method == "client_secret_basic":
        # Each part is form-encoded first (§2.3.1), so that a colon in the id splits nothing.
        pair = f"{quote_plus(client_id)}:{quote_plus(secret.expose())}".encode("ascii")
        return {}, {"Authorization": f"Basic {base64.b64encode(pair).decode('ascii')}"}
    if method == "private_key_jwt":
        assertion = sign_client_assertion(client_id=client_id, key=secret, audience=url)
        fields = {"client_assertion_type": _ASSERTION_TYPE, "client_assertion": assertion.expose()}
        return {"client_id": client_id, **fields}, {}
    if method is None:
        # A guess would send the secret to where the provider may log it, and fail as a wrong secret.
        raise AppError(
            "client_auth_unknown",
            "The provider's file does not say how an app authenticates (oauth.client_auth).",
            sent=False,
        )
    if method != "client_secret_post":
        raise KeyError(method)
    return {"client_id": client_id, "client_secret": secret.expose()}, {}


def encode_body(fields: Fields, token_format: str) -> tuple[str, bytes]:
    """Return the type and bytes of a body: a form (RFC 6749, appendix B), or JSON if documented."""
    if token_format == "json":  # noqa: S105  a format, no password
        return _JSON, orjson.dumps(dict(fields))
    return _FORM, urlencode(fields).encode("ascii")


def try_secrets(client: OAuthClient, call: Callable[[Secret | None, Timeouts], T]) -> T:
    """Return what `call` returns with the newest secret, or with the second if that is rejected.

    `invalid_client`, and `app_rejected` by a rule of the provider's file, mean that nothing was done,
    so a second call is safe. The two share the time of one.
    """
    secrets = () if client.oauth.client_auth == "none" else client.secrets
    deadline = time.monotonic() + client.timeouts.total
    try:
        return call(secrets[0] if secrets else None, client.timeouts)
    except AppError as error:
        if error.code not in {"invalid_client", "app_rejected"} or len(secrets) < 2:
            raise
    try:
        return call(secrets[1], replace(client.timeouts, total=max(deadline - time.monotonic(), 0)))
    except OAuth2Error as error:
        error.sent = True  # The first request was sent, whatever happened to the second.
        raise

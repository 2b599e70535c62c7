"""Client authentication at the token endpoint (RFC 6749 §2.3)."""

from __future__ import annotations

import base64
from typing import Final
from urllib.parse import quote_plus

from oauth_apps.protocol.assertions import sign_client_assertion
from oauth_apps.protocol.errors import AppError
from vault.secret import Secret

Fields = dict[str, str]
"""Fields of a body, or headers."""

_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def build_client_authentication(
    method: str | None, *, client_id: str, secret: Secret | None, url: str
) -> tuple[Fields, Fields]:
    """Return the fields and the headers that authenticate the app at `url`.

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

"""How the app proves at the token endpoint that it is itself: one function for each method."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote_plus

from oauth_apps.protocol.assertions import sign_client_assertion
from vault.secret import Secret

Fields = dict[str, str]
"""What a request adds to its body, or to its headers."""

_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def build_client_authentication(
    method: str | None, *, client_id: str, secret: Secret | None, url: str
) -> tuple[Fields, Fields]:
    """The fields and the headers that authenticate the app at `url`.

    Without a secret it is a public client, which names itself alone (RFC 6749 §3.2.1). A `method`
    that was not found (None) is client_secret_post.
    """
    if secret is None or method == "none":
        return ({"client_id": client_id} if client_id else {}), {}
    return _METHODS[method or "client_secret_post"](client_id, secret, url)


def _basic(client_id: str, secret: Secret, url: str) -> tuple[Fields, Fields]:
    """Each is form-encoded first (RFC 6749 §2.3.1), so that a colon in the id splits nothing."""
    pair = f"{quote_plus(client_id)}:{quote_plus(secret.expose())}".encode("ascii")
    return {}, {"Authorization": f"Basic {base64.b64encode(pair).decode('ascii')}"}


def _post(client_id: str, secret: Secret, url: str) -> tuple[Fields, Fields]:
    return {"client_id": client_id, "client_secret": secret.expose()}, {}


def _private_key_jwt(client_id: str, secret: Secret, url: str) -> tuple[Fields, Fields]:
    assertion = sign_client_assertion(client_id=client_id, key=secret, audience=url)
    fields = {"client_assertion_type": _ASSERTION_TYPE, "client_assertion": assertion.expose()}
    return {"client_id": client_id, **fields}, {}


_METHODS: Final[Mapping[str, Callable[[str, Secret, str], tuple[Fields, Fields]]]] = {
    "client_secret_basic": _basic,
    "client_secret_post": _post,
    "private_key_jwt": _private_key_jwt,
}

"""Who the user is, by the ID token that came with the tokens (OpenID Connect Core 1.0)."""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Mapping
from typing import Any, Final

from common import strict_json
from common.errors import BadRequestError
from oauth_apps.protocol.errors import TransientError
from oauth_apps.protocol.types import OAuthClient, TokenResponse
from oauth_apps.protocol.urls import fill_url_template
from vault.secret import Secret

_SKEW: Final = 60
_LONGEST: Final = 64 * 1024
_PARTS: Final = re.compile(r"[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*", re.ASCII)


def validate_id_token(
    client: OAuthClient, tokens: TokenResponse, *, nonce: Secret | None = None
) -> Mapping[str, Any]:
    """The claims of the answer's `id_token`, checked by §3.1.3.7.

    Its signature is not: it came from the token endpoint itself over TLS, which that section
    allows in its place (6.). So this takes an answer, and never an ID token from anywhere else.
    `iss` must be the file's issuer exactly, or where that is not known, an https address on the
    host of the token endpoint (Microsoft's differ by tenant). `aud` must name this client, `exp`
    lie ahead, `sub` be there; `nonce` must be equal if one was sent. Raises TransientError
    (invalid_id_token) saying which is wrong.
    """
    claims = _decoded(tokens.document.get("id_token"))
    if not _is_from(client, claims.get("iss")):
        raise _wrong("is not from the provider's issuer")
    if not _is_for(client.client_id, claims):
        raise _wrong("is for another client")
    if not _ahead(claims.get("exp")):
        raise _wrong("is expired")
    if nonce is not None and not _same(claims.get("nonce"), nonce):
        raise _wrong("belongs to another attempt")
    if not isinstance(claims.get("sub"), str) or not claims["sub"]:
        raise _wrong("names no user")
    return claims


def _decoded(token: Any) -> dict[str, Any]:
    found = _PARTS.fullmatch(token) if isinstance(token, str) and len(token) <= _LONGEST else None
    try:
        claims = strict_json.loads(_base64url(found[1])) if found else None
    except (BadRequestError, binascii.Error):
        claims = None  # Raised below: the parser's error holds the text.
    if not isinstance(claims, dict):
        raise _wrong("is missing or cannot be read")
    return claims


def _base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _is_from(client: OAuthClient, issuer: Any) -> bool:
    if client.oauth.issuer is not None:
        return bool(issuer == fill_url_template(client.oauth.issuer, client.variables))
    host = fill_url_template(client.oauth.token_url, client.variables).split("/", 3)[2]
    return isinstance(issuer, str) and f"{issuer}/".startswith(f"https://{host}/")


def _is_for(client_id: str, claims: Mapping[str, Any]) -> bool:
    """`aud` is the client, or a list with it; then, and wherever it is, `azp` is the client, too."""
    audience = claims.get("aud")
    if isinstance(audience, list):
        named = client_id in audience and (len(audience) == 1 or "azp" in claims)
    else:
        named = audience == client_id
    return named and claims.get("azp", client_id) == client_id


def _ahead(expires: Any) -> bool:
    return type(expires) in (int, float) and expires > time.time() - _SKEW


def _same(claim: Any, nonce: Secret) -> bool:
    return isinstance(claim, str) and Secret(claim) == nonce


def _wrong(fault: str) -> TransientError:
    return TransientError("invalid_id_token", f"The ID token in the answer {fault}.")

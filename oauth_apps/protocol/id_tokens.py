"""ID tokens (OpenID Connect Core 1.0), which say who authorized the app."""

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

_CLOCK_SKEW: Final = 60
_MAX_LENGTH: Final = 64 * 1024
_PARTS: Final = re.compile(r"[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)\.[A-Za-z0-9_-]*", re.ASCII)


def validate_id_token(
    client: OAuthClient, tokens: TokenResponse, *, nonce: Secret | None = None
) -> Mapping[str, Any]:
    """Return the claims of the token response's `id_token`, validated by §3.1.3.7.

    `iss` must be the issuer in the provider's file. If that is not known, it must be an https URL on
    the host of the token endpoint (Microsoft's differ by tenant). `aud` must name this client, `exp`
    be in the future, `sub` be present, and `nonce` be equal if one was sent. Raises TransientError
    (invalid_id_token), which says what is wrong.

    The signature is not verified. The token came from the token endpoint itself over TLS, and §3.1.3.7
    allows that instead; so never pass an ID token from anywhere else.
    """
    claims = _decode_claims(tokens.document.get("id_token"))
    expires_at: Any = claims.get("exp")
    claimed_nonce = claims.get("nonce")
    if not _is_from_issuer(client, claims.get("iss")):
        raise _build_error("is not from the provider's issuer")
    if not _is_for_client(client.client_id, claims):
        raise _build_error("is for another client")
    if type(expires_at) not in (int, float) or expires_at <= time.time() - _CLOCK_SKEW:
        raise _build_error("is expired")
    # Secret compares in constant time.
    if nonce is not None and not (
        isinstance(claimed_nonce, str) and Secret(claimed_nonce) == nonce
    ):
        raise _build_error("belongs to another attempt")
    if not isinstance(claims.get("sub"), str) or not claims["sub"]:
        raise _build_error("names no user")
    return claims


def _decode_claims(token: object) -> dict[str, Any]:
    is_short = isinstance(token, str) and len(token) <= _MAX_LENGTH
    match = _PARTS.fullmatch(str(token)) if is_short else None
    try:
        claims = None
        if match:
            padding = "=" * (-len(match[1]) % 4)
            claims = strict_json.loads(base64.urlsafe_b64decode(match[1] + padding), may_round=True)
    except (BadRequestError, binascii.Error):
        pass  # Raised below, because the parser's error quotes the claims.
    if not isinstance(claims, dict):
        raise _build_error("is missing or cannot be read")
    return claims


def _is_from_issuer(client: OAuthClient, issuer: object) -> bool:
    if client.oauth.issuer is not None:
        return bool(issuer == fill_url_template(client.oauth.issuer, client.variables))
    host = fill_url_template(client.oauth.token_url, client.variables).split("/", 3)[2]
    return isinstance(issuer, str) and f"{issuer}/".startswith(f"https://{host}/")


def _is_for_client(client_id: str, claims: Mapping[str, Any]) -> bool:
    audience = claims.get("aud")
    if isinstance(audience, list):
        # With several audiences, `azp` must say which one the token was issued to.
        is_named = client_id in audience and (len(audience) == 1 or "azp" in claims)
    else:
        is_named = audience == client_id
    return is_named and claims.get("azp", client_id) == client_id


def _build_error(reason: str) -> TransientError:
    return TransientError("invalid_id_token", f"The ID token in the response {reason}.")

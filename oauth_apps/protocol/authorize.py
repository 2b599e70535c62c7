"""The authorization request, which the user's browser makes (RFC 6749 §4.1.1, RFC 7636)."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import quote, urlencode

from oauth_apps.protocol.errors import OAuth2Error
from oauth_apps.protocol.types import OAuthClient
from oauth_apps.protocol.urls import fill_url_template
from providers import quirks
from vault.secret import Secret

_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}", re.ASCII)


def generate_code_verifier() -> Secret:
    """Return a code verifier of 256 random bits (RFC 7636 §4.1); use a new one for each attempt."""
    return Secret(secrets.token_urlsafe(32))


def build_authorization_url(
    client: OAuthClient,
    *,
    redirect_uri: str,
    state: str,
    scopes: Sequence[str],
    verifier: Secret | None,
    params: Mapping[str, str] | None = None,
) -> str:
    """Return the URL that asks the user for a code. Nothing is sent.

    `scopes` are sent unchanged. The challenge is S256 of `verifier`, sent only if the provider's
    file says that it is accepted (`pkce: true`). `params` are the app's own parameters, of which
    those that the file allows (`authorize_options`) are sent. Raises OAuth2Error if the provider has
    no authorization endpoint, AppError if a variable of its URL is missing.
    """
    oauth = client.oauth
    if oauth.authorize_url is None:
        raise OAuth2Error(
            "not_supported", "The provider has no authorization endpoint.", sent=False
        )
    # A row may be older than the file's list.
    own = {name: text for name, text in (params or {}).items() if name in oauth.authorize_options}
    sent = {
        **oauth.authorize_params,
        **own,
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": redirect_uri,
        "state": state,
    }
    if scopes:
        sent[oauth.scope_param] = oauth.scope_separator.join(scopes)
    # LinkedIn rejects the exchange, and Square issues other tokens, after a challenge.
    if verifier is not None and oauth.pkce:
        sent |= {
            "code_challenge": compute_code_challenge(verifier),
            "code_challenge_method": "S256",
        }
    for name in oauth.quirks:
        if name in quirks.AUTHORIZATION_REQUEST:
            sent = quirks.AUTHORIZATION_REQUEST[name](sent)
    url = fill_url_template(oauth.authorize_url, client.variables)
    # All servers decode %20; some do not decode +.
    return f"{url}?{urlencode(sent, quote_via=quote, safe='')}"


def compute_code_challenge(verifier: Secret) -> str:
    """Return S256 of `verifier` (RFC 7636 §4.2). Raises ValueError if it is not a verifier."""
    text = verifier.expose()
    if not _VERIFIER.fullmatch(text):
        raise ValueError("A code verifier has 43 to 128 unreserved characters.")
    digest = hashlib.sha256(text.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")

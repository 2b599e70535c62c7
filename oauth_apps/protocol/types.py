"""The client and the token response of the protocol. Neither shows a value in its repr."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from egress import Timeouts
from providers.kinds import OAuth
from vault.secret import Secret

# A token has at most 16 KiB, but an id_token with groups may have hundreds.
TIMEOUTS: Final = Timeouts(max_body_bytes=1024 * 1024)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class OAuthClient:
    """An OAuth app as the protocol needs it.

    `secrets` are the newest first, () for a public client; the second is tried once after
    `invalid_client`. For an app that signs (private_key_jwt, GitHub's), they are its private keys as
    PEM. `variables` fill the `{variables}` of URLs: the app's config with its defaults, and the
    properties of the credential, if there is one. `timeouts` is for one request and its repetition.
    `scopes` are the app's own, which a token for the app itself is requested with.
    """

    oauth: OAuth
    client_id: str
    secrets: tuple[Secret, ...]
    variables: Mapping[str, str]
    timeouts: Timeouts = TIMEOUTS
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class UnreadableBody:
    """The body of a successful response in which no tokens were found. It may contain them."""

    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TokenResponse:
    """A validated response of a token endpoint (RFC 6749 §5.1).

    `refresh_token` None: the response has none, and the old one stays valid (§6). `expires_in` is in
    seconds, from 1 to 10 years; None if it is missing or not a number. `refresh_expires_in` is the
    same, and also None if the provider says 0. `scope` is as in the response, a list joined with
    spaces. `token_type` is always "Bearer". `document` is the whole response, after the provider's
    quirks; it is secret.
    """

    access_token: Secret
    refresh_token: Secret | None
    expires_in: int | None
    refresh_expires_in: int | None
    scope: str | None
    token_type: str
    document: Mapping[str, Any]

"""What goes in and what comes out. Neither shows anything when it is printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from providers.kinds import OAuth
from vault.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class OAuthClient:
    """An OAuth app as the protocol sees it.

    `secrets`: newest first, () for a public client; the second is tried once on `invalid_client`.
    An app that signs (private_key_jwt, GitHub's) has its private key there, as PEM. `variables`
    fill the `{variables}` of URLs: the app's config with its defaults, and the credential's
    properties where there is one.
    """

    oauth: OAuth
    client_id: str
    secrets: tuple[Secret, ...]
    variables: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TokenResponse:
    """A token endpoint's answer, checked (RFC 6749 §5.1).

    `refresh_token` None: the answer left it out, and the old one stays (§6). `expires_in` is in
    seconds, at least 60 and at most 10 years; None: left out, or not a number. `refresh_expires_in`
    likewise, None also where the provider says 0. `scope` is as the answer has it, a list joined
    with spaces. `token_type` is always "Bearer": no other type is accepted. `document` is the whole answer, after the provider's quirks; it is secret.
    """

    access_token: Secret
    refresh_token: Secret | None
    expires_in: int | None
    refresh_expires_in: int | None
    scope: str | None
    token_type: str
    document: Mapping[str, Any]

"""The credentials that can be revoked at their provider."""

from __future__ import annotations

from typing import Final

from providers.registry import get_registry

# The refresh token comes first: revoking it ends the grant, and at most providers its access tokens.
TOKEN_FIELDS: Final = ("refresh_token", "access_token")


def can_revoke(kind_name: str) -> bool:
    """Return whether the kind is a grant whose provider has a call to revoke it.

    A key or password of the user's own cannot be revoked.
    """
    kind = get_registry().get_kind(kind_name)
    oauth = get_registry().get_oauth(kind_name)
    if kind is None or oauth is None or not kind.needs_app:
        return False
    if not set(TOKEN_FIELDS) & set(kind.secret_fields):
        return False
    return bool(oauth.revocation_url or oauth.revocation)

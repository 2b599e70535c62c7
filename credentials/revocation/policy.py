"""Which credentials their providers can be told to end."""

from __future__ import annotations

from typing import Final

from providers.registry import get_registry

TOKEN_FIELDS: Final = ("refresh_token", "access_token")
"""The refresh token first: ending it ends the grant, at most providers with all its access tokens."""


def can_revoke(kind_name: str) -> bool:
    """Whether it is a grant (no key or password of the user's own) whose provider has a call for it."""
    kind = get_registry().get_kind(kind_name)
    provider = get_registry().get_provider(kind.provider) if kind else None
    if kind is None or provider is None or provider.oauth is None or not kind.needs_app:
        return False
    if not set(TOKEN_FIELDS) & set(kind.secret_fields):
        return False
    return bool(provider.oauth.revocation_url or provider.oauth.revocation)

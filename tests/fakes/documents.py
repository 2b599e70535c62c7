"""The common part of the provider files of all fake authorization servers."""

from __future__ import annotations

from typing import Any

_REFRESH = ("rotates", "grace_seconds", "idle_days", "lifetime_days", "access_token_seconds")


def provider_document(
    slug: str, name: str, url: str, refresh: dict[str, Any] | None = None, **oauth: Any
) -> dict[str, Any]:
    """Return a provider at `url` without kinds, with the given facts about tokens and OAuth."""
    return {
        "slug": slug,
        "name": name,
        "website": None,
        "sources": [],
        "api": {
            "base_url": url,
            "auth": {"in": "header", "values": {"Authorization": "Bearer {access_token}"}},
        },
        "variables": {},
        "oauth": {
            "authorize_url": f"{url}/authorize",
            "token_url": f"{url}/token",
            "revocation_url": f"{url}/revoke",
            "introspection_url": None,
            "issuer": None,
            "scope_separator": " ",
            "default_scopes": [],
            "pkce": True,
            "client_auth": "client_secret_post",
            "token_params": {},
            "refresh": {fact: (refresh or {}).get(fact) for fact in _REFRESH},
            "authorize_params": {},
            "refresh_url": None,
            "token_format": "form",
            "scope_param": "scope",
            "iss": None,
            "quirks": [],
            "revocation": None,
            **oauth,
        },
    }

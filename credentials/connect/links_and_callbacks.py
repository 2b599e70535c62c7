"""Where browsers are sent back to, and where providers send them to us."""

from __future__ import annotations

from urllib.parse import quote, urlencode, urlsplit

from django.conf import settings

from oauth_apps.models import OAuthApp


def add_query_params(url: str, parameters: dict[str, str]) -> str:
    """`url`, which was checked and has no fragment, with `parameters` added to its query."""
    joint = "&" if urlsplit(url).query else "?"
    return f"{url.rstrip('?&')}{joint}{urlencode(parameters, quote_via=quote, safe='')}"


def build_callback_url(app: OAuthApp, *, short: bool) -> str:
    """The redirect URI to register at the provider; `short` is the documented form without the id."""
    path = f"/link/oauth2/callback/{app.provider}"
    return f"{settings.PUBLIC_URL}{path}" if short else f"{settings.PUBLIC_URL}{path}/{app.id}"


def build_start_url(token: str) -> str:
    return f"{settings.PUBLIC_URL}/link/oauth2/start/{token}"


def build_link_url(token: str) -> str:
    return f"{settings.PUBLIC_URL}/connect/{token}"

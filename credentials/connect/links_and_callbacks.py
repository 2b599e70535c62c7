"""The URLs of connect links, start pages and callbacks, and query parameters for return URLs."""

from __future__ import annotations

from urllib.parse import quote, urlencode, urlsplit

from django.conf import settings

from oauth_apps.models import OAuthApp


def add_query_params(url: str, params: dict[str, str]) -> str:
    """Return `url` with `params` in its query. It must be validated and have no fragment."""
    separator = "&" if urlsplit(url).query else "?"
    return f"{url.rstrip('?&')}{separator}{urlencode(params, quote_via=quote, safe='')}"


def build_callback_url(app: OAuthApp, *, short: bool) -> str:
    """Return the redirect URI to register at the provider; `short` leaves out the app's id."""
    path = f"/link/oauth2/callback/{app.provider}"
    return f"{settings.PUBLIC_URL}{path}" if short else f"{settings.PUBLIC_URL}{path}/{app.id}"


def build_start_url(token: str) -> str:
    return f"{settings.PUBLIC_URL}/link/oauth2/start/{token}"


def build_link_url(token: str) -> str:
    return f"{settings.PUBLIC_URL}/connect/{token}"

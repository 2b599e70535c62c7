"""The system check of the URLs in provider files: requests must be allowed to go there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured

from common.errors import InvalidInputError
from egress.policy import allowed_targets
from egress.urls import parse_url
from providers.kinds import Provider
from providers.registry import get_registry
from providers.url_templates import PLACEHOLDER

BLOCKED_URL: Final = "oauth_apps.E001"


def check_provider_urls(**_: Any) -> list[CheckMessage]:
    """Return one message for each URL of a provider that egress would block."""
    try:
        providers, allowed = get_registry().providers.values(), allowed_targets()
    except ImproperlyConfigured:
        return []  # The checks of these two say so.
    messages: list[CheckMessage] = []
    for provider in providers:
        for field, template in _list_templates(provider):
            # The value of a variable is one or more labels, and an origin is checked with the app.
            url = PLACEHOLDER.sub("x.x", template)
            try:
                parse_url(url, field=field, allowed=allowed)
            except InvalidInputError as error:
                reason = "; ".join(error.fields[field])
                messages.append(Error(f"{provider.slug}: {field}: {reason}", id=BLOCKED_URL))
    return messages


def _list_templates(provider: Provider) -> Iterator[tuple[str, str]]:
    """Yield the URLs that do not begin with a variable, each with its field."""
    urls = [("api.base_url", provider.base_url)]
    for oauth in provider.list_oauth():
        urls += [
            ("oauth.authorize_url", oauth.authorize_url),
            ("oauth.token_url", oauth.token_url),
            ("oauth.refresh_url", oauth.refresh_url),
            ("oauth.revocation_url", oauth.revocation_url),
            ("oauth.introspection_url", oauth.introspection_url),
            ("oauth.revocation.url", oauth.revocation.url if oauth.revocation else None),
        ]
    for kind in provider.kinds.values():
        if kind.connect and kind.connect.call:
            urls.append((f"kinds.{kind.name}.connect.call.url", kind.connect.call.url))
    return ((field, url) for field, url in urls if url and not url.startswith("{"))

"""The provider's own proof of an authorization response, in addition to `state` and `iss`."""

from __future__ import annotations

from collections.abc import Mapping

from oauth_apps.protocol.errors import OAuth2Error
from oauth_apps.protocol.types import OAuthClient
from providers import quirks


def verify_callback(client: OAuthClient, params: Mapping[str, str]) -> None:
    """Raise OAuth2Error if the provider signs its responses, and this one is not its own.

    `params` are all parameters of the response. Either of an app's two secrets may have signed it.
    """
    for name in client.oauth.quirks:
        if name in quirks.CALLBACK:
            secrets = [secret.expose() for secret in client.secrets]
            if not any(quirks.CALLBACK[name](params, secret) for secret in secrets):
                raise OAuth2Error(
                    "callback_unverified",
                    "The provider's signature on its response is missing or wrong.",
                    sent=False,
                )

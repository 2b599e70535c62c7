"""Requests with an `Idempotency-Key`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from credentials.connect.models import ConnectLink
from credentials.models import Credential
from oauth_apps.models import OAuthApp
from tests.api import ApiClient
from tests.factories import make_endpoint_body, make_stripe_body
from tests.project.routes import make_app_body
from webhooks.models import WebhookEndpoint

DAY_SECONDS = 24 * 3600
IDEMPOTENT_PATHS: dict[str, tuple[Callable[[], Any], Any]] = {
    "/v1/credentials": (make_stripe_body, Credential),
    "/v1/oauth-apps": (make_app_body, OAuthApp),
    "/v1/connect-links": (lambda: {"kind": "stripe_key"}, ConnectLink),
    "/v1/webhook-endpoints": (make_endpoint_body, WebhookEndpoint),
}
each_path = pytest.mark.parametrize("path", IDEMPOTENT_PATHS)


def post_with_key(api: ApiClient, path: str, body: Any, key: str = "k-1", **more: Any) -> Any:
    return api.post(path, body, headers={"Idempotency-Key": key}, **more)


def is_replayed(response: Any) -> bool:
    return bool(response.get("Idempotent-Replayed") == "true")

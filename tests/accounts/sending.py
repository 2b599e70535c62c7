"""Requests with an `Idempotency-Key`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from credentials.connect.models import ConnectLink
from credentials.models import Credential
from oauth_apps.models import OAuthApp
from tests.api import Api
from tests.factories import endpoint_body, stripe_body
from tests.project.routes import app_body
from webhooks.models import WebhookEndpoint

DAY = 24 * 3600
PATHS: dict[str, tuple[Callable[[], Any], Any]] = {
    "/v1/credentials": (stripe_body, Credential),
    "/v1/oauth-apps": (app_body, OAuthApp),
    "/v1/connect-links": (lambda: {"kind": "stripe_key"}, ConnectLink),
    "/v1/webhook-endpoints": (endpoint_body, WebhookEndpoint),
}
each_path = pytest.mark.parametrize("path", PATHS)


def post(api: Api, path: str, body: Any, key: str = "k-1", **more: Any) -> Any:
    return api.post(path, body, headers={"Idempotency-Key": key}, **more)


def replayed(answer: Any) -> bool:
    return bool(answer.get("Idempotent-Replayed") == "true")

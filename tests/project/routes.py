"""Every route of the URL configuration, with a request that it accepts.

A route without a sample here fails the tests that walk over all routes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from accounts.checks import get_declared_scope, iter_api_views
from tests.factories import make_endpoint_body, make_stripe_body

VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def make_app_body(**more: Any) -> dict[str, Any]:
    fields = {"provider": "linear", "name": "App", "client_id": "c", "client_secret": "s"}
    return {**fields, **more}


BODIES: dict[str, Callable[[], Any]] = {
    "POST /v1/credentials": make_stripe_body,
    "POST /v1/credentials/import": lambda: [make_stripe_body()],
    "PATCH /v1/credentials/{pk}": lambda: {"name": "New", "metadata": {"a": 1}},
    "POST /v1/credentials/{pk}/check": lambda: None,
    "POST /v1/credentials/{pk}/report": lambda: {"status": 401},
    "POST /v1/credentials/{pk}/reveal": lambda: {"reason": "A sample."},
    "POST /v1/credentials/{pk}/reveal-response": lambda: {"reason": "A sample."},
    "POST /v1/credentials/{pk}/rotate": lambda: {"properties": {"secret": "sk_test_rotated"}},
    "POST /v1/credentials/start-auth": lambda: {
        "oauth_app_id": "01989aa0-0000-7000-8000-000000000000",
        "credential_kind": "stripe_oauth2",
        "redirect_url": "https://acme.example/connected",
    },
    "POST /v1/connect-links": lambda: {"kind": "stripe_key"},
    "POST /v1/connect-links/{pk}/complete": lambda: None,
    "PATCH /v1/connect-settings": lambda: {"return_urls": ["https://acme.example/keys"]},
    "PATCH /v1/oauth-apps/{pk}/connect-settings": lambda: {"completes_itself": True},
    "POST /link/oauth2/token": lambda: {
        "code": "c",
        "client_id": "01989aa0-0000-7000-8000-000000000000",
        "client_secret": "s",
    },
    "POST /v1/credentials/{pk}/token": lambda: None,
    "PUT /v1/credentials/{pk}/policy": lambda: {"methods": ["GET"]},
    "POST /v1/credentials/{pk}/refresh": lambda: None,
    "POST /v1/credentials/{pk}/change-app": lambda: {
        "oauth_app_id": "01989aa0-0000-7000-8000-000000000000"
    },
    "POST /v1/credentials/{pk}/hold": lambda: None,
    "DELETE /v1/credentials/{pk}/hold": lambda: None,
    "POST /v1/credentials/hold": lambda: None,
    "DELETE /v1/credentials/hold": lambda: None,
    "POST /v1/oauth-apps": make_app_body,
    "PATCH /v1/oauth-apps/{pk}": lambda: {"name": "New", "client_secret": "new"},
    "POST /v1/webhook-endpoints": make_endpoint_body,
    "PATCH /v1/webhook-endpoints/{pk}": lambda: {"enabled": False},
    "POST /v1/webhook-endpoints/{pk}/rotate-secret": lambda: {"drop_old_secret": True},
    "POST /v1/webhook-endpoints/{endpoint_id}/deliveries/{pk}/replay": lambda: None,
    "POST /api/credentials": lambda: {"service": "openai", "name": "n", "key": "sk-1"},
    "POST /api/auth/login": lambda: {"username": "nobody", "password": "wrong"},
    "POST /api/auth/logout": lambda: None,
}
OBJECTS = {
    "/v1/credentials/{pk}": "credential",
    "/v1/credentials/{pk}/check": "credential",
    "/v1/credentials/{pk}/report": "credential",
    "/v1/credentials/{pk}/reveal": "credential",
    "/v1/credentials/{pk}/reveal-response": "credential",
    "/v1/credentials/{pk}/rotate": "credential",
    "/v1/credentials/{pk}/health-changes": "credential",
    "/v1/credentials/{pk}/policy": "credential",
    "/v1/credentials/{pk}/token": "credential",
    "/v1/credentials/{pk}/refresh": "credential",
    "/v1/credentials/{pk}/change-app": "credential",
    "/v1/credentials/{pk}/hold": "credential",
    "/v1/oauth-apps/{pk}": "app",
    "/v1/oauth-apps/{pk}/connect-settings": "app",
    "/v1/connect-links/{pk}": "link",
    "/v1/connect-links/{pk}/complete": "link",
    "/v1/webhook-endpoints/{pk}": "endpoint",
    "/v1/webhook-endpoints/{pk}/rotate-secret": "endpoint",
    "/v1/webhook-endpoints/{endpoint_id}/deliveries": "endpoint",
    "/v1/webhook-endpoints/{endpoint_id}/deliveries/{pk}/replay": "delivery",
    "/api/credentials/{pk}": "credential",
}
"""The object that a route's id names (the last one, if there are two). It belongs to an account."""

KINDS = ("credential", "app", "endpoint", "delivery", "link")
"""The objects that routes name."""

SHARED = {"/v1/providers/{slug}": "stripe"}
"""Routes with an id that all accounts share, and an existing id."""


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    scope: str

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    def build_body(self) -> Any:
        """Return a body that the route accepts, or None for methods without a body."""
        if self.method in {"GET", "DELETE"}:
            return None
        assert self.name in BODIES, f"{self.name} has no sample body in tests/project/routes.py"
        return BODIES[self.name]()

    def build_path(self, **ids: Any) -> str:
        """Return the path with the id of its object. `ids` maps kinds of objects to ids."""
        if "{" not in self.path:
            return self.path
        if self.path in SHARED:
            return re.sub(r"\{\w+\}", SHARED[self.path], self.path)
        assert self.path in OBJECTS, f"{self.path} has no object in tests/project/routes.py"
        outer = self.path.replace("{endpoint_id}/deliveries/", f"{ids['endpoint']}/deliveries/")
        return re.sub(r"\{\w+\}", str(ids[OBJECTS[self.path]]), outer)


def list_routes() -> list[Route]:
    """Return a Route for each route and method, without HEAD and the API's description."""
    found = [
        Route(
            method.upper(), to_path_template(route), str(get_declared_scope(view, method, action))
        )
        for route, view, methods in iter_api_views()
        for method, action in methods.items()
        if method != "head"
    ]
    return sorted(
        (route for route in found if route.path not in {"/openapi.json", "/docs"}),
        key=lambda route: route.name,
    )


def to_path_template(route: str) -> str:
    """Return `v1/^things/(?P<pk>[^/.]+)$` or `v1/things/<str:pk>` as `/v1/things/{pk}`."""
    named = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", route)
    named = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", named)
    return "/" + named.replace("^", "").replace("$", "")


def list_paths() -> list[str]:
    return sorted({route.path for route in list_routes()})


def list_allowed_methods(path: str) -> set[str]:
    verbs = {route.method for route in list_routes() if route.path == path}
    return verbs | ({"HEAD"} if "GET" in verbs else set())

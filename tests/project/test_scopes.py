"""Every route needs a token with its scope; other methods are 405."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.core.checks import run_checks
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts import checks
from common.api.views import ApiView
from common.scopes import ALL, ANY, PUBLIC
from tests.api import ApiClient
from tests.factories import make_token
from tests.project.cases import collect_failures
from tests.project.routes import KINDS, Route, list_allowed_methods, list_paths, list_routes
from tests.project.world import World, snapshot_database

PUBLIC_ROUTES = {"POST /api/auth/login", "GET /api/auth/status", "POST /link/oauth2/token"}
DOCUMENTED = {
    "GET /v1/credentials": "credentials:read",
    "POST /v1/credentials": "credentials:write",
    "GET /v1/credentials/{pk}": "credentials:read",
    "PATCH /v1/credentials/{pk}": "credentials:write",
    "DELETE /v1/credentials/{pk}": "credentials:write",
    "POST /v1/credentials/import": "credentials:write",
    "GET /v1/credentials/export": "credentials:read",
    "POST /v1/credentials/{pk}/rotate": "credentials:write",
    "POST /v1/credentials/{pk}/change-app": "credentials:write",
    "POST /v1/credentials/{pk}/reveal": "credentials:reveal",
    "POST /v1/credentials/{pk}/reveal-response": "credentials:reveal",
    "POST /v1/credentials/{pk}/token": "credentials:use",
    "POST /v1/credentials/{pk}/check": "credentials:use",
    "POST /v1/credentials/{pk}/refresh": "credentials:use",
    "POST /v1/credentials/{pk}/hold": "credentials:write",
    "DELETE /v1/credentials/{pk}/hold": "credentials:write",
    "POST /v1/credentials/hold": "credentials:write",
    "DELETE /v1/credentials/hold": "credentials:write",
    "POST /v1/credentials/{pk}/report": "credentials:use",
    "GET /v1/oauth-apps": "oauth_apps:read",
    "POST /v1/oauth-apps": "oauth_apps:write",
    "GET /v1/oauth-apps/{pk}": "oauth_apps:read",
    "PATCH /v1/oauth-apps/{pk}": "oauth_apps:write",
    "DELETE /v1/oauth-apps/{pk}": "oauth_apps:write",
    "GET /v1/providers": ANY,
    "GET /v1/providers/{slug}": ANY,
    "GET /v1/events": "events:read",
    "GET /v1/credentials/{pk}/health-changes": "credentials:read",
    "GET /v1/credentials/{pk}/policy": "credentials:read",
    "PUT /v1/credentials/{pk}/policy": "credentials:write",
    "GET /v1/webhook-endpoints": "webhooks:read",
    "POST /v1/webhook-endpoints": "webhooks:write",
    "GET /v1/webhook-endpoints/{pk}": "webhooks:read",
    "PATCH /v1/webhook-endpoints/{pk}": "webhooks:write",
    "DELETE /v1/webhook-endpoints/{pk}": "webhooks:write",
    "POST /v1/webhook-endpoints/{pk}/rotate-secret": "webhooks:write",
    "GET /v1/webhook-endpoints/{endpoint_id}/deliveries": "webhooks:read",
    "POST /v1/webhook-endpoints/{endpoint_id}/deliveries/{pk}/replay": "webhooks:write",
    "POST /v1/credentials/start-auth": "credentials:write",
    "GET /v1/connect-links": "credentials:read",
    "POST /v1/connect-links": "credentials:write",
    "GET /v1/connect-links/{pk}": "credentials:read",
    "DELETE /v1/connect-links/{pk}": "credentials:write",
    "POST /v1/connect-links/{pk}/complete": "credentials:write",
    "GET /v1/connect-settings": "oauth_apps:read",
    "PATCH /v1/connect-settings": "oauth_apps:write",
    "GET /v1/oauth-apps/{pk}/connect-settings": "oauth_apps:read",
    "PATCH /v1/oauth-apps/{pk}/connect-settings": "oauth_apps:write",
    "POST /link/oauth2/token": PUBLIC,
    "POST /api/auth/login": PUBLIC,
    "POST /api/auth/logout": ANY,
    "GET /api/auth/status": PUBLIC,
    "GET /api/credentials": "credentials:read",
    "POST /api/credentials": "credentials:write",
    "DELETE /api/credentials/{pk}": "credentials:write",
}
GUARDED = [route for route in list_routes() if route.scope != PUBLIC]
SCOPED = [route for route in GUARDED if route.scope != ANY]


@pytest.fixture
def world(db: None) -> World:
    """A world with an object of each kind, and with its token."""
    world = World()
    world.get_ids()
    world.token  # noqa: B018 - created before the first case
    return world


def send(world: World, route: Route, token: str | None, method: str | None = None) -> Any:
    """Send the route's sample request, which must store nothing."""
    path = route.build_path(**world.get_ids())
    before = snapshot_database()
    response = ApiClient(token).send(method or route.method, path, route.build_body())
    assert snapshot_database() == before
    return response


def make_token_without(world: World, scope: str) -> str:
    return make_token(world.account, *(other for other in ALL if other != scope))


def test_each_route_has_its_documented_scope():
    assert {route.name: route.scope for route in list_routes()} == DOCUMENTED


def test_only_logging_in_is_public():
    assert {route.name for route in list_routes() if route.scope == PUBLIC} == PUBLIC_ROUTES


def test_a_request_without_a_token_is_401(world):
    with collect_failures() as case:
        for route in GUARDED:
            with case(route.name):
                response = send(world, route, None)
                assert response.status_code == 401
                assert response["WWW-Authenticate"] == 'Bearer realm="latchkey"'
                assert world.token not in response.content.decode()


def test_head_without_a_token_is_401(world):
    with collect_failures() as case:
        for route in GUARDED:
            if route.method == "GET":
                with case(route.name):
                    assert send(world, route, None, "HEAD").status_code == 401


def test_a_token_without_the_scope_is_403_naming_it(world):
    with collect_failures() as case:
        for route in SCOPED:
            with case(route.name):
                response = send(world, route, make_token_without(world, route.scope))
                assert response.status_code == 403
                assert route.scope in response.content.decode()
                if route.path.startswith("/v1"):
                    assert response.json()["missing_scope"] == route.scope


def test_head_needs_the_scope_of_get(world):
    with collect_failures() as case:
        for route in SCOPED:
            if route.method == "GET":
                with case(route.name):
                    token = make_token_without(world, route.scope)
                    assert send(world, route, token, "HEAD").status_code == 403


def test_a_token_with_the_scope_alone_is_enough(world):
    with collect_failures() as case:
        for route in GUARDED:
            with case(route.name):
                token = make_token(world.account, route.scope if route.scope != ANY else ALL[0])
                path = route.build_path(**world.get_ids())
                response = ApiClient(token).send(route.method, path, route.build_body())
                assert response.status_code not in {401, 403}


def test_secrets_in_full_need_the_scope_to_reveal_as_well(world):
    token = make_token_without(world, "credentials:reveal")
    for path in ("/v1/oauth-apps", f"/v1/oauth-apps/{world.app.id}"):
        response = ApiClient(token).get(f"{path}?truncate_secrets=false")
        assert response.status_code == 403
        assert response.json()["missing_scope"] == "credentials:reveal"


NOT_ALLOWED = [
    (path, method)
    for path in list_paths()
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
    if method not in list_allowed_methods(path)
]


def test_other_methods_are_405(world):
    ids = world.get_ids()
    with collect_failures() as case:
        for path, method in NOT_ALLOWED:
            with case(f"{method} {path}"):
                at = Route(method, path, "").build_path(**ids)
                response = ApiClient(world.token).send(method, at)
                assert response.status_code == 405
                assert response["Allow"]


def test_405_names_the_allowed_methods(world):
    ids = world.get_ids()
    with collect_failures() as case:
        for path in list_paths():
            if "PUT" not in list_allowed_methods(path):
                with case(path):
                    at = Route("PUT", path, "").build_path(**ids)
                    response = ApiClient(world.token).send("PUT", at)
                    allowed = {name.strip() for name in response["Allow"].split(",")}
                    assert allowed == list_allowed_methods(path)


def test_other_methods_without_a_token_are_no_server_error(db):
    with collect_failures() as case:
        for path, method in NOT_ALLOWED:
            with case(f"{method} {path}"):
                at = Route(method, path, "").build_path(**dict.fromkeys(KINDS, "x"))
                assert ApiClient().send(method, at).status_code in {401, 405}


class WithoutScopes(ApiView):
    def get(self, request):
        return Response({})


class WithMisspeltScope(ApiView):
    scopes = {"GET": "credentials:raed"}

    def get(self, request):
        return Response({})


class WithOneScopeOfTwo(ViewSet):
    scopes = {"GET": "credentials:read"}

    def list(self, request):
        return Response([])

    def create(self, request):
        return Response({})


VIEWS = {
    "none": (WithoutScopes.as_view(), ["GET"]),
    "an unknown one": (WithMisspeltScope.as_view(), ["GET"]),
    "one of two": (WithOneScopeOfTwo.as_view({"get": "list", "post": "create"}), ["POST"]),
}


@pytest.mark.parametrize("case", VIEWS)
def test_a_view_without_a_valid_scope_fails_the_check(monkeypatch, case):
    from django.urls import path

    view, missing = VIEWS[case]
    patterns = [path("v1/new", view)]
    monkeypatch.setattr(checks, "get_resolver", lambda: SimpleNamespace(url_patterns=patterns))
    errors = checks.check_scopes()
    assert [error.id for error in errors] == ["accounts.E001"] * len(missing)
    assert all(f" {verb} " in error.msg for verb, error in zip(missing, errors, strict=True))


def test_the_check_is_registered_and_passes():
    from django.core.checks.registry import registry

    names = {f"{c.__module__}.{getattr(c, '__name__', None)}" for c in registry.get_checks()}
    assert "accounts.checks.check_scopes" in names
    assert [m for m in run_checks() if m.id == "accounts.E001"] == []

"""Every route and verb asks for its token and its scope; what is not offered is 405."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.core.checks import run_checks
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts import checks
from common.api.views import ApiView
from common.scopes import ALL, ANY, PUBLIC
from tests.api import ApiClient
from tests.factories import make_token
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
    "POST /v1/credentials/{pk}/rotate": "credentials:write",
    "POST /v1/credentials/{pk}/reveal": "credentials:reveal",
    "POST /v1/credentials/{pk}/token": "credentials:use",
    "POST /v1/credentials/{pk}/check": "credentials:use",
    "POST /v1/credentials/{pk}/refresh": "credentials:use",
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


def each(found: list[Route]):
    return pytest.mark.parametrize("route", found, ids=lambda route: route.name)


def send(world: World, route: Route, token: str | None, method: str | None = None):
    path = route.build_path(**world.get_ids())
    before = snapshot_database()
    answer = ApiClient(token).send(method or route.method, path, route.build_body())
    assert snapshot_database() == before
    return answer


@each(list_routes())
def test_a_route_has_the_documented_scope(route):
    assert DOCUMENTED[route.name] == route.scope


def test_only_logging_in_is_public():
    assert {route.name for route in list_routes() if route.scope == PUBLIC} == PUBLIC_ROUTES


@each(GUARDED)
def test_without_a_token_it_is_401(db, route):
    world = World()
    token = make_token(world.account)
    answer = send(world, route, None)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"] == 'Bearer realm="latchkey"'
    assert token not in answer.content.decode()


@each([route for route in GUARDED if route.method == "GET"])
def test_head_without_a_token_is_401(db, route):
    assert send(World(), route, None, "HEAD").status_code == 401


@each(SCOPED)
def test_all_scopes_but_its_own_are_403_that_names_it(db, route):
    world = World()
    token = make_token(world.account, *(scope for scope in ALL if scope != route.scope))
    answer = send(world, route, token)
    assert answer.status_code == 403
    assert route.scope in answer.content.decode()
    if route.path.startswith("/v1"):
        assert answer.json()["missing_scope"] == route.scope


@each([route for route in SCOPED if route.method == "GET"])
def test_head_needs_the_scope_of_get(db, route):
    world = World()
    token = make_token(world.account, *(scope for scope in ALL if scope != route.scope))
    assert send(world, route, token, "HEAD").status_code == 403


@each(GUARDED)
def test_its_own_scope_is_enough(db, route):
    world = World()
    token = make_token(world.account, route.scope if route.scope != ANY else ALL[0])
    path = route.build_path(**world.get_ids())
    assert ApiClient(token).send(route.method, path, route.build_body()).status_code not in {
        401,
        403,
    }


def test_secrets_in_full_need_the_scope_to_reveal_as_well(db):
    world = World()
    token = make_token(world.account, *(scope for scope in ALL if scope != "credentials:reveal"))
    for path in ("/v1/oauth-apps", f"/v1/oauth-apps/{world.app.id}"):
        answer = ApiClient(token).get(f"{path}?truncate_secrets=false")
        assert (answer.status_code, answer.json()["missing_scope"]) == (403, "credentials:reveal")


NOT_OFFERED = [
    (path, verb)
    for path in list_paths()
    for verb in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
    if verb not in list_allowed_methods(path)
]


@pytest.mark.parametrize(("path", "verb"), NOT_OFFERED)
def test_what_is_not_offered_is_405(db, path, verb):
    world = World()
    at = Route(verb, path, "").build_path(**world.get_ids())
    answer = ApiClient(world.token).send(verb, at)
    assert answer.status_code == 405
    assert answer["Allow"]


@pytest.mark.parametrize("path", list_paths())
def test_405_says_what_is_offered_and_nothing_else(db, path):
    world = World()
    at = Route("PUT", path, "").build_path(**world.get_ids())
    answer = ApiClient(world.token).send("PUT", at)
    assert {name.strip() for name in answer["Allow"].split(",")} == list_allowed_methods(path)


@pytest.mark.parametrize(("path", "verb"), NOT_OFFERED)
def test_what_is_not_offered_is_no_server_error_without_a_token(db, path, verb):
    answer = ApiClient().send(verb, Route(verb, path, "").build_path(**dict.fromkeys(KINDS, "x")))
    assert answer.status_code in {401, 405}


class Unstated(ApiView):
    def get(self, request):
        return Response({})


class Misspelt(ApiView):
    scopes = {"GET": "credentials:raed"}

    def get(self, request):
        return Response({})


class HalfStated(ViewSet):
    scopes = {"GET": "credentials:read"}

    def list(self, request):
        return Response([])

    def create(self, request):
        return Response({})


VIEWS = {
    "none": (Unstated.as_view(), ["GET"]),
    "an unknown one": (Misspelt.as_view(), ["GET"]),
    "one of two": (HalfStated.as_view({"get": "list", "post": "create"}), ["POST"]),
}


@pytest.mark.parametrize("case", VIEWS)
def test_a_view_that_states_no_scope_does_not_start(monkeypatch, case):
    from django.urls import path

    view, missing = VIEWS[case]
    patterns = [path("v1/new", view)]
    monkeypatch.setattr(checks, "get_resolver", lambda: SimpleNamespace(url_patterns=patterns))
    found = checks.check_scopes()
    assert [error.id for error in found] == ["accounts.E001"] * len(missing)
    assert all(f" {verb} " in error.msg for verb, error in zip(missing, found, strict=True))


def test_the_check_runs_at_start_and_finds_nothing():
    from django.core.checks.registry import registry

    names = {f"{c.__module__}.{getattr(c, '__name__', None)}" for c in registry.get_checks()}
    assert "accounts.checks.check_scopes" in names
    assert [m for m in run_checks() if m.id == "accounts.E001"] == []

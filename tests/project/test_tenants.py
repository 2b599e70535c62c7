"""Another account's object is like an unknown one: on every route, with every method."""

from __future__ import annotations

import json
from typing import Any

import pytest

from credentials.models import Credential
from oauth_apps.models import OAuthApp
from tests.api import ApiClient
from tests.factories import (
    make_app,
    make_credential,
    make_linear_body,
    make_stripe_body,
    make_token,
)
from tests.project.cases import collect_failures
from tests.project.routes import (
    BODIES,
    KINDS,
    OBJECTS,
    VERBS,
    Route,
    list_allowed_methods,
    list_paths,
    list_routes,
)
from tests.project.world import World, snapshot_database

pytestmark = pytest.mark.slow

UNKNOWN = "01989aa0-0000-7000-8000-000000000000"
WITH_ID = [path for path in list_paths() if "{" in path and "{slug}" not in path]
MERGE = "application/merge-patch+json"
REQUESTS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "a wrong body": {"body": {"nope": 1}},
    "a broken body": {"body": b"{"},
    "an empty body": {"body": b"", "headers": {"Content-Length": "0"}},
    "a stale If-Match": {"body": {"name": "x"}, "headers": {"If-Match": '"99"'}},
    "the right If-Match": {"body": {"name": "x"}, "headers": {"If-Match": '"1"'}},
    "a merge patch": {"body": {"metadata": {"a": None}}, "content_type": MERGE},
    "an unknown type": {"body": b"x", "content_type": "text/plain"},
    "a gzip body": {"body": b"x", "headers": {"Content-Encoding": "gzip"}},
}


@pytest.fixture
def world(db: None) -> World:
    """Two accounts, each with an object of each kind."""
    world = World()
    world.get_ids()
    world.get_other_ids()
    world.token  # noqa: B018 - created before the first case
    return world


def describe(response: Any) -> tuple[int, dict[str, str], Any]:
    """Return everything by which a caller could distinguish two responses."""
    headers = {k: v for k, v in response.headers.items() if k not in {"X-Request-Id", "Date"}}
    body = json.loads(response.content) if response.content else None
    if isinstance(body, dict):
        body.pop("request_id", None)
    headers.pop("Content-Length", None) if body is None else None
    return response.status_code, headers, body


def send_both(
    world: World, path: str, method: str, query: str = "", **request: Any
) -> tuple[Any, Any]:
    """Return the responses for another account's id and for an id that does not exist."""
    route = Route(method, path, "")
    foreign = route.build_path(**world.get_other_ids())
    unknown = route.build_path(**dict.fromkeys(KINDS, UNKNOWN))
    api = ApiClient(world.token)
    before = snapshot_database()
    responses = tuple(api.send(method, at + query, **request) for at in (foreign, unknown))
    assert snapshot_database() == before
    return responses[0], responses[1]


def test_every_route_with_an_id_has_a_sample():
    assert set(WITH_ID) <= set(OBJECTS)


def test_every_route_that_takes_a_body_has_a_sample():
    names = {route.name for route in list_routes() if route.method not in {"GET", "DELETE"}}
    assert names <= set(BODIES)


def test_no_sample_is_of_a_route_that_was_removed():
    assert set(BODIES) <= {route.name for route in list_routes()}


@pytest.mark.parametrize("path", WITH_ID)
def test_a_foreign_id_responds_like_an_unknown_one(world, path):
    with collect_failures() as case:
        for method in (*VERBS, "HEAD", "OPTIONS", "TRACE", "PROPFIND"):
            status = 404 if method in list_allowed_methods(path) else 405
            for name, request in REQUESTS.items():
                with case(f"{method} with {name}"):
                    foreign, unknown = send_both(world, path, method, **request)
                    assert describe(foreign) == describe(unknown)
                    assert foreign.status_code == status


def test_a_foreign_id_with_a_valid_body_responds_like_an_unknown_one(world):
    with collect_failures() as case:
        for route in list_routes():
            if route.path in WITH_ID:
                with case(route.name):
                    body = route.build_body()
                    foreign, unknown = send_both(world, route.path, route.method, body=body)
                    assert foreign.status_code == 404
                    assert describe(foreign) == describe(unknown)


@pytest.mark.parametrize("query", ["?nope=1", "?truncate_secrets=false", "?truncate_secrets=x"])
def test_a_foreign_id_with_a_query_responds_like_an_unknown_one(world, query):
    with collect_failures() as case:
        for path in WITH_ID:
            for method in sorted(list_allowed_methods(path)):
                with case(f"{method} {path}"):
                    foreign, unknown = send_both(world, path, method, query)
                    assert describe(foreign) == describe(unknown)


def test_without_a_token_a_foreign_id_responds_like_an_unknown_one(world):
    with collect_failures() as case:
        for path in WITH_ID:
            for method in sorted(list_allowed_methods(path)):
                with case(f"{method} {path}"):
                    headers = {"Authorization": ""}
                    foreign, unknown = send_both(world, path, method, headers=headers)
                    assert foreign.status_code == 401
                    assert describe(foreign) == describe(unknown)


def import_body(world: World, path: str, body: dict[str, Any]) -> Any:
    return describe(ApiClient(world.token).post(path, [body] if path.endswith("import") else body))


@pytest.mark.parametrize("path", ["/v1/credentials", "/v1/credentials/import"])
@pytest.mark.parametrize("make_body", [make_stripe_body, make_linear_body])
def test_a_foreign_app_in_a_body_responds_like_an_unknown_one(db, path, make_body):
    world = World()
    app = make_app(world.other, "linear" if make_body is make_linear_body else "stripe")
    body = make_linear_body(app) if make_body is make_linear_body else make_stripe_body()
    foreign = import_body(world, path, {**body, "oauth_app_id": str(app.id)})
    assert foreign == import_body(world, path, {**body, "oauth_app_id": UNKNOWN})
    assert not Credential.objects.filter(account=world.account).exists()


def test_a_foreign_app_of_another_provider_responds_like_an_unknown_one(world):
    app = make_app(world.other, "github")
    body = make_stripe_body()
    foreign = import_body(world, "/v1/credentials", {**body, "oauth_app_id": str(app.id)})
    assert foreign == import_body(world, "/v1/credentials", {**body, "oauth_app_id": UNKNOWN})


@pytest.mark.parametrize(
    "query",
    [
        "/v1/credentials?oauth_app_id={app}",
        "/v1/credentials?metadata=%7B%22whose%22%3A%22other%22%7D",
        "/v1/credentials?provider=stripe",
        "/v1/credentials?kind=stripe_key",
        "/v1/credentials?health.status=unknown",
        "/v1/credentials?created_after=2000-01-01T00:00:00Z",
        "/v1/oauth-apps?provider=stripe",
        "/v1/oauth-apps?truncate_secrets=false",
        "/v1/events?target={credential}",
        "/v1/events?target={app}",
        "/v1/events?verb=credential.created",
        "/api/credentials",
    ],
)
def test_a_filter_finds_nothing_of_another_account(db, query):
    world = World()
    body = make_stripe_body(metadata={"whose": "other"}, oauth_app_id=str(world.other_app.id))
    credential = make_credential(world.other, body)
    response = ApiClient(world.token).get(
        query.format(app=world.other_app.id, credential=credential.id)
    )
    assert response.status_code == 200
    document = response.json()
    assert (document if isinstance(document, list) else document["data"]) == []


def test_a_cursor_of_another_account_is_400(db):
    world = World()
    for _ in range(2):
        make_credential(world.other)
    page = ApiClient(make_token(world.other)).get("/v1/credentials?limit=1").json()
    response = ApiClient(world.token).get(f"/v1/credentials?cursor={page['next_cursor']}")
    assert response.status_code == 400


def test_one_upstream_account_in_two_accounts_is_two_rows(db):
    world = World()
    body = make_stripe_body("sk_live_shared", external_id="acct_1")
    first = ApiClient(world.token).post("/v1/credentials", body)
    second = ApiClient(make_token(world.other)).post("/v1/credentials", body)
    assert [response["Latchkey-Import"] for response in (first, second)] == ["created", "created"]
    rows = Credential.objects.values_list("identity", "fingerprints")
    assert len({(bytes(identity), str(prints)) for identity, prints in rows}) == 2


def test_one_client_id_in_two_accounts_is_two_apps(db):
    world = World()
    body = {"provider": "stripe", "name": "n", "client_id": "same", "client_secret": "s"}
    make_app(world.other, "stripe", client_id="same")
    assert ApiClient(world.token).post("/v1/oauth-apps", body).status_code == 200
    assert OAuthApp.objects.filter(client_id="same").count() == 2

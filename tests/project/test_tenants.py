"""Another account's object answers like one that never was: on every route, with every verb."""

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

UNKNOWN = "01989aa0-0000-7000-8000-000000000000"
WITH_ID = [path for path in list_paths() if "{" in path and "{slug}" not in path]
MERGE = "application/merge-patch+json"
SENT: dict[str, dict[str, Any]] = {
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
def world(db) -> World:
    return World()


def seen(answer: Any) -> tuple[int, dict[str, str], Any]:
    """All that a caller can tell two answers apart by."""
    headers = {k: v for k, v in answer.headers.items() if k not in {"X-Request-Id", "Date"}}
    body = json.loads(answer.content) if answer.content else None
    if isinstance(body, dict):
        body.pop("request_id", None)
    headers.pop("Content-Length", None) if body is None else None
    return answer.status_code, headers, body


def both(world: World, path: str, method: str, query: str = "", **sent: Any) -> tuple[Any, Any]:
    """The answers for another account's id and for one that never was."""
    route = Route(method, path, "")
    foreign = route.build_path(**world.get_other_ids())
    unknown = route.build_path(**dict.fromkeys(KINDS, UNKNOWN))
    api = ApiClient(world.token)
    before = snapshot_database()
    answers = tuple(api.send(method, at + query, **sent) for at in (foreign, unknown))
    assert snapshot_database() == before
    return answers[0], answers[1]


@pytest.mark.parametrize("path", WITH_ID)
def test_every_route_with_an_id_has_a_sample(path):
    assert path in OBJECTS


@pytest.mark.parametrize("route", list_routes(), ids=lambda route: route.name)
def test_every_route_that_takes_a_body_has_a_sample(route):
    assert route.method in {"GET", "DELETE"} or route.name in BODIES


@pytest.mark.parametrize("name", BODIES)
def test_no_sample_is_of_a_route_that_is_gone(name):
    assert name in {route.name for route in list_routes()}


@pytest.mark.parametrize("method", [*VERBS, "HEAD", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", WITH_ID)
def test_a_foreign_id_answers_like_an_unknown_one(world, path, method):
    """Whatever is sent: nothing is stored, so one world serves for all."""
    code = 404 if method in list_allowed_methods(path) else 405
    for name, sent in SENT.items():
        foreign, unknown = both(world, path, method, **sent)
        assert seen(foreign) == seen(unknown), name
        assert foreign.status_code == code, name


@pytest.mark.parametrize("path", WITH_ID)
def test_a_valid_body_makes_no_difference(world, path):
    for route in list_routes():
        if route.path == path:
            foreign, unknown = both(world, path, route.method, body=route.build_body())
            assert foreign.status_code == 404
            assert seen(foreign) == seen(unknown)


@pytest.mark.parametrize("query", ["?nope=1", "?truncate_secrets=false", "?truncate_secrets=x"])
@pytest.mark.parametrize("path", WITH_ID)
def test_a_query_makes_no_difference(world, path, query):
    for method in sorted(list_allowed_methods(path)):
        assert len({str(seen(answer)) for answer in both(world, path, method, query)}) == 1


@pytest.mark.parametrize("path", WITH_ID)
def test_without_a_token_both_are_401(world, path):
    for method in sorted(list_allowed_methods(path)):
        headers = {"Authorization": ""}
        foreign, unknown = both(world, path, method, headers=headers)
        assert foreign.status_code == 401
        assert seen(foreign) == seen(unknown)


def importing(world: World, path: str, body: dict[str, Any]) -> Any:
    sent = [body] if path.endswith("import") else body
    return seen(ApiClient(world.token).post(path, sent))


@pytest.mark.parametrize("path", ["/v1/credentials", "/v1/credentials/import"])
@pytest.mark.parametrize("kind", [make_stripe_body, make_linear_body])
def test_a_foreign_app_in_a_body_is_like_an_unknown_one(world, path, kind):
    app = make_app(world.other, "linear" if kind is make_linear_body else "stripe")
    body = make_linear_body(app) if kind is make_linear_body else make_stripe_body()
    foreign = importing(world, path, {**body, "oauth_app_id": str(app.id)})
    assert foreign == importing(world, path, {**body, "oauth_app_id": UNKNOWN})
    assert not Credential.objects.filter(account=world.account).exists()


def test_an_app_of_another_provider_and_account_is_like_an_unknown_one(world):
    app = make_app(world.other, "github")
    body = make_stripe_body()
    foreign = importing(world, "/v1/credentials", {**body, "oauth_app_id": str(app.id)})
    assert foreign == importing(world, "/v1/credentials", {**body, "oauth_app_id": UNKNOWN})


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
def test_a_filter_finds_nothing_of_another_account(world, query):
    body = make_stripe_body(metadata={"whose": "other"}, oauth_app_id=str(world.other_app.id))
    credential = make_credential(world.other, body)
    answer = ApiClient(world.token).get(
        query.format(app=world.other_app.id, credential=credential.id)
    )
    assert answer.status_code == 200
    document = answer.json()
    assert (document if isinstance(document, list) else document["data"]) == []


def test_a_cursor_of_another_account_is_none(world):
    for _ in range(2):
        make_credential(world.other)
    page = ApiClient(make_token(world.other)).get("/v1/credentials?limit=1").json()
    answer = ApiClient(world.token).get(f"/v1/credentials?cursor={page['next_cursor']}")
    assert answer.status_code == 400


def test_one_upstream_account_in_two_accounts_is_two_rows(world):
    body = make_stripe_body("sk_live_shared", external_id="acct_1")
    ours = ApiClient(world.token).post("/v1/credentials", body)
    theirs = ApiClient(make_token(world.other)).post("/v1/credentials", body)
    assert [a["Latchkey-Import"] for a in (ours, theirs)] == ["created", "created"]
    rows = Credential.objects.values_list("identity", "fingerprints")
    assert len({(bytes(identity), str(prints)) for identity, prints in rows}) == 2


def test_one_client_id_in_two_accounts_is_two_apps(world):
    body = {"provider": "stripe", "name": "n", "client_id": "same", "client_secret": "s"}
    make_app(world.other, "stripe", client_id="same")
    assert ApiClient(world.token).post("/v1/oauth-apps", body).status_code == 200
    assert OAuthApp.objects.filter(client_id="same").count() == 2

"""HTTP: lengths, encodings, methods, hosts, tolerated variants, and an unavailable database."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connection
from django.test import Client

from tests.api import ApiClient
from tests.factories import make_credential, make_stripe_body
from tests.project.cases import collect_failures
from tests.project.routes import Route, list_routes
from tests.project.test_bad_inputs import check_shape
from tests.project.world import World, snapshot_database

MERGE = "application/merge-patch+json"
WRITING = [route for route in list_routes() if route.method in {"POST", "PATCH"}]
READING = [route for route in list_routes() if route.method == "GET"]


@pytest.fixture
def world(db: None) -> World:
    """A world with an object of each kind."""
    world = World()
    world.get_ids()
    world.token  # noqa: B018 - created before the first case
    return world


def build_path(world: World, route: Route) -> str:
    return route.build_path(**world.get_ids())


def send_rejected(world: World, route: Route, body: bytes = b"{}", **options: Any) -> int:
    """Return the status of a request that must store nothing and respond in the API's shape."""
    path, api = build_path(world, route), ApiClient(world.token)
    before = snapshot_database()
    response = api.send(route.method, path, body, **options)
    check_shape(path, response)
    assert snapshot_database() == before
    status: int = response.status_code
    return status


def test_a_body_without_length_is_411(world):
    headers = {"Transfer-Encoding": "chunked", "Content-Length": ""}
    with collect_failures() as case:
        for route in list_routes():
            if route.method != "GET":
                with case(route.name):
                    body = json.dumps(route.build_body()).encode()
                    assert send_rejected(world, route, body, headers=headers) == 411


def test_an_invalid_length_is_no_server_error(world):
    with collect_failures() as case:
        for length in ("-1", "1e3", "x", "0x10", " ", "9" * 30):
            with case(length):
                headers = {"Content-Length": length}
                response = ApiClient(world.token).post("/v1/credentials", b"{}", headers=headers)
                assert 400 <= response.status_code < 500
                check_shape("/v1/credentials", response)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "identity, gzip"])
def test_an_encoded_body_is_415(world, encoding):
    with collect_failures() as case:
        for route in WRITING:
            with case(route.name):
                headers = {"Content-Encoding": encoding}
                assert send_rejected(world, route, headers=headers) == 415


@pytest.mark.parametrize(
    "charset", ["utf-7", "bz2", "zlib", "rot13", "utf-16", "unknown", '"zlib"']
)
def test_every_charset_but_utf_8_is_415(world, charset):
    with collect_failures() as case:
        for route in WRITING:
            with case(route.name):
                content_type = f"application/json; charset={charset}"
                assert send_rejected(world, route, content_type=content_type) == 415


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf-8"', "utf8"])
def test_the_charset_may_be_utf_8(world, charset):
    response = ApiClient(world.token).post(
        "/v1/credentials", make_stripe_body(), content_type=f"application/json; charset={charset}"
    )
    assert response.status_code == 200


def test_a_body_over_256_kib_is_413(world):
    with collect_failures() as case:
        for route in WRITING:
            if not route.path.endswith("/import"):
                with case(route.name):
                    body = b'"' + b"x" * (256 * 1024 - 1) + b'"'
                    assert send_rejected(world, route, body) == 413


def test_head_is_get_without_the_body(world):
    varying = {"X-Request-Id", "Date"}
    api = ApiClient(world.token)
    with collect_failures() as case:
        for route in READING:
            with case(route.name):
                path = build_path(world, route)
                head, get = api.send("HEAD", path), api.get(path)
                assert head.status_code == get.status_code == 200
                assert head.getvalue() == b""
                assert {k: v for k, v in head.headers.items() if k not in varying} == {
                    k: v for k, v in get.headers.items() if k not in varying
                }


def test_a_slash_at_the_end_is_404(world):
    with collect_failures() as case:
        for route in list_routes():
            with case(route.name):
                path = build_path(world, route) + "/"
                response = ApiClient(world.token).send(route.method, path, route.build_body())
                assert response.status_code == 404
                check_shape(route.path, response)


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("token", [True, False])
@pytest.mark.parametrize(
    "path", ["/v1", "/v1/", "/v1/nope", "/v1/a/b/c", "/api", "/api/", "/api/nope"]
)
def test_an_unknown_path_is_404_in_the_shape_of_the_api(world, settings, path, token, debug):
    settings.DEBUG = debug
    for method in ("GET", "POST", "DELETE"):
        response = ApiClient(world.token if token else None).send(method, path, {})
        assert response.status_code == 404
        assert "json" in response["Content-Type"]
        check_shape(path, response)


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("path", ["/v1/credentials", "/api/credentials"])
def test_an_unknown_host_is_400_in_the_shape_of_the_api(world, settings, path, debug):
    settings.DEBUG = debug
    response = ApiClient(world.token).get(path, headers={"Host": "evil.example"})
    assert response.status_code == 400
    assert "json" in response["Content-Type"]
    check_shape(path, response)
    assert b"evil.example" not in response.content


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_no_header_overrides_the_method(world, header):
    path = f"/v1/credentials/{world.credential.id}"
    assert ApiClient(world.token).get(path, headers={header: "DELETE"}).status_code == 200
    response = ApiClient(world.token).patch(path, {"name": "x"}, headers={header: "DELETE"})
    assert (response.status_code, response.json()["name"]) == (200, "x")


@pytest.mark.parametrize("join", ["Basic dTpw, Bearer {}", "Bearer {}, Basic dTpw", "Bearer {},{}"])
def test_two_schemes_are_401(world, join):
    headers = {"Authorization": join.format(world.token, world.token)}
    response = ApiClient().get("/v1/credentials", headers=headers)
    assert response.status_code == 401


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer"])
def test_the_scheme_is_case_insensitive(world, scheme):
    headers = {"Authorization": f"{scheme} {world.token}"}
    assert ApiClient().get("/v1/credentials", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "kind", [MERGE, "Application/Merge-Patch+JSON", f"{MERGE}; charset=utf-8", f"{MERGE} ;x=y"]
)
def test_a_merge_patch_is_recognized_in_any_spelling(world, kind):
    credential = make_credential(world.account, make_stripe_body(metadata={"kept": 1}))
    path = f"/v1/credentials/{credential.id}"
    response = ApiClient(world.token).patch(path, {"metadata": {"new": 2}}, content_type=kind)
    assert response.json()["metadata"] == {"kept": 1, "new": 2}


@pytest.mark.parametrize("kind", ["application/merge-patch+jsonx", "application/merge-patch"])
def test_a_similar_media_type_is_415(world, kind):
    path = f"/v1/credentials/{world.credential.id}"
    response = ApiClient(world.token).patch(path, {"metadata": {"a": None}}, content_type=kind)
    assert response.status_code == 415


@pytest.mark.parametrize("number", [1e20, 1e16, 1.5e300 / 10, 1.0, -0.0, 5e-324, 0.1, 2**53 - 1])
def test_metadata_that_was_read_can_be_sent_back(world, number):
    body = make_stripe_body(metadata={"n": number})
    created = ApiClient(world.token).post("/v1/credentials", body)
    # A number that is rejected cannot be read back.
    if created.status_code == 422:
        return
    path = f"/v1/credentials/{created.json()['id']}"
    back = ApiClient(world.token).patch(path, {"metadata": created.json()["metadata"]})
    merged = ApiClient(world.token).patch(path, {"metadata": {"other": 1}}, content_type=MERGE)
    assert (back.status_code, merged.status_code) == (200, 200)


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_an_unavailable_database_is_503(world, monkeypatch, error):
    def fail(*args: Any, **kwargs: Any) -> None:
        raise error("server closed the connection: host=db.internal password=hush")

    api = ApiClient(world.token)
    with collect_failures() as case:
        for route in list_routes():
            with case(route.name):
                path = build_path(world, route)
                with monkeypatch.context() as patch:
                    patch.setattr(connection, "cursor", fail)
                    patch.setattr(connection, "ensure_connection", fail)
                    response = api.send(route.method, path, route.build_body())
                assert response.status_code == 503
                assert int(response["Retry-After"]) >= 1
                check_shape(path, response)
                assert b"hush" not in response.content
                assert b"internal" not in response.content


@pytest.mark.parametrize("path", ["/admin/", "/admin/login/", "/connect/x"])
def test_a_page_says_that_the_database_is_unavailable(db, monkeypatch, path):
    client = Client(raise_request_exception=False)
    client.cookies["sessionid"] = "a-session-key"

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("host=db.internal password=hush")

    with monkeypatch.context() as patch:
        patch.setattr(connection, "cursor", fail)
        response = client.get(path)
    assert response.status_code == 503
    assert response["Retry-After"] == "2"
    assert b"The database is unavailable." in response.content
    assert b"hush" not in response.content

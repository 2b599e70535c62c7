"""HTTP itself: lengths, encodings, verbs, addresses, what is tolerated, and a database that is down."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, connection
from django.test import Client

from tests.api import ApiClient
from tests.factories import make_credential, make_stripe_body
from tests.project.routes import Route, list_routes
from tests.project.test_bad_inputs import check_shape
from tests.project.world import World, snapshot_database

MERGE = "application/merge-patch+json"
WRITING = [route for route in list_routes() if route.method in {"POST", "PATCH"}]
READING = [route for route in list_routes() if route.method == "GET"]


@pytest.fixture
def world(db) -> World:
    return World()


def each(found: list[Route]):
    return pytest.mark.parametrize("route", found, ids=lambda route: route.name)


def at(world: World, route: Route) -> str:
    return route.build_path(**world.get_ids())


def refusal(world: World, route: Route, body: bytes = b"{}", **more: Any) -> int:
    """The status of an answer in the API's shape, to a request that stored nothing."""
    path, api = at(world, route), ApiClient(world.token)
    before = snapshot_database()
    answer = api.send(route.method, path, body, **more)
    check_shape(path, answer)
    assert snapshot_database() == before
    status: int = answer.status_code
    return status


@each([route for route in list_routes() if route.method != "GET"])
def test_a_body_without_length_is_411(world, route):
    chunked = {"Transfer-Encoding": "chunked", "Content-Length": ""}
    assert refusal(world, route, json.dumps(route.build_body()).encode(), headers=chunked) == 411


@pytest.mark.parametrize("length", ["-1", "1e3", "x", "0x10", " ", "9" * 30])
def test_a_length_that_is_none_is_no_server_error(world, length):
    answer = ApiClient(world.token).post(
        "/v1/credentials", b"{}", headers={"Content-Length": length}
    )
    assert 400 <= answer.status_code < 500
    check_shape("/v1/credentials", answer)


@each(WRITING)
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "identity, gzip"])
def test_an_encoded_body_is_415(world, route, encoding):
    assert refusal(world, route, headers={"Content-Encoding": encoding}) == 415


@each(WRITING)
@pytest.mark.parametrize(
    "charset", ["utf-7", "bz2", "zlib", "rot13", "utf-16", "unknown", '"zlib"']
)
def test_every_charset_but_utf_8_is_415(world, route, charset):
    sent = f"application/json; charset={charset}"
    assert refusal(world, route, content_type=sent) == 415


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf-8"', "utf8"])
def test_utf_8_may_be_said(world, charset):
    kind = f"application/json; charset={charset}"
    answer = ApiClient(world.token).post("/v1/credentials", make_stripe_body(), content_type=kind)
    assert answer.status_code == 200


@each([route for route in WRITING if not route.path.endswith("/import")])
def test_a_byte_over_256_kib_is_413(world, route):
    assert refusal(world, route, b'"' + b"x" * (256 * 1024 - 1) + b'"') == 413


@each(READING)
def test_head_is_get_without_the_body(world, route):
    api, path = ApiClient(world.token), at(world, route)
    head, get = api.send("HEAD", path), api.get(path)
    assert head.status_code == get.status_code == 200
    assert head.content == b""
    varying = {"X-Request-Id", "Date"}
    assert {k: v for k, v in head.headers.items() if k not in varying} == {
        k: v for k, v in get.headers.items() if k not in varying
    }


@each(list_routes())
def test_a_slash_at_the_end_is_404(world, route):
    answer = ApiClient(world.token).send(route.method, at(world, route) + "/", route.build_body())
    assert answer.status_code == 404
    check_shape(route.path, answer)


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("token", [True, False])
@pytest.mark.parametrize(
    "path", ["/v1", "/v1/", "/v1/nope", "/v1/a/b/c", "/api", "/api/", "/api/nope"]
)
def test_an_unknown_path_is_404_in_its_apis_shape(world, settings, path, token, debug):
    settings.DEBUG = debug
    for method in ("GET", "POST", "DELETE"):
        answer = ApiClient(world.token if token else None).send(method, path, {})
        assert answer.status_code == 404
        assert "json" in answer["Content-Type"]
        check_shape(path, answer)


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("path", ["/v1/credentials", "/api/credentials"])
def test_a_host_that_is_not_ours_is_400_in_its_apis_shape(world, settings, path, debug):
    settings.DEBUG = debug
    answer = ApiClient(world.token).get(path, headers={"Host": "evil.example"})
    assert answer.status_code == 400
    assert "json" in answer["Content-Type"]
    check_shape(path, answer)
    assert b"evil.example" not in answer.content


@pytest.mark.parametrize("header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_no_header_changes_the_verb(world, header):
    path = f"/v1/credentials/{world.credential.id}"
    assert ApiClient(world.token).get(path, headers={header: "DELETE"}).status_code == 200
    answer = ApiClient(world.token).patch(path, {"name": "x"}, headers={header: "DELETE"})
    assert (answer.status_code, answer.json()["name"]) == (200, "x")


@pytest.mark.parametrize("join", ["Basic dTpw, Bearer {}", "Bearer {}, Basic dTpw", "Bearer {},{}"])
def test_two_schemes_are_none(world, join):
    sent = join.format(world.token, world.token)
    answer = ApiClient().get("/v1/credentials", headers={"Authorization": sent})
    assert answer.status_code == 401


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer"])
def test_the_scheme_has_no_case(world, scheme):
    sent = {"Authorization": f"{scheme} {world.token}"}
    assert ApiClient().get("/v1/credentials", headers=sent).status_code == 200


@pytest.mark.parametrize(
    "kind", [MERGE, "Application/Merge-Patch+JSON", f"{MERGE}; charset=utf-8", f"{MERGE} ;x=y"]
)
def test_a_merge_patch_merges_however_its_type_is_written(world, kind):
    credential = make_credential(world.account, make_stripe_body(metadata={"kept": 1}))
    path = f"/v1/credentials/{credential.id}"
    answer = ApiClient(world.token).patch(path, {"metadata": {"new": 2}}, content_type=kind)
    assert answer.json()["metadata"] == {"kept": 1, "new": 2}


@pytest.mark.parametrize("kind", ["application/merge-patch+jsonx", "application/merge-patch"])
def test_what_is_nearly_a_merge_patch_is_415(world, kind):
    path = f"/v1/credentials/{world.credential.id}"
    answer = ApiClient(world.token).patch(path, {"metadata": {"a": None}}, content_type=kind)
    assert answer.status_code == 415


@pytest.mark.parametrize("number", [1e20, 1e16, 1.5e300 / 10, 1.0, -0.0, 5e-324, 0.1, 2**53 - 1])
def test_metadata_that_was_read_can_be_sent_back(world, number):
    sent = make_stripe_body(metadata={"n": number})
    shown = ApiClient(world.token).post("/v1/credentials", sent)
    if shown.status_code == 422:
        return  # Refused at once is as good as kept.
    path = f"/v1/credentials/{shown.json()['id']}"
    back = ApiClient(world.token).patch(path, {"metadata": shown.json()["metadata"]})
    merged = ApiClient(world.token).patch(path, {"metadata": {"other": 1}}, content_type=MERGE)
    assert (back.status_code, merged.status_code) == (200, 200)


@each(list_routes())
@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_database_that_is_down_is_503(world, monkeypatch, route, error):
    path, api = at(world, route), ApiClient(world.token)

    def down(*args: Any, **kwargs: Any) -> None:
        raise error("server closed the connection: host=db.internal password=hush")

    with monkeypatch.context() as patched:
        patched.setattr(connection, "cursor", down)
        patched.setattr(connection, "ensure_connection", down)
        answer = api.send(route.method, path, route.build_body())
    assert answer.status_code == 503
    assert int(answer["Retry-After"]) >= 1
    check_shape(path, answer)
    assert b"hush" not in answer.content
    assert b"internal" not in answer.content


@pytest.mark.parametrize("path", ["/admin/", "/admin/login/", "/connect/x"])
def test_a_page_says_that_the_database_is_down(db, monkeypatch, path):
    client = Client(raise_request_exception=False)
    client.cookies["sessionid"] = "somebody"

    def down(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("host=db.internal password=hush")

    with monkeypatch.context() as patched:
        patched.setattr(connection, "cursor", down)
        answer = client.get(path)
    assert answer.status_code == 503
    assert answer["Retry-After"] == "2"
    assert b"The database does not answer." in answer.content
    assert b"hush" not in answer.content

"""A request is read in one way only, and an error of an API path is the API's own document."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from accounts.checks import iter_api_views
from config.wsgi_handler import Handler
from tests.api import ApiClient
from tests.project.routes import list_routes
from tests.project.world import World

CODECS = ("bz2", "zlib", "rot13", "utf-7", "utf-16", "idna", "punycode", "latin-1")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE", "X")
PAGES = ("/", "/healthz", "/readyz", "/docs", "/openapi.json", "/admin/login/", "/connect/x/")


@pytest.fixture
def world(db: None) -> World:
    world = World()
    world.get_ids()
    world.token  # noqa: B018 - created before the first case
    return world


def list_paths(world: World) -> list[str]:
    return sorted({route.build_path(**world.get_ids()) for route in list_routes()})


@pytest.fixture(autouse=True)
def _own_request(monkeypatch):
    """Let the test client make the requests that the shipped application makes."""
    monkeypatch.setattr("django.test.client.WSGIRequest", Handler.request_class)


def send(method: str, path: str, query: str, kind: str, token: str = "") -> tuple[int, str]:
    """Return the status and the content type of the response to a request of content type `kind`."""
    headers = {"Content-Type": kind} if kind else {}
    response = ApiClient(token).send(method, f"{path}?{query}", headers=headers)
    return response.status_code, response.get("Content-Type", "")


def test_the_shipped_application_has_the_handler():
    source = Path("config/wsgi.py").read_text()
    assert "ConcurrencyLimit(Handler())" in source


@pytest.mark.parametrize("codec", CODECS)
def test_a_charset_decides_nothing(world, codec):
    for path in list_paths(world):
        for method in ("GET", "POST"):
            status, kind = send(method, path, "x=1", f"a/b; charset={codec}", world.token)
            assert (status, kind.endswith("json")) == (415, True), (method, path)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_does_not_decode_its_query_by_the_charset_of_a_body(db, path):
    plain = send("GET", path, "x=1", "")
    assert plain[0] != 500
    for codec in CODECS:
        assert send("GET", path, "x=1", f"a/b; charset={codec}") == plain, codec


def test_a_parameter_cannot_be_hidden_from_the_check_of_duplicates(world):
    query = "provider=nothing&%2BAHA-rovider=stripe"
    assert send("GET", "/v1/credentials", query, "a/b; charset=utf-7", world.token)[0] == 415
    assert send("GET", "/v1/credentials", query, "", world.token)[0] == 400


def test_every_error_of_an_api_path_is_json(world):
    """All routes, all methods, with and without a token: no HTML and no 500."""
    for path in [*list_paths(world), "/v1/none", "/api/none", "/openapi.json"]:
        for token in (None, "lk_wrong"):
            for method in METHODS:
                response = ApiClient(token).send(method, path, b"")
                assert response.status_code < 500, (method, path)
                if response.status_code >= 400 and method != "HEAD":
                    assert response["Content-Type"].endswith("json"), (method, path)
                    assert json.loads(response.content), (method, path)


@pytest.mark.parametrize("method", METHODS)
def test_the_reference_page_has_an_error_for_each_other_method(db, method):
    response = ApiClient().send(method, "/docs", b"")
    if method in {"GET", "HEAD"}:
        assert response["Content-Type"].startswith("text/html")
    else:
        assert response.status_code == 405
        assert response.json()["status"] == 405


def test_the_walk_covers_every_view_of_the_api():
    assert len(list(iter_api_views())) > 20

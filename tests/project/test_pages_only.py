"""The API skips the middleware of pages: no session, no cookie, no policy for browsers."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.api import ApiClient


def test_the_api_has_no_cookie_and_no_page_policy(api: ApiClient) -> None:
    response = api.get("/v1/credentials")
    assert not response.cookies
    assert "Content-Security-Policy" not in response
    assert "Vary" not in response or "Cookie" not in response["Vary"]


@pytest.mark.parametrize("path", ["/admin/login/", "/docs"])
def test_pages_have_a_policy(client: Client, db: None, path: str) -> None:
    assert "default-src 'self'" in client.get(path)["Content-Security-Policy"]


def test_the_root_redirects_to_the_documentation(client: Client, db: None) -> None:
    response = client.get("/")
    assert (response.status_code, response["Location"]) == (302, "/docs")

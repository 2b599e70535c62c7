"""The API passes by what pages need: no session, no cookie, no policy for browsers to keep."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.api import ApiClient


def test_the_api_has_no_cookie_and_no_page_policy(api: ApiClient) -> None:
    answer = api.get("/v1/credentials")
    assert not answer.cookies
    assert "Content-Security-Policy" not in answer
    assert "Vary" not in answer or "Cookie" not in answer["Vary"]


@pytest.mark.parametrize("path", ["/admin/login/", "/docs"])
def test_pages_have_a_policy(client: Client, db: None, path: str) -> None:
    assert "default-src 'self'" in client.get(path)["Content-Security-Policy"]


def test_the_bare_address_leads_to_the_documentation(client: Client, db: None) -> None:
    answer = client.get("/")
    assert (answer.status_code, answer["Location"]) == (302, "/docs")

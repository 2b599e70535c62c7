"""Coming in and going out, and forms that another site made."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client, RequestFactory

from accounts.models import Account
from credentials.models import Credential
from tests.admin.pages import address, all_addresses, form_values, text
from tests.factories import make_app, make_credential, make_endpoint, make_link

ELSEWHERE = [
    "https://evil.example/", "//evil.example/", "///evil.example", "/\\evil.example", "https:evil.example",
    "http:///evil.example", "\thttps://evil.example", "javascript:alert(1)",
]  # fmt: skip


def log_in(browser: Client, user: User, page: str = "/admin/login/", **more: str) -> str:
    """Return the address to which it redirects."""
    typed = {"username": user.get_username(), "password": "correct horse", **more}
    response = browser.post(page, typed)
    assert response.status_code == 302
    return response["Location"]


@pytest.mark.parametrize("where", ELSEWHERE)
def test_login_rejects_external_next(superuser: User, where: str) -> None:
    query = f"?next={quote(where)}"
    assert log_in(Client(), superuser, next=where) == "/admin/"
    browser = Client()
    assert log_in(browser, superuser, f"/admin/login/{query}") == "/admin/"
    assert browser.get(f"/admin/login/{query}")["Location"] == "/admin/"
    assert browser.post(f"/admin/logout/{query}", {"next": where})["Location"] == "/admin/logout/"


def test_login_redirects_to_the_requested_page(superuser: User) -> None:
    page = "/admin/credentials/credential/"
    assert log_in(Client(), superuser, next=page) == page


def test_login_starts_a_new_session(
    superuser: User,
) -> None:
    browser = Client()
    planted = browser.session
    planted["theirs"] = 1
    planted.save()
    browser.cookies[settings.SESSION_COOKIE_NAME] = str(planted.session_key)
    log_in(browser, superuser)
    assert browser.session.session_key != planted.session_key
    other = Client()
    other.cookies[settings.SESSION_COOKIE_NAME] = str(planted.session_key)
    assert other.get("/admin/").status_code == 302


def test_password_change_ends_all_other_sessions(superuser: User) -> None:
    mine, other, stolen = Client(), Client(), Client()
    log_in(mine, superuser)
    log_in(other, superuser)
    stolen.cookies[settings.SESSION_COOKIE_NAME] = str(mine.session.session_key)
    new = "Battery-staple-77"
    typed = {"old_password": "correct horse", "new_password1": new, "new_password2": new}
    assert mine.post("/admin/password_change/", typed)["Location"].endswith("/done/")
    statuses = [each.get("/admin/").status_code for each in (mine, other, stolen)]
    assert statuses == [200, 302, 302]


def test_every_form_needs_a_csrf_token(superuser: User, account: Account) -> None:
    row = make_credential(account)
    make_app(account)
    make_endpoint(account)
    make_link(account)
    request = RequestFactory().get("/admin/")
    request.user = superuser
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(superuser)
    own = [f"{row.pk}/{page}/" for page in ("reveal", "policy", "act")]
    more = ["login/", "logout/", "password_change/", "credentials/import/"]
    pages = [
        *all_addresses(request),
        *(f"/admin/credentials/credential/{page}" for page in own),
        *(f"/admin/{page}" for page in more),
    ]
    taken = {page for page in pages if browser.post(page, {"x": "1"}).status_code != 403}
    assert taken == set()


@pytest.mark.parametrize("field", ["secrets", "fingerprints", "account", "oauth_app", "nothing"])
def test_rows_are_selected_by_id_only(browser: Client, account: Account, field: str) -> None:
    make_credential(account)
    make_app(account)
    make_endpoint(account)
    request = RequestFactory().get("/admin/")
    request.user = User.objects.get(pk=browser.session["_auth_user_id"])
    browser.raise_request_exception = False
    # To all other models, the field is as unknown as "nothing".
    models = [m for m in admin.site._registry if field in {f.name for f in m._meta.get_fields()}]
    pages = [
        page
        for page in all_addresses(request)
        if field == "nothing" or page.startswith(tuple(address(m, "changelist") for m in models))
    ]
    assert pages
    found = {page: browser.get(page, {"_to_field": field}).status_code for page in pages}
    assert {page for page, status in found.items() if status not in {200, 302, 400}} == set()


def test_popup_response_is_escaped(browser: Client, account: Account) -> None:
    page = address(Credential, "change", make_credential(account).pk)
    name = "</script><script>alert(1)</script>"
    response = browser.post(page, form_values(browser.get(page)) | {"name": name, "_popup": "1"})
    assert "Popup closing" in text(response)
    assert b"<script>alert" not in response.content

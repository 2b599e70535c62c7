"""A known secret in every row that can hold one: no page about the row shows it, nor does an export or a session."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session as BrowserSession
from django.test import Client, RequestFactory

from accounts.models import Account
from accounts.services import session_open
from common.actors import Actor
from credentials.connect.link_request import LinkRequest
from credentials.connect.services import link_create
from credentials.imports.admin_services import import_draft_create
from credentials.models import Credential
from credentials.services.custom_providers import custom_provider_create
from credentials.services.rotate import credential_rotate
from oauth_apps.services import oauth_app_update
from tests.accounts.factor import AUTHENTICATOR_KEY, make_authenticator, make_recovery_codes
from tests.admin.pages import address
from tests.factories import (
    TESTER,
    make_app,
    make_credential,
    make_endpoint_body,
    make_staff,
    make_stripe_body,
    make_token,
)
from tests.project.bodies import make_valid_bodies
from tests.project.canaries import CANARIES, find_leaks
from tools.staging.pages import list_pages
from tools.staging.rows import make_one_of_each
from webhooks.outbox import enqueue
from webhooks.services import endpoint_create, secret_rotate

# The text of pages that test_pages.py opens on both databases.
pytestmark = [pytest.mark.slow, pytest.mark.one_database]

CODE = "cnryCode41vbNmQw"
KNOWN = {
    name: CANARIES[name]
    for name in (
        *("key", "newer key", "password", "access token", "refresh token", "pem", "part one"),
        *("part two", "posted key", "custom key", "client secret", "rotated secret", "é secret"),
    )
}


@pytest.fixture
def secrets(account: Account, superuser: User) -> list[tuple[str, str]]:
    """The secrets in the rows by their kind: those that this test chose, and those that were issued."""
    which: dict[str, Any] = {"account_id": account.pk, "actor": TESTER}
    make_one_of_each(account, superuser, "a text", "a note")
    custom_provider_create(**which, name="own", base_url="https://own.example")
    app = make_app(account, client_secret=KNOWN["client secret"])
    changes: Any = {"client_secret": KNOWN["rotated secret"]}
    oauth_app_update(**which, id=app.pk, changes=changes)
    first, *_ = [make_credential(account, body) for body in make_valid_bodies(str(app.pk))]
    credential_rotate(**which, id=first.pk, properties={"secret": KNOWN["newer key"]})
    _upload(account, superuser)
    other = make_staff()  # Who has a factor has to show it, and the browser has not.
    make_authenticator(other)
    make_recovery_codes(other, CODE)
    handed_out = dict(_handed_out(account, superuser))
    return [
        *KNOWN.items(),
        *handed_out.items(),
        ("factor", AUTHENTICATOR_KEY.decode()),
        ("code", CODE),
    ]


def _upload(account: Account, user: User) -> None:
    line = json.dumps(make_stripe_body(KNOWN["posted key"]))
    import_draft_create(
        account_id=account.pk,
        actor=Actor(name=f"user:{user.pk}"),
        filename="c.ndjson",
        format="ndjson",
        content=f"{line}\n{{".encode(),
    )


def _handed_out(account: Account, user: User) -> Iterator[tuple[str, str]]:
    """Without the part that is kept to tell one from another."""
    which: dict[str, Any] = {"account_id": account.pk, "actor": TESTER}
    yield "token", make_token(account)[8:]
    yield "session", session_open(user=user, **which)[1][13:]
    yield (
        "link",
        link_create(link_request=LinkRequest(kind="stripe_key"), **which)[1].rpartition("/")[2],
    )
    id, secret = endpoint_create(**which, **make_endpoint_body())
    yield "webhook secret", secret.removeprefix("whsec_")
    yield "newer webhook secret", secret_rotate(**which, id=id).removeprefix("whsec_")
    enqueue(account.pk, [("oauth_app.created", account.pk)])


def _of_every_row(user: User) -> Iterator[str]:
    """Yield the pages of each row of each model, also of rows without a change page."""
    request = RequestFactory().get("/")
    request.user = user
    for model, model_admin in admin.site._registry.items():
        yield address(model, "changelist")
        for row in model._default_manager.all():
            yield from (address(model, page, row.pk) for page in ("change", "history"))
            if model_admin.has_delete_permission(request, row):
                yield address(model, "delete", row.pk)


def test_no_page_of_any_row_has_a_secret(
    browser: Client, superuser: User, secrets: list[tuple[str, str]]
) -> None:
    shown: list[bytes] = []
    for page in [*_of_every_row(superuser), *list_pages()]:
        response = browser.get(page)
        assert response.status_code in {200, 302, 403}, page
        shown += [page.encode(), repr(response.headers).encode(), response.content]
    assert len(shown) > 300
    assert list(find_leaks(b"\n".join(shown), secrets)) == []
    sessions = [str(row.get_decoded()).encode() for row in BrowserSession.objects.all()]
    assert sessions
    assert list(find_leaks(b"\n".join(sessions), secrets)) == []


def test_no_export_has_a_secret(browser: Client, secrets: list[tuple[str, str]]) -> None:
    ids = [str(id) for id in Credential.objects.values_list("pk", flat=True)]
    chosen = {"action": "export_selected", "_selected_action": ids}
    response = browser.post(address(Credential, "changelist"), chosen)
    text = b"".join(response) if response.streaming else response.content
    assert len(list(csv.DictReader(text.decode().splitlines()))) == len(ids) > 7
    assert list(find_leaks(text, secrets)) == []

"""What staff type as a secret: after a day's work none is on a page, in a cookie, a session or a table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session as BrowserSession
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, RequestFactory

from accounts.models import Account
from credentials.models import Credential
from events.models import Event
from oauth_apps.models import OAuthApp
from tests.accounts.factor import AUTHENTICATOR_KEY, make_authenticator, make_recovery_codes
from tests.admin.pages import address, all_addresses, form_values, text
from tests.factories import make_app, make_credential, make_stripe_body
from tests.project.canaries import CANARIES, dump_database, find_leaks

pytestmark = pytest.mark.slow

KEYS = {name: CANARIES[name] for name in ("key", "newer key", "part one", "part two", "posted key")}
OTHERS = {name: CANARIES[name] for name in ("client secret", "rotated secret", "rejected", "login")}
TYPED = {**KEYS, **OTHERS, "code": "cnryCode41vbNmQw", "factor": AUTHENTICATOR_KEY.decode()}
RECOVERY = TYPED["code"]
MET = {"credential.rotated", "credential.revealed", "oauth_app.updated", "account.secret_searched"}


class Day:
    """A superuser's browser, and all responses but those that display a secret on request."""

    def __init__(self, account: Account, user: User) -> None:
        self.account, self.user, self.browser = account, user, Client()
        self.browser.force_login(user)
        self.responses: list[bytes] = []
        self.cookies: list[bytes] = []

    def ask(self, path: str, typed: Any = None) -> None:
        """What is said by a message, whose cookie is packed, stands on the page after it."""
        if typed is not None:
            self._store(self.browser.post(path, typed))
        self._store(self.browser.get(path))

    def _store(self, response: Any) -> None:
        assert response.status_code < 404, response.request["PATH_INFO"]
        self.responses += [response.content, repr(response.headers).encode()]
        self.cookies.append(str(self.browser.cookies).encode())

    def go(self) -> Day:
        self.log_in_wrongly()
        row = self.credentials()
        self.apps()
        self.reveal(row)
        self.files()
        self.act(row)
        self.look()
        return self

    def log_in_wrongly(self) -> None:
        make_authenticator(self.user)
        make_recovery_codes(self.user, RECOVERY)
        typed = {"username": self.user.username, "password": TYPED["login"], "otp": RECOVERY}
        self._store(Client().post("/admin/login/", typed))
        self._store(Client().post("/admin/login/", {**typed, "username": ""}))
        self.user.authenticator_set.all().delete()
        self.user.recoverycodes_set.all().delete()

    def credentials(self) -> Credential:
        add = f"{address(Credential, 'add')}?account={self.account.pk}&kind=stripe_key"
        self.ask(add, {"p-secret": TYPED["key"], "owner_email": "nobody"})
        self.ask(add, {"p-secret": TYPED["key"], "name": "Ours"})
        row = Credential.objects.get(name="Ours")
        page = address(Credential, "change", row.pk)
        values = form_values(self.browser.get(page))
        self.ask(page, {**values, "p-secret": TYPED["newer key"], "owner_email": "nobody"})
        self.ask(page, {**values, "p-secret": TYPED["newer key"]})
        return row

    def apps(self) -> None:
        values = {"account": self.account.pk, "provider": "linear", "client_id": "client-1"}
        add = address(OAuthApp, "add")
        self.ask(add, {**values, "client_secret": TYPED["client secret"], "metadata": "{"})
        self.ask(add, {**values, "client_secret": TYPED["client secret"], "name": "App"})
        page = address(OAuthApp, "change", OAuthApp.objects.get(name="App").pk)
        seen = form_values(self.browser.get(page))
        self.ask(page, {**seen, "client_secret": TYPED["rotated secret"], "name": ""})
        self.ask(page, {**seen, "client_secret": TYPED["rotated secret"]})

    def reveal(self, row: Credential) -> None:
        page = f"/admin/credentials/credential/{row.pk}/reveal/"
        typed = {"secret": "secret", "reason": "A ticket", "password": TYPED["login"]}
        self.ask(page, typed)
        self.browser.post(page, {**typed, "password": "correct horse"})
        find = "/admin/credentials/credential/find-secret/"
        self.ask(find, {"account": self.account.pk, "secret": TYPED["newer key"]})
        self.ask(find, {"account": "", "secret": TYPED["newer key"]})

    def files(self) -> None:
        good = json.dumps(make_stripe_body(TYPED["part one"]))
        bad = json.dumps({"properties": {"kind": "stripe_key", "scret": TYPED["part two"]}})
        upload = "/admin/credentials/import/"
        for content in ("\n".join([good, bad, TYPED["rejected"]]), good):
            file = SimpleUploadedFile("c.ndjson", content.encode())
            response = self.browser.post(upload, {"account": self.account.pk, "file": file})
            self._store(response)
            self.ask(response["Location"])
            self.ask(f"{response['Location']}refused.ndjson")
        self.ask(response["Location"], {"confirm": "1"})

    def act(self, row: Credential) -> None:
        for action in ("export_selected", "refresh_now", "move_to_app", "delete_selected"):
            chosen = {"action": action, "_selected_action": [row.pk]}
            self._store(self.browser.post(address(Credential, "changelist"), chosen))

    def look(self) -> None:
        request = RequestFactory().get("/")
        request.user = self.user
        for page in all_addresses(request):
            self.ask(page)


@pytest.fixture
def day(account: Account, superuser: User) -> Day:
    make_credential(account, make_stripe_body(TYPED["posted key"]))
    make_app(account, client_secret=TYPED["client secret"])
    return Day(account, superuser).go()


def find_secrets(*where: bytes) -> Iterator[str]:
    for place in where:
        yield from find_leaks(place, TYPED.items())


def test_a_day_of_work_stores_no_secret_elsewhere(day: Day) -> None:
    assert len(day.responses) > 150
    assert LogEntry.objects.count() > 3
    assert Event.objects.filter(verb__in=MET).values("verb").distinct().count() == len(MET)
    sessions = [str(row.get_decoded()).encode() for row in BrowserSession.objects.all()]
    assert list(find_secrets(*day.responses)) == []
    assert list(find_secrets(*day.cookies)) == []
    assert list(find_secrets(*sessions)) == []
    assert list(find_secrets(dump_database())) == []


def test_login_form_does_not_repeat_a_code(account: Account) -> None:
    response = Client().post("/admin/login/", {"username": "x", "password": "y", "otp": RECOVERY})
    assert "one-time code is wrong" in text(response)
    assert RECOVERY not in text(response)


def test_failed_login_stores_no_code(superuser: User) -> None:
    typed = {"username": superuser.username, "password": "wrong", "otp": RECOVERY}
    Client().post("/admin/login/", typed)
    stored = dump_database()
    assert list(find_leaks(stored, [("username", superuser.username)]))
    assert RECOVERY.encode() not in stored

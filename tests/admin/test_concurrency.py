"""Members of staff at the same moment, and the shipped server with a file that is far too large."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client

from credentials.imports.admin_services import import_draft_create
from credentials.imports.models import ImportDraft
from credentials.models import Credential, Reveal
from credentials.services.reveal import MAX_REVEALS_PER_HOUR
from events.models import Event
from tests.admin.pages import address, form_values, text
from tests.credentials.proxy.server_process import ServerProcess
from tests.credentials.proxy.wire import WireResponse, read_to_end
from tests.factories import TESTER, make_account, make_credential, make_staff, make_stripe_body
from tests.fakes.fixtures import Process, start
from tests.threads import run_concurrently

__all__ = ["start"]

pytestmark = pytest.mark.django_db(transaction=True)
processes = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="processes are tested on PostgreSQL"
)
MIB = 1024 * 1024
UPLOAD = int(os.environ.get("UPLOAD_MIB", "64")) * MIB
Start = Callable[..., Process]


def all_go(started: list[Process]) -> list[Any]:
    for process in started:
        process.wait_ready()
    for process in started:
        process.release()
    return [process.result() for process in started]


@processes
def test_concurrent_reveals_keep_the_limit(start: Start) -> None:
    row = make_credential(make_account())
    given = {"account": str(row.account_id), "id": str(row.id), "threads": 6}
    found = all_go([start("revealers", **given) for _ in range(3)])
    types = Counter(response for responses in found for response in responses)
    assert types == {"shown": MAX_REVEALS_PER_HOUR, "refused": 18 - MAX_REVEALS_PER_HOUR}
    assert Reveal.objects.count() == MAX_REVEALS_PER_HOUR
    assert Event.objects.filter(verb="credential.revealed").count() == MAX_REVEALS_PER_HOUR


@processes
def test_concurrent_confirmations_import_once(start: Start) -> None:
    account = make_account()
    lines = "\n".join(json.dumps(make_stripe_body()) for _ in range(200)).encode()
    draft = import_draft_create(
        account_id=account.id, actor=TESTER, filename="c", format="ndjson", content=lines
    )
    found = all_go([start("confirmer", id=str(draft.id), actor=TESTER.name) for _ in range(3)])
    assert Counter(response == "imported" for response in found) == {True: 1, False: 2}
    assert all("imported already" in response for response in found if response != "imported")
    assert Credential.objects.count() == 200
    assert Event.objects.filter(verb="credential.created").count() == 200
    assert ImportDraft.objects.get().report["created"] == 200


def test_concurrent_saves_reject_one() -> None:
    row = make_credential(make_account(), make_stripe_body(name="First"))
    page = address(Credential, "change", row.pk)
    browsers = [Client(), Client()]
    for browser in browsers:
        browser.force_login(make_staff(is_superuser=True))
    seen = form_values(browsers[0].get(page))

    def save(number: int) -> tuple[str, Any]:
        name = f"By {number}"
        return name, browsers[number].post(page, {**seen, "name": name})

    found = run_concurrently(save, 2)
    ((stored, _),) = [(name, response) for name, response in found if response.status_code == 302]
    ((_, types),) = [(name, response) for name, response in found if response.status_code == 200]
    assert "has changed since it was read" in text(types)
    row.refresh_from_db()
    assert row.name == stored
    assert Event.objects.filter(verb="credential.updated").count() == 1


def test_huge_file_is_rejected_and_not_stored() -> None:
    user = make_staff(is_superuser=True)
    browser = Client()
    browser.force_login(user)
    browser.get("/admin/credentials/import/")
    with ServerProcess(settings, str(connection.settings_dict["NAME"]), "serve") as served:
        before = max(_memory(pid) for pid in served.workers)
        response, most = _upload(served, browser)
        assert response.status == 200
        assert b"more than 5 MiB" in response.body
        assert most - before < 40 * MIB
    assert not ImportDraft.objects.exists()


def _memory(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:
        (line,) = [line for line in status if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


def _upload(served: ServerProcess, browser: Client) -> tuple[WireResponse, int]:
    """Return the response, and the largest memory of a worker in the meantime."""
    token = browser.cookies[settings.CSRF_COOKIE_NAME].value
    session = browser.cookies[settings.SESSION_COOKIE_NAME].value
    fields = "".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in (("csrfmiddlewaretoken", token), ("format", "ndjson"))
    )
    head = '--b\r\nContent-Disposition: form-data; name="file"; filename="c.ndjson"\r\n\r\n'
    before, after = (fields + head).encode(), b"\r\n--b--\r\n"
    lines = [
        "POST /admin/credentials/import/ HTTP/1.1",
        "Host: 127.0.0.1",
        "Connection: close",
        "Content-Type: multipart/form-data; boundary=b",
        f"Content-Length: {len(before) + UPLOAD + len(after)}",
        f"Cookie: {settings.SESSION_COOKIE_NAME}={session}; {settings.CSRF_COOKIE_NAME}={token}",
    ]
    most = 0
    with served.connect() as sock:
        sock.sendall("\r\n".join([*lines, "", ""]).encode() + before)
        for _ in range(UPLOAD // MIB):
            sock.sendall(b"x" * MIB)
            most = max(most, *(_memory(pid) for pid in served.workers))
        sock.sendall(after)
        response = read_to_end(sock)
        return response, max(most, *(_memory(pid) for pid in served.workers))

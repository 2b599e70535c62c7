from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from accounts.models import Account
from credentials.imports.admin_services import import_drafts_prune
from credentials.imports.models import ImportDraft
from credentials.models import Credential
from events.models import Event
from tests.admin.pages import text
from tests.factories import make_credential, make_staff, make_stripe_body

UPLOAD = "/admin/credentials/import/"
MARK = "CANARY7f3a"


def line(**more: Any) -> str:
    return json.dumps(make_stripe_body(f"sk_live_{MARK}_{len(more)}", **more))


LINES = "\n".join(
    [
        line(name="First", owner_email="a@acme.example"),
        '{"properties": {"kind": "stripe_key", "scret": "' + MARK + '"}}',
        json.dumps(make_stripe_body(f"sk_live_{MARK}_other", name="<b>Second</b>")),
        "not json " + MARK,
    ]
)


def upload(browser: Client, account: Account, content: str | bytes = LINES, **more: Any) -> Any:
    data = content.encode() if isinstance(content, str) else content
    file = SimpleUploadedFile(more.pop("name", "c.ndjson"), data)
    return browser.post(UPLOAD, {"account": account.pk, "file": file, **more}, follow=True)


def draft_page(draft: ImportDraft) -> str:
    return f"{UPLOAD}{draft.pk}/"


def test_preview_stores_nothing(browser: Client, account: Account) -> None:
    make_credential(account, json.loads(LINES.splitlines()[0]))
    shown = text(upload(browser, account))
    assert not Credential.objects.filter(name__contains="Second").exists()
    counts = {n: ImportDraft.objects.get().report[n] for n in ("created", "unchanged", "rejected")}
    assert counts == {"created": 1, "unchanged": 1, "rejected": 2}
    assert "would be created</span>" in shown
    assert "would stay unchanged</span>" in shown
    assert "properties.scret" in shown
    assert "does not parse at line 1" in shown
    assert MARK not in shown


def test_uploaded_file_is_stored_encrypted(browser: Client, account: Account) -> None:
    upload(browser, account)
    draft = ImportDraft.objects.get()
    assert draft.content is not None
    assert MARK.encode() not in draft.content.blob
    assert MARK not in json.dumps(draft.report)


def test_confirm_imports_the_file_and_deletes_it(browser: Client, account: Account) -> None:
    upload(browser, account)
    draft = ImportDraft.objects.get()
    shown = text(browser.post(draft_page(draft), {"confirm": "1"}, follow=True))
    assert "imported. This is the result." in shown
    assert "would be" not in shown
    assert Credential.objects.count() == 2
    assert ImportDraft.objects.get().content is None
    event = Event.objects.filter(verb="credential.created").first()
    assert event is not None
    assert event.actor.startswith("user:")


def test_confirm_twice_imports_once(browser: Client, account: Account) -> None:
    upload(browser, account)
    page = draft_page(ImportDraft.objects.get())
    browser.post(page, {"confirm": "1"})
    shown = text(browser.post(page, {"confirm": "1"}, follow=True))
    assert "was imported already" in shown
    assert Event.objects.filter(verb="credential.created").count() == 2


def test_cancel_deletes_the_file(browser: Client, account: Account) -> None:
    upload(browser, account)
    browser.post(draft_page(ImportDraft.objects.get()), {"cancel": "1"})
    assert not ImportDraft.objects.exists()
    assert not Credential.objects.exists()


def test_report_names_lines_but_no_values(browser: Client, account: Account) -> None:
    upload(browser, account)
    response = browser.get(f"{draft_page(ImportDraft.objects.get())}refused.ndjson")
    assert "attachment" in response["Content-Disposition"]
    rows = [json.loads(row) for row in response.content.splitlines()]
    assert [(row["line"], row["field"]) for row in rows] == [(2, "properties.scret"), (4, None)]
    assert MARK not in response.content.decode()


def test_csv_is_recognized_by_its_extension(browser: Client, account: Account) -> None:
    content = f"kind,name,properties.secret\nstripe_key,Third,sk_live_{MARK}\n"
    shown = text(upload(browser, account, content, name="c.CSV"))
    assert "Third" in shown
    assert ImportDraft.objects.get().format == "csv"


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        (b"", "c.ndjson", "The submitted file is empty."),
        (b"\n\n", "c.ndjson", "The file has no lines to import."),
        (b"a,b\n1,2\n", "c.csv", "line 1: unknown column"),
        (b"sk_live_0123456789,b\n", "c.csv", "line 1: unknown column in place 1."),
        (b"{}\n" * 10_001, "c.ndjson", "at most 5 MiB and 10,000 lines"),
        (b"x" * (5 * 1024 * 1024 + 1), "c.ndjson", "manage.py import_credentials FILE --account acme"),
    ],
    ids=["empty", "blank", "header", "no header", "lines", "bytes"],
)  # fmt: skip
def test_upload_rejects_an_invalid_file(
    browser: Client, account: Account, content: bytes, name: str, reason: str
) -> None:
    assert reason in text(upload(browser, account, content, name=name))
    assert not ImportDraft.objects.exists()


def test_upload_limit_covers_all_files_of_a_request(browser: Client, account: Account) -> None:
    files = [SimpleUploadedFile("c.ndjson", b"x" * (2 * 1024 * 1024)) for _ in range(3)]
    shown = text(browser.post(UPLOAD, {"account": account.pk, "file": files}))
    assert "The file has more than 5 MiB." in shown


def test_lines_in_no_encoding_are_rejected(browser: Client, account: Account) -> None:
    upload(browser, account, line().encode() + b"\n\x81\n")
    report = ImportDraft.objects.get().report
    assert (report["created"], report["rejected"]) == (1, 1)


def test_draft_belongs_to_its_uploader(browser: Client, account: Account) -> None:
    upload(browser, account)
    other = Client()
    other.force_login(make_staff(is_superuser=True))
    page = draft_page(ImportDraft.objects.get())
    assert other.get(page).status_code == 302
    assert other.post(page, {"confirm": "1"}).status_code == 302
    assert other.get(f"{page}refused.ndjson").status_code == 404
    assert not Credential.objects.exists()


def test_draft_expires_after_an_hour(browser: Client, account: Account) -> None:
    upload(browser, account)
    ImportDraft.objects.update(created_at=timezone.now() - dt.timedelta(minutes=61))
    page = draft_page(ImportDraft.objects.get())
    assert browser.post(page, {"confirm": "1"}).status_code == 302
    assert not Credential.objects.exists()
    assert import_drafts_prune() == 1


def test_second_upload_replaces_the_first(browser: Client, account: Account) -> None:
    upload(browser, account)
    upload(browser, account)
    assert ImportDraft.objects.count() == 1


def test_upload_needs_a_csrf_token(superuser: Any, account: Account) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(superuser)
    file = SimpleUploadedFile("c.ndjson", LINES.encode())
    response = strict.post(UPLOAD, {"account": account.pk, "file": file})
    assert response.status_code == 403
    assert not ImportDraft.objects.exists()


def test_stored_text_is_escaped(browser: Client, account: Account) -> None:
    assert "<b>Second" not in upload(browser, account).content.decode()

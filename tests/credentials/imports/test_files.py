"""Files in the forms that people have, through each way in: the API, the command and the admin."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Account
from common.errors import ServiceError
from credentials.imports.admin_services import import_draft_create
from credentials.models import Credential
from oauth_apps.models import OAuthApp
from tests.api import ApiClient
from tests.factories import TESTER, make_app, make_token
from tests.project.cases import collect_failures

FILES = Path(__file__).parents[2] / "data" / "files"
CASES = [json.loads(line) for line in (FILES / "expected.jsonl").read_text().splitlines()]
APP_ID = uuid.UUID("01900000-0000-7000-8000-00000000a001")

Outcome = dict[str, Any] | str
"""The report of an import, or the reason why there is none."""


@pytest.fixture
def account_with_app(account: Account) -> Account:
    app = make_app(account, "hubspot")
    # The files name the app, and no import decrypts its secret.
    app.secrets.all().delete()
    OAuthApp.objects.filter(id=app.id).update(id=APP_ID)
    return account


def import_by_api(account: Account) -> Callable[[dict[str, Any]], Outcome]:
    api = ApiClient(make_token(account))

    def run(case: dict[str, Any]) -> Outcome:
        query = f"?dates={case['dates']}" if "dates" in case else ""
        raw = (FILES / case["file"]).read_bytes()
        if not raw:
            return "The import has no lines."
        response = api.post(
            f"/v1/credentials/import{query}", raw, content_type="application/octet-stream"
        )
        document: dict[str, Any] = response.json()
        return document if response.status_code == 200 else str(document["detail"])

    return run


def import_by_command(tmp_path: Path) -> Callable[[dict[str, Any]], Outcome]:
    report = tmp_path / "report.ndjson"

    def run(case: dict[str, Any]) -> Outcome:
        options = ["--dates", case["dates"]] if "dates" in case else []
        path, out = str(FILES / case["file"]), io.StringIO()
        arguments = [path, "--account", "acme", "--report", str(report), *options]
        try:
            call_command("import_credentials", *arguments, stdout=out, stderr=io.StringIO())
        except CommandError as error:
            return str(error)
        except SystemExit:
            pass
        counts = dict(part.split("=") for part in out.getvalue().split())
        if set(counts.values()) == {"0"}:
            return "There are no lines."
        rows = [json.loads(line) for line in report.read_text().splitlines()]
        return {
            **{name: int(count) for name, count in counts.items()},
            "errors": [row for row in rows if "reason" in row],
            "notices": [row for row in rows if row.get("line") and "notice" in row],
            "file_notices": [row["notice"] for row in rows if "notice" in row and not row["line"]],
            "ignored": next((row["ignored"] for row in rows if "ignored" in row), {}),
        }

    return run


def preview_in_admin(account: Account) -> Callable[[dict[str, Any]], Outcome]:
    def run(case: dict[str, Any]) -> Outcome:
        try:
            draft = import_draft_create(
                account_id=account.id,
                actor=TESTER,
                filename=case["file"],
                format=None,
                content=(FILES / case["file"]).read_bytes(),
                dates=case.get("dates"),
            )
        except ServiceError as error:
            return error.detail
        report: dict[str, Any] = draft.report
        assert case.get("format", draft.format) == draft.format
        return {**report, "errors": report["faults"]}

    return run


def check_outcome(case: dict[str, Any], outcome: Outcome) -> None:
    if "error" in case:
        assert isinstance(outcome, str), str(outcome)[:900]
        assert case["error"] in outcome
        return
    assert isinstance(outcome, dict), str(outcome)[:900]
    expected = case.get("errors", [])
    assert (outcome["created"], outcome["rejected"]) == (case["created"], len(expected)), str(
        outcome
    )[:900]
    for (line, field, reason), error in zip(expected, outcome["errors"], strict=True):
        assert (error["line"], error["field"]) == (line, field), error
        assert reason in error["reason"], error
    assert len(outcome["notices"]) == case.get("notices", 0), outcome["notices"]
    assert outcome["file_notices"] == case.get("file_notices", [])
    assert outcome["ignored"] == case.get("ignored", {})


def check_stored(case: dict[str, Any]) -> None:
    rows = list(Credential.objects.order_by("id"))
    for expected, row in zip(case.get("rows", []), rows, strict=False):
        for name, value in expected.items():
            stored = getattr(row, name)
            part = {key: stored.get(key) for key in value} if name == "properties" else stored
            assert part == value, name
    if "expires" in case:
        assert [row.properties.get("expires_at") for row in rows] == case["expires"]


def check_files(run: Callable[[dict[str, Any]], Outcome], *, stores: bool = True) -> None:
    with collect_failures() as case_of:
        for case in CASES:
            with case_of(case["file"]):
                check_outcome(case, run(case))
                if stores:
                    check_stored(case)


def test_there_are_many_files():
    assert len(CASES) >= 60
    assert {case["file"] for case in CASES} == {
        path.name for path in FILES.iterdir() if path.name != "expected.jsonl"
    }


def test_files_by_api(account_with_app):
    check_files(import_by_api(account_with_app))


def test_files_by_command(account_with_app, tmp_path):
    check_files(import_by_command(tmp_path))


def test_files_in_admin(account_with_app):
    check_files(preview_in_admin(account_with_app), stores=False)

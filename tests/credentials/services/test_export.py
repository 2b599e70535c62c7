"""An export is an import file: it changes nothing as it is, and what is changed in it, but no secret."""

from __future__ import annotations

import csv
import io
import json
import uuid
from collections.abc import Iterator
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from common.spreadsheets import escape_formula, unescape_formula
from credentials.imports.batch import ImportReport, import_lines
from credentials.imports.files.import_file import open_import_file
from credentials.imports.files.recognition import FORMATS, Format
from credentials.models import Credential
from credentials.services.export import iter_documents
from credentials.services.export_formats import write_export
from tests.factories import (
    TESTER,
    make_account,
    make_app,
    make_credential,
    make_linear_body,
    make_stripe_body,
)

EXPORT = "/v1/credentials/export"
LABELS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
KEYS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=10)
VALUES = st.one_of(
    TEXTS,
    st.sampled_from(
        ["=1+1", "'=1", "1.5E+10", "#N/A", "_x0041_", " padded ", "\ttab", "line\nend"]
    ),
    st.integers(-(2**53) + 1, 2**53 - 1),
    st.booleans(),
    st.none(),
    st.lists(TEXTS, max_size=3),
    st.dictionaries(KEYS, TEXTS, max_size=2),
)


def export(account_id: uuid.UUID, format: Format = "ndjson") -> bytes:
    rows = Credential.objects.filter(account_id=account_id)
    return b"".join(write_export(iter_documents(rows), format))


def import_back(account_id: uuid.UUID, raw: bytes) -> ImportReport:
    file = open_import_file(io.BytesIO(raw))
    return import_lines(file.lines, account_id=account_id, actor=TESTER, notices=file.notices)


def summarize(report: ImportReport) -> tuple[int, int, int, list[Any]]:
    reasons = [(error.field, error.reason) for error in report.rejected_lines]
    return report.created, report.updated, report.unchanged, reasons


def get_columns(row: Credential) -> tuple[Any, ...]:
    row = Credential.objects.get(pk=row.pk)
    return (row.name, row.owner_email, row.external_id, row.properties, row.metadata, row.revision)


class RoundTripTest(TestCase):
    @given(name=LABELS, external_id=LABELS, metadata=st.dictionaries(KEYS, VALUES, max_size=5))
    def test_an_export_changes_nothing(self, name, external_id, metadata):
        account = make_account()
        body = make_stripe_body(name=name, external_id=external_id, metadata=metadata)
        row = make_credential(account, body)
        before = get_columns(row)
        for format in FORMATS:
            report = import_back(account.id, export(account.id, format))
            assert summarize(report) == (0, 0, 1, []), format
        assert get_columns(row) == before


@given(text=st.text())
def test_formulas_are_escaped_and_unescaped(text):
    assert unescape_formula(escape_formula(text)) == text
    assert escape_formula(text)[:1] not in {"=", "+", "-", "@", "\t", "\r", "\n"}


@pytest.fixture
def rows(account) -> list[Credential]:
    """Two credentials: a key, and a grant whose kind has an identity."""
    app = make_app(account)
    grant = make_linear_body(app, name="Grant", metadata={"plan": "pro", "seats": 3})
    return [make_credential(account, make_stripe_body(name="Key")), make_credential(account, grant)]


@pytest.mark.parametrize("format", FORMATS)
def test_changed_lines_change_the_rest_and_no_secret(account, rows, format):
    secrets = read_ciphertexts()
    raw = change_owner(export(account.id, format), format)
    report = import_back(account.id, raw)
    assert summarize(report) == (0, 2, 0, [])
    assert report.ignored["provider"] == 2
    stored = Credential.objects.order_by("id")
    assert {row.owner_email for row in stored} == {"new@acme.example"}
    assert read_ciphertexts() == secrets
    assert [row.metadata for row in stored] == [{}, {"plan": "pro", "seats": 3}]


def read_ciphertexts() -> list[bytes]:
    rows = Credential.objects.order_by("id")
    return [bytes(row.secrets.blob) for row in rows if row.secrets is not None]


def change_owner(raw: bytes, format: Format) -> bytes:
    """Do what a person does with an export: enter another owner in each row."""
    owner = "new@acme.example"
    if format == "ndjson":
        documents = [json.loads(line) for line in raw.splitlines()]
        return b"\n".join(json.dumps({**d, "owner_email": owner}).encode() for d in documents)
    if format == "json":
        return json.dumps([{**d, "owner_email": owner} for d in json.loads(raw)]).encode()
    if format == "csv":
        table = list(csv.reader(io.StringIO(raw.decode("utf-8-sig"))))
        text = io.StringIO()
        # As Excel in most of Europe saves it again.
        csv.writer(text, delimiter=";").writerows(fill(table, owner))
        return text.getvalue().encode("utf-8-sig")
    workbook = openpyxl.load_workbook(io.BytesIO(raw))
    sheet: Any = workbook.active
    column = [cell.value for cell in sheet[1]].index("owner_email") + 1
    for row in range(2, sheet.max_row + 1):
        sheet.cell(row, column).value = owner
    stream = io.BytesIO()
    workbook.save(stream)
    return stream.getvalue()


def fill(table: list[list[str]], owner: str) -> Iterator[list[str]]:
    column = table[0].index("owner_email")
    yield table[0]
    for row in table[1:]:
        yield [*row[:column], owner, *row[column + 1 :]]


def import_one(api, **body: Any) -> tuple[int, Any]:
    response = api.post("/v1/credentials/import", [body])
    report = response.json()
    return report["updated"], [(error["field"], error["reason"]) for error in report["errors"]]


def test_outdated_etag_is_rejected(account, api, rows):
    row = rows[0]
    assert import_one(api, id=str(row.id), etag="1", name="First") == (1, [])
    updated, ((field, reason),) = import_one(api, id=str(row.id), etag="1", name="Second")
    assert (updated, field) == (0, "etag")
    assert "changed since" in reason
    assert import_one(api, id=str(row.id), etag='"2"', name="Third") == (1, [])
    assert Credential.objects.get(pk=row.pk).name == "Third"


def test_what_identifies_the_account_cannot_be_changed(account, api, rows):
    key, grant = rows
    other_app = make_app(account)
    cases: list[tuple[Credential, dict[str, Any], str]] = [
        (key, {"external_id": "other"}, "external_id"),
        (key, {"properties": {"kind": "github_key"}}, "properties.kind"),
        (key, {"properties": {"secret": "sk_test_other"}}, "properties.secret"),
        (grant, {"oauth_app_id": str(other_app.id)}, "oauth_app_id"),
        (grant, {"properties": {"linear_org_id": "org-9"}}, "properties.linear_org_id"),
    ]
    for row, change, field in cases:
        assert import_one(api, id=str(row.id), **change)[1][0][0] == field
    assert import_one(api, id=str(uuid.uuid4()), name="x")[1] == [
        ("id", "there is no such credential")
    ]
    assert import_one(api, etag="1", **make_stripe_body())[1][0][0] == "etag"


def test_a_row_of_another_account_is_not_found(other_account, api):
    row = make_credential(other_account)
    assert import_one(api, id=str(row.id), name="x")[1][0][0] == "id"


def test_one_row_is_changed_once(api, rows):
    id = str(rows[0].id)
    response = api.post(
        "/v1/credentials/import", [{"id": id, "name": "a"}, {"id": id, "name": "b"}]
    )
    (error,) = response.json()["errors"]
    assert (error["line"], error["field"]) == (2, "id")


def test_a_representation_can_be_changed_and_posted(api, rows):
    document = api.get(f"/v1/credentials/{rows[1].id}").json()
    response = api.post("/v1/credentials", {**document, "name": "Changed"})
    assert (response.status_code, response["Latchkey-Import"]) == (200, "updated")
    assert "health: is read-only and was ignored" in response["Latchkey-Notice"]
    assert response.json()["name"] == "Changed"


def test_a_new_token_can_come_with_the_id(api, rows):
    assert import_one(api, id=str(rows[1].id), properties={"access_token": "lin_oauth_next"}) == (
        1,
        [],
    )


def test_api_exports_with_filters(account, other_account, api, rows):
    make_credential(other_account)
    response = api.get(EXPORT)
    assert response.status_code == 200
    assert len(b"".join(response.streaming_content).splitlines()) == 2
    response = api.get(f"{EXPORT}?format=json&provider=linear")
    (document,) = json.loads(b"".join(response.streaming_content))
    assert document["properties"]["linear_org_id"] == "org-1"
    assert "access_token" not in document["properties"]
    assert response["Content-Disposition"] == 'attachment; filename="credentials.json"'
    assert api.get(f"{EXPORT}?format=pdf").status_code == 400
    assert api.get(f"{EXPORT}?limit=5").status_code == 400


def test_pages_are_read_one_after_the_other(account, monkeypatch):
    monkeypatch.setattr("credentials.services.export.PAGE_SIZE", 2)
    for _ in range(5):
        make_credential(account)
    assert len(export(account.id).splitlines()) == 5

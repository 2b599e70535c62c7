"""POST /v1/credentials/import: many lines, one report."""

from __future__ import annotations

import json
from typing import Any

import pytest

from credentials.models import Credential
from events.models import Event
from tests.factories import make_stripe_body

PATH = "/v1/credentials/import"
NDJSON = {"content_type": "application/x-ndjson"}


def ndjson(*bodies: Any) -> bytes:
    """Return NDJSON. Bytes are kept as they are, for lines that are not JSON."""
    lines = [b if isinstance(b, bytes) else json.dumps(b).encode() for b in bodies]
    return b"\n".join(lines) + b"\n"


def test_stores_valid_lines_and_reports_invalid_ones(api):
    raw = ndjson(
        make_stripe_body("s1"), b"{", make_stripe_body("s2", nope=1), make_stripe_body("s3")
    )
    response = api.post(PATH, raw, **NDJSON)
    assert response.status_code == 200
    report = response.json()
    counts = {name: report[name] for name in ("created", "updated", "unchanged", "rejected")}
    assert counts == {"created": 2, "updated": 0, "unchanged": 0, "rejected": 2}
    assert [(e["line"], e["field"]) for e in report["errors"]] == [(2, None), (3, "nope")]
    assert report["errors"][1]["reason"] == "unknown field"
    assert (report["dry_run"], report["errors_truncated"]) == (False, False)


def test_second_run_changes_nothing(api):
    raw = ndjson(*(make_stripe_body(f"s{n}", metadata={"n": n}) for n in range(5)))
    api.post(PATH, raw, **NDJSON)
    events = Event.objects.count()
    assert api.post(PATH, raw, **NDJSON).json()["unchanged"] == 5
    assert Event.objects.count() == events


def test_array_has_the_same_result(api):
    report = api.post(PATH, [make_stripe_body("s1"), {"properties": 1}]).json()
    assert (report["created"], report["rejected"]) == (1, 1)
    assert report["errors"][0]["line"] == 2


def test_blank_lines_are_counted_and_skipped(api):
    raw = b"\n\r\n" + ndjson(make_stripe_body("s1")) + b"\n{\n"
    report = api.post(PATH, raw, **NDJSON).json()
    assert (report["created"], report["errors"][0]["line"]) == (1, 5)


def test_second_line_of_one_account_is_rejected(api):
    raw = ndjson(make_stripe_body("s1", name="first"), make_stripe_body("s1", name="second"))
    report = api.post(PATH, raw, **NDJSON).json()
    assert report["errors"] == [
        {"line": 2, "field": "properties", "reason": "is the same upstream account as line 1"}
    ]
    assert Credential.objects.get().name == "first"


def test_dry_run_reports_the_same_and_stores_nothing(api):
    api.post("/v1/credentials", make_stripe_body("s1"))
    raw = ndjson(make_stripe_body("s1"), make_stripe_body("s1b", name="new"), b"nope")
    before = (Credential.objects.count(), Event.objects.count())
    report = api.post(f"{PATH}?dry_run=true", raw, **NDJSON).json()
    assert (report["created"], report["unchanged"], report["rejected"]) == (1, 1, 1)
    assert report["dry_run"] is True
    assert (Credential.objects.count(), Event.objects.count()) == before


def test_atomic_stores_all(api):
    raw = ndjson(make_stripe_body("s1"), make_stripe_body("s2"))
    assert api.post(f"{PATH}?atomic=true", raw, **NDJSON).json()["created"] == 2


def test_atomic_stores_nothing_if_one_line_is_invalid(api):
    raw = ndjson(*(make_stripe_body(f"s{n}") for n in range(60)), b"{")
    response = api.post(f"{PATH}?atomic=true", raw, **NDJSON)
    assert response.status_code == 422
    assert response["Content-Type"] == "application/problem+json"
    assert (response.json()["created"], response.json()["rejected"]) == (0, 1)
    assert response.json()["errors"][0]["line"] == 61
    assert not Credential.objects.exists()


def test_stores_more_lines_than_a_chunk(api, monkeypatch):
    monkeypatch.setattr("credentials.imports.batch.CHUNK_SIZE", 100)
    raw = ndjson(*(make_stripe_body(f"s{n}") for n in range(203)))
    assert api.post(PATH, raw, **NDJSON).json()["created"] == 203
    assert Credential.objects.count() == 203
    assert Event.objects.filter(verb="credential.created").count() == 203


def test_report_contains_no_value(api):
    raw = ndjson(
        b'{"properties": {"kind": "stripe_key", "secret": "sk_canary"',
        make_stripe_body("sk_canary", canary_field="sk_canary"),
        {"properties": {"kind": "stripe_key", "secret": ["sk_canary"]}},
        {"properties": {"kind": "sk_canary"}},
    )
    response = api.post(PATH, raw, **NDJSON)
    assert response.json()["rejected"] == 4
    assert b"sk_canary" not in response.content


def test_errors_are_truncated_at_a_thousand(api):
    report = api.post(PATH, b"{\n" * 1001, **NDJSON).json()
    assert (report["rejected"], len(report["errors"])) == (1001, 1000)
    assert report["errors_truncated"] is True


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", 400),
        (b"\n\n", 400),
        (b"x" * (64 * 1024 + 1), 413),
        (b"\n".join([b"{}"] * 100_001), 413),
        (b"\n" * (10 * 1024 * 1024 + 1), 413),
    ],
)
def test_stores_nothing_beyond_the_limits(api, raw, code):
    response = api.post(
        PATH, ndjson(make_stripe_body("s1")) + raw if raw.strip() else raw, **NDJSON
    )
    assert response.status_code == code
    assert not Credential.objects.exists()


@pytest.mark.parametrize("body", [{}, "x", 1, []])
def test_json_that_is_no_array_is_400(api, body):
    assert api.post(PATH, body).status_code == 400


@pytest.mark.parametrize("query", ["dry_run=1", "atomic=yes", "nope=true", "dry_run="])
def test_invalid_flag_is_400(api, query):
    assert api.post(f"{PATH}?{query}", ndjson(make_stripe_body()), **NDJSON).status_code == 400


def test_other_media_type_is_415(api):
    assert api.post(PATH, b"<a/>", content_type="application/xml").status_code == 415


def test_too_long_array_is_rejected_before_it_is_read(api):
    raw = b"[" + b",".join([b"0"] * 100_001) + b"]"
    assert api.post(PATH, raw).status_code == 413


def test_line_length_is_counted_in_bytes(api):
    long = make_stripe_body("s1", metadata={f"k{n}": "\u8a9e" * 1000 for n in range(5)})
    assert api.post(PATH, json.dumps([long], ensure_ascii=False).encode()).json()["created"] == 1

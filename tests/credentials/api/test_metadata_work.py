"""The work of a metadata filter is bounded, whatever a caller has stored and requests."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from common.db.lookups import json_contains
from common.strict_json import METADATA_ELEMENTS
from credentials.models import Credential
from tests.api import ApiClient
from tests.factories import make_credential, make_staff, make_stripe_body

HOSTILE: dict[str, Any] = {"a": [[] for _ in range(5_000)] + [[1]]}


@pytest.fixture
def old_row(account):
    """A row that was stored before arrays had a limit."""
    row = make_credential(account, make_stripe_body())
    Credential.objects.filter(pk=row.pk).update(metadata=HOSTILE)
    return row


def build_list_url(metadata: object) -> str:
    return f"/v1/credentials?metadata={quote(json.dumps(metadata, separators=(',', ':')))}"


@pytest.mark.parametrize(
    "metadata",
    [
        {"a": [[1]] * 200},
        {"a": [[]]},
        {"a": {"b": [{"c": [1]}]}},
        {"a": [1] * (METADATA_ELEMENTS + 1)},
    ],
)
def test_a_filter_of_unbounded_work_is_400(api: ApiClient, metadata):
    response = api.get(build_list_url(metadata))
    assert response.status_code == 400
    assert "array" in response.json()["detail"]


@pytest.mark.parametrize("metadata", [{"a": [1, 2]}, {"a": [{"b": 1}]}, {"a": {"b": ["x"]}}])
def test_a_filter_with_arrays_finds_rows(api: ApiClient, account, metadata):
    row = make_credential(account, make_stripe_body(metadata=metadata))
    assert [each["id"] for each in api.get(build_list_url(metadata)).json()["data"]] == [
        str(row.pk)
    ]


def test_too_many_elements_are_422(api: ApiClient, account):
    body = make_stripe_body(metadata=HOSTILE)
    response = api.post("/v1/credentials", body)
    assert response.status_code == 422
    assert "elements" in json.dumps(response.json())


def test_the_admin_filter_has_the_same_limits(account, old_row):
    from django.test import Client

    client = Client()
    client.force_login(make_staff("Viewer"))
    page = client.get(
        "/admin/credentials/credential/", {"metadata_key": "a", "metadata_value": "[[1]]"}
    )
    assert "must not have an array inside an array" in page.content.decode()


def test_an_old_row_is_readable_and_patchable(api: ApiClient, old_row):
    address = f"/v1/credentials/{old_row.pk}"
    assert api.get(address).json()["metadata"] == HOSTILE
    assert api.patch(address, {"name": "New"}).status_code == 200
    merged = api.patch(address, {"metadata": {"b": 1}}, content_type="application/merge-patch+json")
    assert merged.status_code == 200
    assert merged.json()["metadata"] == {**HOSTILE, "b": 1}
    grown = api.patch(
        address, {"metadata": {"c": [1]}}, content_type="application/merge-patch+json"
    )
    assert grown.status_code == 422


def test_the_most_comparisons_of_one_row_are_bounded(monkeypatch):
    row = [0] * (METADATA_ELEMENTS - 1) + [1]
    calls = 0
    original = json_contains

    def count(whole: object, part: object) -> bool:
        nonlocal calls
        calls += 1
        return original(whole, part)

    monkeypatch.setattr("common.db.lookups.json_contains", count)
    assert original({"a": row}, {"a": [1] * METADATA_ELEMENTS})
    assert calls <= METADATA_ELEMENTS**2 + METADATA_ELEMENTS

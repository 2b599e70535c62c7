"""Forged authorization responses: each gets its status and page, and connects nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from credentials.connect.models import PendingGrant
from credentials.models import Credential
from tests.credentials.connect.flows import (
    Browser,
    assert_is_page,
    list_event_verbs,
    parse_query,
    start_flow,
)

FILE = Path(__file__).parents[2] / "data/oauth_answers.jsonl"
ROWS = [json.loads(line) for line in FILE.read_text().splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_hostile_response_connects_nothing(browser, app, alpha, row):
    used, other = Browser(), Browser()
    used_response = alpha.approve(start_flow(used, app))
    used.open(used_response)
    placeholders = {
        "$APP": str(app.id),
        "$USED": parse_query(used_response)["state"],
        "$ELSEWHERE": parse_query(start_flow(other, app))["state"],
        "$GOOD": parse_query(start_flow(browser, app))["state"],
    }
    query = row["query"]
    for name, value in placeholders.items():
        query = query.replace(name, value)
    grants = PendingGrant.objects.count()
    response = browser.open(f"/link/oauth2/callback/alpha/{app.id}?{query}")
    assert response.status_code == row["code"], row["why"]
    assert_is_page(response)
    assert b"<script" not in response.content
    assert not Credential.objects.exists()
    assert PendingGrant.objects.count() == grants
    assert list_event_verbs()[-1] in {"connect.refused", "connect.denied"}

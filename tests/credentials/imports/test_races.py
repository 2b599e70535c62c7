"""Concurrent imports of one upstream account leave one row."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from credentials.imports.upsert import store_items
from credentials.imports.validation import validate_item
from credentials.models import Credential
from events.models import Event
from tests.api import ApiClient
from tests.factories import TESTER, make_account, make_stripe_body, make_token
from tests.threads import run_concurrently

THREADS = 40

pytestmark = pytest.mark.django_db(transaction=True)


def test_forty_concurrent_imports_create_one_row():
    token = make_token(make_account())
    body = make_stripe_body("sk_live_one")
    responses = run_concurrently(lambda _: ApiClient(token).post("/v1/credentials", body), THREADS)
    assert Counter(a["Latchkey-Import"] for a in responses) == {"created": 1, "unchanged": 39}
    assert len({a.json()["id"] for a in responses}) == Credential.objects.count() == 1


def test_forty_concurrent_imports_lose_no_update():
    token = make_token(make_account())
    bodies = [make_stripe_body("sk_live_one", name=f"name {n}") for n in range(THREADS)]
    responses = run_concurrently(
        lambda n: ApiClient(token).post("/v1/credentials", bodies[n]), THREADS
    )
    assert {a.status_code for a in responses} == {200}
    row = Credential.objects.get()
    assert row.revision == THREADS
    assert Event.objects.filter(target_id=row.id).count() == THREADS


def test_batches_in_opposite_orders_do_not_deadlock():
    account = make_account()
    items = [validate_item(make_stripe_body(f"sk_{n}"), account_id=account.id) for n in range(60)]

    def run(number: int) -> list[str]:
        chosen = items if number % 2 else items[::-1]
        return [o.result for o in store_items(chosen, account_id=account.id, actor=TESTER)]

    results = Counter(result for found in run_concurrently(run, 8) for result in found)
    assert results == {"created": 60, "unchanged": 7 * 60}
    assert Credential.objects.count() == 60


def test_concurrent_import_and_patch_keep_both_changes():
    token = make_token(make_account())
    id = ApiClient(token).post("/v1/credentials", make_stripe_body("sk_live_one")).json()["id"]

    def work(number: int) -> Any:
        if number % 2:
            return ApiClient(token).patch(f"/v1/credentials/{id}", {"name": "patched"})
        return ApiClient(token).post(
            "/v1/credentials", make_stripe_body("sk_live_one", metadata={"a": 1})
        )

    assert {a.status_code for a in run_concurrently(work, 12)} == {200}
    row = Credential.objects.get()
    assert (row.name, row.metadata) == ("patched", {"a": 1})

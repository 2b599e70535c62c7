"""Concurrent rotations, imports and reveals."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from credentials.models import Credential, CredentialAlias, Reveal
from tests.api import ApiClient
from tests.factories import make_account, make_credential, make_stripe_body, make_token
from tests.threads import run_concurrently

pytestmark = pytest.mark.django_db(transaction=True)


def test_concurrent_import_and_rotation_keep_one_row():
    account = make_account()
    token = make_token(account)
    rows = [make_credential(account, make_stripe_body(f"sk_{n}")) for n in range(6)]

    def work(number: int) -> Any:
        row = rows[number // 4]
        if number % 4:
            return ApiClient(token).post(
                "/v1/credentials", make_stripe_body(f"sk_{number // 4}", name="n")
            )
        sent = {"properties": {"secret": f"sk_new_{number}"}}
        return ApiClient(token).post(f"/v1/credentials/{row.id}/rotate", sent)

    responses = run_concurrently(work, 4 * len(rows))
    assert {response.status_code for response in responses} == {200}
    assert Credential.objects.count() == len(rows)
    assert CredentialAlias.objects.count() == len(rows)


def test_concurrent_rotations_to_one_secret_keep_one():
    account = make_account()
    token = make_token(account)
    rows = [make_credential(account) for _ in range(6)]
    sent = {"properties": {"secret": "sk_wanted"}}
    responses = run_concurrently(
        lambda n: ApiClient(token).post(f"/v1/credentials/{rows[n].id}/rotate", sent), len(rows)
    )
    assert Counter(response.status_code for response in responses) == {200: 1, 409: 5}


def test_concurrent_reveals_keep_the_limit():
    account = make_account()
    row, token = make_credential(account), make_token(account)
    path = f"/v1/credentials/{row.id}/reveal"
    responses = run_concurrently(lambda _: ApiClient(token).post(path, {"reason": "Why not."}), 16)
    assert Counter(response.status_code for response in responses) == {200: 10, 429: 6}
    assert Reveal.objects.count() == 10

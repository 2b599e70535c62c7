"""Rotations, imports and reveals at the same time."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from credentials.models import Credential, CredentialAlias, Reveal
from tests.api import ApiClient
from tests.factories import make_account, make_credential, make_stripe_body, make_token
from tests.threads import run_concurrently

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_import_beside_a_rotation_never_makes_a_second_row():
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

    answers = run_concurrently(work, 4 * len(rows))
    assert {answer.status_code for answer in answers} == {200}
    assert Credential.objects.count() == len(rows)
    assert CredentialAlias.objects.count() == len(rows)


def test_two_rotations_to_one_secret_leave_one_that_has_it():
    account = make_account()
    token = make_token(account)
    rows = [make_credential(account) for _ in range(6)]
    sent = {"properties": {"secret": "sk_wanted"}}
    answers = run_concurrently(
        lambda n: ApiClient(token).post(f"/v1/credentials/{rows[n].id}/rotate", sent), len(rows)
    )
    assert Counter(answer.status_code for answer in answers) == {200: 1, 409: 5}


def test_ten_reveals_are_ten_however_many_ask_at_once():
    account = make_account()
    row, token = make_credential(account), make_token(account)
    path = f"/v1/credentials/{row.id}/reveal"
    answers = run_concurrently(lambda _: ApiClient(token).post(path, {"reason": "Why not."}), 16)
    assert Counter(answer.status_code for answer in answers) == {200: 10, 429: 6}
    assert Reveal.objects.count() == 10

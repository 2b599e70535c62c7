"""`Idempotency-Key`: a request that is sent twice has one effect and one response."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from accounts import idempotency
from accounts.idempotency import IdempotencyClaim, IdempotentRequest, StoredResponse
from accounts.models import Account, IdempotencyRecord
from common.actors import Principal
from common.db.ids import uuid7
from common.errors import ConflictError, TooManyRequestsError
from credentials import services
from credentials.models import Credential
from tests.accounts.sending import (
    DAY_SECONDS,
    IDEMPOTENT_PATHS,
    each_path,
    is_replayed,
    post_with_key,
)
from tests.api import ApiClient
from tests.factories import TESTER, make_staff, make_stripe_body, make_token
from tests.project.canaries import dump_database
from tests.project.routes import make_app_body
from vault.sealing import SecretUnavailableError


def failing_import(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(**_: Any) -> None:
        raise error

    monkeypatch.setattr(services, "credential_import", fail)


@each_path
def test_repeated_request_has_the_first_response_and_no_effect(api, path):
    make, model = IDEMPOTENT_PATHS[path]
    body = make()
    first, second = post_with_key(api, path, body), post_with_key(api, path, body)
    assert first.status_code < 300, first.content
    assert (second.status_code, second.content) == (first.status_code, first.content)
    assert (is_replayed(first), is_replayed(second)) == (False, True)
    assert model.objects.count() == 1
    for name in ("Content-Type", "Cache-Control", "ETag", "Latchkey-Import"):
        assert second.get(name) == first.get(name)
    assert second["X-Request-Id"] != first["X-Request-Id"]


def test_replay_says_created_although_a_new_request_says_unchanged(api):
    body = make_stripe_body()
    post_with_key(api, "/v1/credentials", body)
    assert post_with_key(api, "/v1/credentials", body)["Latchkey-Import"] == "created"
    assert api.post("/v1/credentials", body)["Latchkey-Import"] == "unchanged"


def test_replay_does_not_depend_on_the_object(api):
    body = make_stripe_body()
    first = post_with_key(api, "/v1/credentials", body)
    api.delete(f"/v1/credentials/{first.json()['id']}")
    assert post_with_key(api, "/v1/credentials", body).content == first.content
    assert not Credential.objects.exists()


@each_path
def test_without_the_header_nothing_is_stored(api, path):
    make, _ = IDEMPOTENT_PATHS[path]
    api.get("/v1/credentials")
    with CaptureQueriesContext(connection) as captured:
        assert api.post(path, make()).status_code < 300
    assert not any("idempotency" in query["sql"] for query in captured.captured_queries)
    assert not IdempotencyRecord.objects.exists()


# --- whose key, and for what --------------------------------------------------------------------


@each_path
def test_another_body_is_422_and_has_no_effect(api, path):
    make, model = IDEMPOTENT_PATHS[path]
    post_with_key(api, path, make())
    response = post_with_key(api, path, {**make(), "name": "Another"})
    assert response.status_code == 422
    assert "Idempotency-Key" in response.json()["detail"]
    assert not is_replayed(response)
    assert model.objects.count() == 1


def test_another_path_is_422(api):
    body = {"name": "fits none of them"}
    post_with_key(api, "/v1/oauth-apps", body)
    response = post_with_key(api, "/v1/connect-links", body)
    assert response.status_code == 422
    assert "Idempotency-Key" in response.json()["detail"]


def test_the_body_is_compared_byte_by_byte_and_the_charset_is_not(api):
    body = make_stripe_body()
    raw = json.dumps(body).encode()
    post_with_key(api, "/v1/credentials", raw)
    utf8 = {"content_type": "Application/JSON; charset=utf-8"}
    assert is_replayed(post_with_key(api, "/v1/credentials", raw, **utf8))
    assert post_with_key(api, "/v1/credentials", raw + b" ").status_code == 422
    patch = {"content_type": "application/merge-patch+json"}
    assert post_with_key(api, "/v1/credentials", raw, **patch).status_code == 422


def test_keys_of_two_tokens_are_independent(api, account):
    other = ApiClient(make_token(account))
    mine, theirs = make_stripe_body(), make_stripe_body()
    post_with_key(api, "/v1/credentials", mine)
    first, second = (post_with_key(other, "/v1/credentials", theirs) for _ in range(2))
    assert (first.status_code, is_replayed(first)) == (200, False)
    assert is_replayed(second)
    assert second.content == first.content


def test_keys_of_two_accounts_are_independent(api, other_api):
    post_with_key(api, "/v1/credentials", make_stripe_body())
    response = post_with_key(other_api, "/v1/credentials", make_stripe_body())
    assert (response.status_code, is_replayed(response)) == (200, False)


def test_session_can_use_keys(account):
    user = make_staff("Custodian")
    login = {"username": user.username, "password": "correct horse"}
    session = ApiClient(ApiClient().post("/api/auth/login", login).json()["token"])
    body = make_stripe_body()
    first, second = (
        post_with_key(session, "/v1/credentials", body),
        post_with_key(session, "/v1/credentials", body),
    )
    assert first.status_code == 200
    assert second.content == first.content
    assert is_replayed(second)


# --- what is kept -------------------------------------------------------------------------------


def test_stored_error_is_replayed_with_a_new_request_id(api):
    taken = make_app_body()
    id = api.post("/v1/oauth-apps", taken).json()["id"]
    first = post_with_key(api, "/v1/oauth-apps", taken)
    api.delete(f"/v1/oauth-apps/{id}")
    second = post_with_key(api, "/v1/oauth-apps", taken)
    assert (first.status_code, second.status_code) == (409, 409)
    assert is_replayed(second)
    assert second["Content-Type"] == "application/problem+json"
    assert second.json()["request_id"] == second["X-Request-Id"] != first["X-Request-Id"]
    assert {**second.json(), "request_id": ""} == {**first.json(), "request_id": ""}


def test_error_of_an_invalid_body_is_stored(api):
    first = post_with_key(api, "/v1/credentials", {"properties": {"kind": "nope"}})
    second = post_with_key(api, "/v1/credentials", {"properties": {"kind": "nope"}})
    assert (first.status_code, second.status_code) == (422, 422)
    assert is_replayed(second)
    assert second.json()["validation_errors"] == first.json()["validation_errors"] != {}


@pytest.mark.parametrize(
    ("sent", "more", "code"),
    [
        (b"{", {}, 400),
        (b"", {}, 400),
        (b"[]", {}, 400),
        (b"{}", {"content_type": "text/plain"}, 415),
        (b"{}", {"content_type": "application/merge-patch+json"}, 415),
        (b" " * (256 * 1024 + 1), {}, 413),
    ],
    ids=["broken", "none", "no object", "no JSON", "a patch", "too large"],
)
def test_error_before_the_work_leaves_the_key_unused(api, sent, more, code):
    assert post_with_key(api, "/v1/credentials", sent, **more).status_code == code
    assert not IdempotencyRecord.objects.exists()
    assert post_with_key(api, "/v1/credentials", make_stripe_body()).status_code == 200


def test_invalid_request_with_a_used_key_is_rejected(api):
    post_with_key(api, "/v1/credentials", make_stripe_body())
    assert post_with_key(api, "/v1/credentials", b"{").status_code == 400


def test_stored_response_is_not_released(api):
    """The connection can break after the commit, so the request may have had its effect."""
    who = Principal(
        account_id=Account.objects.get().id,
        actor=TESTER,
        scopes=frozenset(),
        bearer_id=uuid7(),
        is_session=False,
    )
    call = IdempotentRequest(
        method="POST", path="/v1/credentials", media_type="application/json", body=b"{}"
    )
    claim = idempotency.claim_request(principal=who, key="k-1", request=call)
    assert isinstance(claim, IdempotencyClaim)
    response = StoredResponse(status=200, headers={}, body="{}")
    idempotency.store_response(claim=claim, response=response)
    idempotency.release_claim(claim=claim)
    assert idempotency.claim_request(principal=who, key="k-1", request=call) == response


def test_missing_scope_or_token_leaves_the_key_unused(account):
    assert post_with_key(ApiClient(), "/v1/credentials", make_stripe_body()).status_code == 401
    reader = ApiClient(make_token(account, "credentials:read"))
    assert post_with_key(reader, "/v1/credentials", make_stripe_body()).status_code == 403
    assert not IdempotencyRecord.objects.exists()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuntimeError(), 500),
        (OperationalError(), 503),
        (TooManyRequestsError("Slowly.", retry_after=5), 429),
        (ConflictError("Busy.", retry_after=5), 409),
        (SecretUnavailableError(), 409),
    ],
    ids=["500", "503", "429", "409 for now", "a missing key"],
)
def test_temporary_error_is_not_stored(api, monkeypatch, error, code):
    body = make_stripe_body()
    with monkeypatch.context() as patch:
        failing_import(patch, error)
        assert post_with_key(api, "/v1/credentials", body).status_code == code
    response = post_with_key(api, "/v1/credentials", body)
    assert (response.status_code, is_replayed(response)) == (200, False)


def test_work_that_fails_late_is_rolled_back(api, monkeypatch):
    do = services.credential_import

    def fail_late(**more: Any) -> None:
        do(**more)
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(services, "credential_import", fail_late)
        assert post_with_key(api, "/v1/credentials", make_stripe_body()).status_code == 500
    assert not Credential.objects.exists()


@pytest.mark.parametrize("path", ["/v1/webhook-endpoints", "/v1/connect-links"])
def test_secret_displayed_once_is_replayed_and_stored_sealed(api, path):
    make, _ = IDEMPOTENT_PATHS[path]
    body = make()
    first = post_with_key(api, path, body, key="order-of-a-customer")
    shown = first.json().get("secret") or first.json()["url"].rpartition("/")[2]
    assert shown.encode() in post_with_key(api, path, body, key="order-of-a-customer").content
    everything = dump_database()
    for hidden in (shown, shown.removeprefix("whsec_"), "order-of-a-customer"):
        assert hidden.encode() not in everything


def test_body_is_not_stored(api):
    body = make_app_body(client_secret="hunter2-canary", client_id="client-of-ours")
    assert post_with_key(api, "/v1/oauth-apps", body).status_code == 200
    row = IdempotencyRecord.objects.get()
    everything = dump_database()
    assert b"hunter2-canary" not in everything
    assert row.answer is not None
    assert b"client-of-ours" not in row.answer.blob


def test_response_cannot_be_decrypted_in_another_row(api):
    bodies = [make_stripe_body(), make_stripe_body()]
    for number, body in enumerate(bodies):
        post_with_key(api, "/v1/credentials", body, key=f"k-{number}")
    one, other = IdempotencyRecord.objects.order_by("id")
    IdempotencyRecord.objects.filter(id=one.id).update(answer=other.answer)
    response = post_with_key(api, "/v1/credentials", bodies[0], key="k-0")
    assert (response.status_code, is_replayed(response)) == (409, False)


# --- for how long -------------------------------------------------------------------------------


def test_concurrent_request_is_409_and_another_body_422(api, monkeypatch):
    body, seen = make_stripe_body(), []
    do = services.credential_import

    def import_after_repeat(**more: Any) -> Any:
        seen.append(post_with_key(api, "/v1/credentials", body))
        seen.append(post_with_key(api, "/v1/credentials", make_stripe_body()))
        return do(**more)

    monkeypatch.setattr(services, "credential_import", import_after_repeat)
    assert post_with_key(api, "/v1/credentials", body).status_code == 200
    same, other = seen
    assert (same.status_code, same["Retry-After"]) == (409, "1")
    assert "Idempotency-Key" in same.json()["detail"]
    assert other.status_code == 422
    assert Credential.objects.count() == 1


def test_key_of_a_dead_process_is_free_after_its_lease(api, monkeypatch, settings):
    monkeypatch.setattr(idempotency, "LEASE", dt.timedelta(seconds=60))
    body = make_stripe_body()
    with monkeypatch.context() as patch:
        failing_import(patch, SystemExit())
        with pytest.raises(SystemExit):
            post_with_key(api, "/v1/credentials", body)
    settings.CLOCK_SHIFT_SECONDS = 30
    assert post_with_key(api, "/v1/credentials", body).status_code == 409
    settings.CLOCK_SHIFT_SECONDS = 61
    response = post_with_key(api, "/v1/credentials", body)
    assert (response.status_code, is_replayed(response)) == (200, False)
    assert is_replayed(post_with_key(api, "/v1/credentials", body))


def test_work_whose_claim_expired_is_rolled_back(api, monkeypatch):
    do = services.credential_import

    def too_slow(**more: Any) -> Any:
        IdempotencyRecord.objects.update(id=uuid7())  # As by another claim.
        return do(**more)

    with monkeypatch.context() as patch:
        patch.setattr(services, "credential_import", too_slow)
        response = post_with_key(api, "/v1/credentials", make_stripe_body())
    assert (response.status_code, response["Retry-After"]) == (503, "1")
    assert not Credential.objects.exists()


def test_response_is_stored_for_a_day(api, settings):
    body = make_stripe_body()
    first = post_with_key(api, "/v1/credentials", body)
    settings.CLOCK_SHIFT_SECONDS = DAY_SECONDS - 2
    assert post_with_key(api, "/v1/credentials", body).content == first.content
    settings.CLOCK_SHIFT_SECONDS = DAY_SECONDS + 1
    response = post_with_key(api, "/v1/credentials", make_stripe_body())
    assert (response.status_code, is_replayed(response)) == (200, False)
    assert IdempotencyRecord.objects.count() == 1


def test_delete_expired_records(api, settings):
    for number in range(3):
        post_with_key(api, "/v1/credentials", make_stripe_body(), key=f"old-{number}")
    assert idempotency.delete_expired_records(10) == 0
    settings.CLOCK_SHIFT_SECONDS = DAY_SECONDS + 1
    post_with_key(api, "/v1/credentials", make_stripe_body(), key="new")
    assert idempotency.delete_expired_records(2) == 2
    assert idempotency.delete_expired_records(10) == 1
    assert idempotency.delete_expired_records(10) == 0
    assert IdempotencyRecord.objects.count() == 1

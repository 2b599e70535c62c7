"""An API server that is killed during a request with an Idempotency-Key blocks the key for seconds only."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import json
import os
import threading

import pytest
from django.db import connection, transaction
from django.db.models import F

from accounts.idempotency import LEASE
from accounts.models import IdempotencyRecord
from credentials.models import Credential
from tests.accounts.sending import is_replayed, post_with_key
from tests.api import ApiClient
from tests.factories import make_account, make_stripe_body, make_token
from tests.fakes.fixtures import wait_until
from tools.fault_injection.installation import Installation
from vault.services import clear_index_key_cache, get_index_key

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.processes,
    pytest.mark.slow,
]

LONG = dt.timedelta(minutes=5)


@pytest.fixture
def api() -> ApiClient:
    if connection.vendor != "postgresql":
        pytest.skip("processes are tested on PostgreSQL")
    clear_index_key_cache()  # That of an earlier test is not in the database any more.
    get_index_key()
    return ApiClient(make_token(make_account()))


@pytest.fixture
def installation(tmp_path):
    database_url = os.environ["TEST_DATABASE_URL"].rpartition("/")[0]
    with Installation(
        tmp_path,
        database_url=f"{database_url}/{connection.settings_dict['NAME']}",
        providers=tmp_path,
        allow="",
        VAULT_KEYS=os.environ["VAULT_KEYS"],
    ) as installed:
        yield installed


def send(port: int, token: str, body: bytes) -> None:
    """Send the request to a server that will not live to respond."""
    request = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(request):
        request.request("POST", "/v1/credentials", body, {**headers, "Idempotency-Key": "k-1"})
        request.getresponse()


def test_a_repeated_request_runs_soon_after_its_server_was_killed(api, installation):
    body = make_stripe_body()
    assert api.post("/v1/credentials", body).status_code == 200
    changed = json.dumps({**body, "owner_email": "new@example.com"}).encode()
    server = installation.start_server("web-0")
    with transaction.atomic():
        # The server waits for this row when it is killed.
        Credential.objects.select_for_update().get()
        thread = threading.Thread(target=send, args=(server.port, api.token, changed))
        thread.start()
        wait_until(IdempotencyRecord.objects.exists)
        server.kill()
        thread.join()
    # Longer than a busy machine may take until here.
    IdempotencyRecord.objects.update(held_until=F("held_until") + LONG)
    blocked = post_with_key(api, "/v1/credentials", changed)
    assert (blocked.status_code, blocked["Retry-After"]) == (409, "1")
    assert Credential.objects.get().owner_email == ""
    # As if the lease had expired.
    IdempotencyRecord.objects.update(held_until=F("held_until") - LONG - LEASE)
    response = post_with_key(api, "/v1/credentials", changed)
    assert (response.status_code, is_replayed(response)) == (200, False)
    assert Credential.objects.get().owner_email == "new@example.com"
    assert is_replayed(post_with_key(api, "/v1/credentials", changed))

"""POST /token in four processes of the shipped server, and for every sort of credential."""

from __future__ import annotations

import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from credentials.models import CredentialUse
from tests.credentials.proxy.server_process import ServerProcess
from tests.factories import make_app, make_credential, make_stripe_body, make_token

pytestmark = pytest.mark.processes

FAR = "2099-01-01T00:00:00Z"
PASSWORD = {
    "kind": "servicenow_password", "instance": "acme", "username": "ann", "password": "secret-word-1",
}  # fmt: skip
TOKENS_APP = {
    "kind": "netsuite_app", "account": "1234567", "token_id": "ti", "token_secret": "secret-word-1",
}  # fmt: skip


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="processes are tested on PostgreSQL")
def test_four_processes_issue_one_token_after_one_call(provider, grant, account, settings):
    provider.delay = 0.5
    row, token = grant(), make_token(account)
    name = str(connection.settings_dict["NAME"])
    with ServerProcess(settings, name, "serve", workers=4) as served:

        def ask(_: int) -> tuple[int, str | None, Any]:
            asked = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
            sent = {"Authorization": f"Bearer {token}"}
            asked.request("POST", f"/v1/credentials/{row.id}/token", headers=sent)
            answer = asked.getresponse()
            found = answer.status, answer.getheader("Cache-Control"), json.loads(answer.read())
            asked.close()
            return found

        with ThreadPoolExecutor(40) as pool:
            found = list(pool.map(ask, range(40)))
    assert {(status, cache) for status, cache, _ in found} == {(200, "no-store")}
    (handed_out,) = {body["access_token"] for _, _, body in found}
    assert provider.grants.is_alive(handed_out)
    assert len(provider.calls) == 1


@pytest.mark.django_db
@pytest.mark.parametrize("properties", [PASSWORD, TOKENS_APP], ids=["password", "app"])
def test_kinds_without_token_decrypt_nothing(account, api, properties):
    body: dict[str, Any] = {"properties": properties}
    if properties is TOKENS_APP:
        body["oauth_app_id"] = str(make_app(account, "netsuite").id)
    answer = api.post(f"/v1/credentials/{make_credential(account, body).id}/token")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_refreshable")
    assert answer["Cache-Control"] == "no-store"
    assert "secret-word" not in answer.content.decode()
    assert not CredentialUse.objects.exists()


@pytest.mark.django_db
def test_grant_imported_without_token_gets_one(provider, api, account, app):
    tokens = provider.grants.authorize("ann")
    properties = {"kind": "fake_oauth2", "user_id": "ann", "refresh_token": tokens["refresh_token"]}
    row = make_credential(account, {"properties": properties, "oauth_app_id": str(app.id)})
    found = [api.post(f"/v1/credentials/{row.id}/token").json() for _ in range(2)]
    assert provider.grants.is_alive(found[0]["access_token"])
    assert found[0] == found[1]
    assert len(provider.calls) == 1


@pytest.mark.django_db
def test_token_of_unknown_lifetime_is_refreshed_once(provider, grant, api):
    row = grant(expires_at=FAR)
    del row.properties["expires_at"]
    type(row).objects.filter(id=row.id).update(expires_at=None, properties=row.properties)
    found = [api.post(f"/v1/credentials/{row.id}/token").json() for _ in range(3)]
    assert len({one["access_token"] for one in found}) == len(provider.calls) == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("method", "body", "status"),
    [
        ("GET", None, 405), ("HEAD", None, 405), ("PUT", None, 405), ("DELETE", None, 405),
        ("POST", b"[]", 400), ("POST", b"null", 400), ("POST", b"\xff", 400), ("POST", b" ", 400),
    ],
    ids=["get", "head", "put", "delete", "array", "null", "no text", "blank"],
)  # fmt: skip
def test_only_bare_post_gets_token(provider, grant, api, method, body, status):
    answer = api.send(method, f"/v1/credentials/{grant().id}/token", body)
    assert (answer.status_code, answer["Cache-Control"]) == (status, "no-store")
    assert provider.calls == []
    assert not CredentialUse.objects.exists()


@pytest.mark.django_db
def test_query_parameters_are_rejected(account, api):
    row = make_credential(account, make_stripe_body())
    assert api.post(f"/v1/credentials/{row.id}/token?force=1").status_code == 400

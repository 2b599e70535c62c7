"""A walk through the whole API, with known secrets in every field that takes one."""

from __future__ import annotations

import json
from typing import Any
from unittest.mock import Mock

import pytest
from django.db import IntegrityError, OperationalError

from providers.services import custom_provider_create
from tests.api import ApiClient
from tests.factories import make_account, make_app, make_endpoint_body, make_staff, make_token
from tests.project.bodies import make_invalid_bodies, make_valid_bodies
from tests.project.canaries import CANARIES
from tests.project.routes import list_routes

C = CANARIES
NDJSON = "application/x-ndjson"


class Walk:
    """Calls the API and records every response but those that return a secret."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.responses: list[bytes] = []
        self.calls: set[tuple[str, int]] = set()
        self.account = make_account("Acme")
        self.token = make_token(self.account)
        self.user = make_staff("Custodian", password=C["login"])
        self.session = ""
        self.issued_secrets: list[str] = []
        self.app = make_app(self.account, "linear", client_secret="none-of-them")
        custom_provider_create(
            account_id=self.account.id, name="own", base_url="https://own.example"
        )

    def run(self) -> Walk:
        self.log_in()
        ids, app = self.import_all(), self.call_apps()
        self.call_webhooks()
        self.call_connect(app)
        self.use_credentials(ids)
        self.fail_in_database()
        self.read_all(ids, app)
        self.call("GET", "/v1/credentials/01989aa0-0000-7000-8000-000000000000")
        self.change_all(ids, app)
        return self

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        response = ApiClient(options.pop("token", self.token)).send(method, path, body, **options)
        headers = "\n".join(f"{name}: {value}" for name, value in response.headers.items())
        content = response.getvalue()
        self.responses.append(headers.encode() + b"\n" + content)
        self.calls.add((f"{method} {path}", response.status_code))
        assert response.status_code not in {500, 501}, (path, content)
        return response

    def log_in(self) -> None:
        sent = {"username": self.user.username, "password": C["login"]}
        response = ApiClient().post("/api/auth/login", sent)
        assert response.status_code == 200
        self.session = response.json()["token"]
        for wrong in (
            {"password": C["wrong login"]},
            {"otp": 1},
            {"account": C["wrong login"] * 9},
        ):
            self.call(
                "POST",
                "/api/auth/login",
                {**sent, "password": C["wrong login"], **wrong},
                token=None,
            )

    def make_bodies(self) -> list[dict[str, Any]]:
        return make_valid_bodies(str(self.app.id))

    def import_all(self) -> list[str]:
        ids = []
        for body in self.make_bodies():
            response = self.call("POST", "/v1/credentials", body)
            assert response.status_code == 200, response.content
            ids.append(response.json()["id"])
            self.call("POST", "/v1/credentials", body)
            self.send_invalid(body)
        lines = [json.dumps(body) for body in self.make_bodies()]
        for query in ("", "?dry_run=true", "?atomic=true", "?atomic=true&dry_run=true"):
            for more in (
                [],
                [json.dumps({"properties": {"kind": "stripe_key", "secret": [C["rejected"]]}})],
                [lines[0], "{"],
            ):
                raw = "\n".join([*lines, *more]).encode()
                self.call("POST", "/v1/credentials/import" + query, raw, content_type=NDJSON)
        self.call(
            "POST",
            "/v1/credentials/import",
            [*self.make_bodies(), {"key": C["rejected"]}, C["rejected"]],
        )
        key = {"service": "github", "name": "n", "key": C["posted key"]}
        assert self.call("POST", "/api/credentials", key).status_code == 201
        for wrong in (
            {"service": "nope"},
            {"name": 7},
            {"more": C["rejected"]},
            {"key": [C["rejected"]]},
        ):
            assert self.call("POST", "/api/credentials", {**key, **wrong}).status_code == 400
        return ids

    def send_invalid(self, body: dict[str, Any]) -> None:
        """Send a body with an error in the secret or in another field."""
        path = "/v1/credentials"
        for sent in make_invalid_bodies(body):
            assert 400 <= self.call("POST", path, sent).status_code < 500
        self.call("POST", path, json.dumps(body).encode(), content_type="text/plain")
        self.call("POST", path, body, headers={"Content-Encoding": "gzip"})
        self.call("POST", path, body, headers={"Idempotency-Key": ""})
        self.call("POST", path, body, token=None)

    def call_apps(self) -> str:
        app = {
            "provider": "stripe",
            "name": "n",
            "client_id": "c",
            "client_secret": C["client secret"],
        }
        id = self.call("POST", "/v1/oauth-apps", app).json()["id"]
        assert self.call("POST", "/v1/oauth-apps", app).status_code == 409
        for wrong in (
            {"provider": "nope"},
            {"scopes": C["rejected"]},
            {"config": {"a": C["rejected"]}},
            {"nope": 1},
            {"redirect_uris": [C["rejected"]]},
        ):
            assert self.call("POST", "/v1/oauth-apps", {**app, **wrong}).status_code == 422
        at = f"/v1/oauth-apps/{id}"
        for secret in (C["rotated secret"], C["pem"]):
            assert self.call("PATCH", at, {"client_secret": secret}).status_code == 200
        for wrong in (
            {"client_id": C["rejected"]},
            {"client_secret": [C["rejected"]]},
            {"drop_old_secret": 1},
        ):
            self.call("PATCH", at, {"client_secret": C["rotated secret"], **wrong})
        return str(id)

    def call_webhooks(self) -> None:
        """Do not record the two responses that return a secret; search for the secret elsewhere."""
        path, body = "/v1/webhook-endpoints", make_endpoint_body()
        made = ApiClient(self.token).post(path, body).json()
        at = f"{path}/{made['id']}"
        rotated = ApiClient(self.token).post(f"{at}/rotate-secret").json()
        self.issued_secrets = [made["secret"], rotated["secret"]]
        self.calls |= {(f"POST {path}", 201), (f"POST {at}/rotate-secret", 200)}
        for wrong in (
            {"url": C["rejected"]},
            {"events": [C["rejected"]]},
            {"secret": C["rejected"]},
        ):
            assert self.call("POST", path, {**body, **wrong}).status_code == 422
            assert self.call("PATCH", at, wrong).status_code == 422
        assert self.call("PATCH", at, {"enabled": False}).status_code == 200
        assert self.call("PATCH", at, {"enabled": True}).status_code == 200
        self.call("POST", f"{at}/rotate-secret", {"secret": C["rejected"]})
        self.call("PATCH", f"/v1/oauth-apps/{self.app.id}", {"name": "renamed"})
        (delivery,) = self.call("GET", f"{at}/deliveries").json()["data"]
        self.call("POST", f"{at}/deliveries/{delivery['id']}/replay")
        self.call("DELETE", f"{path}/01989aa0-0000-7000-8000-000000000000")

    def call_connect(self, app: str) -> None:
        """Do not record the response with a link's address; search for its token elsewhere."""
        path, key = "/v1/connect-links", {"kind": "stripe_key"}
        made = ApiClient(self.token).post(path, key).json()
        self.issued_secrets.append(made["url"].rpartition("/")[2])
        self.calls.add((f"POST {path}", 201))
        for wrong in (
            {"kind": C["rejected"]},
            {"return_to": C["rejected"]},
            {"name": [C["rejected"]]},
            {"properties": {"secret": C["rejected"]}},
        ):
            assert self.call("POST", path, {**key, **wrong}).status_code == 422
        self.call("POST", f"{path}/{made['id']}/complete")
        self.call("DELETE", f"{path}/{made['id']}")
        started = {"oauth_app_id": app, "credential_kind": "stripe_oauth2", "redirect_url": "x"}
        self.call("POST", "/v1/credentials/start-auth", {**started, "state": C["rejected"]})
        self.call("PATCH", "/v1/connect-settings", {"return_urls": [C["rejected"]]})
        self.call("PATCH", f"/v1/oauth-apps/{app}/connect-settings", {"completes_itself": False})
        exchange = {"code": C["rejected"], "client_id": app, "client_secret": C["client secret"]}
        self.call("POST", "/link/oauth2/token", exchange, token=None)
        self.call("POST", "/link/oauth2/token", {**exchange, "client_secret": C["rejected"]})

    def use_credentials(self, ids: list[str]) -> None:
        """Do not record the responses that reveal a secret."""
        for method in ("POST", "DELETE"):
            self.call(method, "/v1/credentials/hold?provider=none")
            self.call(method, f"/v1/credentials/hold?provider={C['rejected']}")
        for id in ids:
            at = f"/v1/credentials/{id}"
            self.call("POST", f"{at}/check")
            self.call("POST", f"{at}/check", {"token": C["rejected"]})
            self.call("POST", f"{at}/report", {"status": 401})
            self.call("POST", f"{at}/refresh")
            self.call("POST", f"{at}/hold")
            self.call("DELETE", f"{at}/hold")
            self.call("PUT", f"{at}/policy", {"methods": ["GET"], "paths": ["/v1/*"]})
            self.call("PUT", f"{at}/policy", {"methods": [C["rejected"]]})
            self.call("POST", f"{at}/report", {"status": C["rejected"], "body": C["rejected"]})
            for wrong in ({"secret": [C["rejected"]]}, {"nope": C["rejected"]}, C["rejected"], {}):
                self.call("POST", f"{at}/rotate", {"properties": wrong})
            for call, sent in (("reveal", {"reason": "A walk."}), ("token", None)):
                response = ApiClient(self.token).post(f"{at}/{call}", sent)
                self.calls.add((f"POST {at}/{call}", response.status_code))
            self.call("POST", f"{at}/reveal", {"reason": [C["rejected"]]})
            self.call("POST", f"{at}/reveal-response", {"reason": "A walk."})
            self.call("POST", f"{at}/reveal-response", {"reason": [C["rejected"]]})
        key = {"properties": {"kind": "sendgrid_key", "key": C["rejected"]}}
        made = self.call("POST", "/v1/credentials", key).json()["id"]
        rotated = {"properties": {"key": C["rotated secret"]}}
        assert self.call("POST", f"/v1/credentials/{made}/rotate", rotated).status_code == 200

    def fail_in_database(self) -> None:
        """Let statements fail: the text of such an error contains the statement's values."""
        codes: dict[type[Exception], int] = {
            IntegrityError: 409,
            OperationalError: 503,
            RuntimeError: 500,
        }
        for error, code in codes.items():
            text = f"DETAIL: Failing row contains ({C['rejected']})"
            with self.monkeypatch.context() as patched:
                patched.setattr(
                    "credentials.imports.row_writes.bulk_insert.insert_rows",
                    Mock(side_effect=error(text)),
                )
                sent = {"properties": {"kind": "stripe_key", "secret": C["rejected"]}}
                response = ApiClient(self.token).post("/v1/credentials", sent)
                self.responses.append(response.content)
                assert response.status_code == code

    def read_all(self, ids: list[str], app: str) -> None:
        for route in list_routes():
            if route.method == "GET":
                for id in ids:
                    self.call("GET", route.build_path(credential=id, app=app, endpoint=id, link=id))
        for query in (
            "secret",
            "access_token",
            "metadata",
            "cursor",
            "kind",
            "provider",
            "oauth_app_id",
        ):
            self.call("GET", f"/v1/credentials?{query}={C['rejected']}")
        self.call("GET", "/v1/credentials", headers={"Authorization": f"Bearer {C['rejected']}"})

    def change_all(self, ids: list[str], app: str) -> None:
        for id in ids:
            at = f"/v1/credentials/{id}"
            for sent in (
                {"secret": C["newer key"]},
                {"properties": {"secret": C["newer key"]}},
                {"name": "x"},
            ):
                self.call("PATCH", at, sent)
            self.call("PATCH", at, {"name": "y"}, headers={"If-Match": '"99"'})
            for other in (C["rejected"], app):
                self.call("POST", f"{at}/change-app", {"oauth_app_id": other})
        newer = {
            "properties": {"kind": "stripe_key", "secret": C["newer key"]},
            "external_id": "acct",
        }
        self.call("POST", "/v1/credentials", {**newer, "obtained_at": "2026-02-01T00:00:00Z"})
        older = {**newer, "obtained_at": "2026-01-01T00:00:00Z"}
        assert self.call("POST", "/v1/credentials", older).status_code == 409
        for id in ids[:3]:
            self.call("DELETE", f"/v1/credentials/{id}")
        self.call("DELETE", f"/v1/oauth-apps/{self.app.id}")
        self.call("POST", "/api/auth/logout", token=self.session)

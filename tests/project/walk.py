"""A walk through the whole API with known secrets in every place that takes one, right and wrong."""

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
    """Calls the API, and keeps every answer but the one that hands out a session."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.responses: list[bytes] = []
        self.seen: set[tuple[str, int]] = set()
        self.account = make_account("Acme")
        self.token = make_token(self.account)
        self.user = make_staff("Custodian", password=C["login"])
        self.session = ""
        self.handed_out: list[str] = []
        self.app = make_app(self.account, "linear", client_secret="none-of-them")
        custom_provider_create(
            account_id=self.account.id, name="own", base_url="https://own.example"
        )

    def run(self) -> Walk:
        self.log_in()
        ids, app = self.import_all(), self.apps()
        self.webhooks()
        self.connect(app)
        self.alive(ids)
        self.break_down()
        self.read_all(ids, app)
        self.say("GET", "/v1/credentials/01989aa0-0000-7000-8000-000000000000")
        self.change_all(ids, app)
        return self

    def say(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        answer = ApiClient(more.pop("token", self.token)).send(method, path, body, **more)
        headers = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        self.responses.append(headers.encode() + b"\n" + answer.content)
        self.seen.add((f"{method} {path}", answer.status_code))
        assert answer.status_code not in {500, 501}, (path, answer.content)
        return answer

    def log_in(self) -> None:
        sent = {"username": self.user.username, "password": C["login"]}
        answer = ApiClient().post("/api/auth/login", sent)
        assert answer.status_code == 200
        self.session = answer.json()["token"]
        for wrong in (
            {"password": C["wrong login"]},
            {"otp": 1},
            {"account": C["wrong login"] * 9},
        ):
            self.say(
                "POST",
                "/api/auth/login",
                {**sent, "password": C["wrong login"], **wrong},
                token=None,
            )

    def bodies(self) -> list[dict[str, Any]]:
        return make_valid_bodies(str(self.app.id))

    def import_all(self) -> list[str]:
        ids = []
        for body in self.bodies():
            answer = self.say("POST", "/v1/credentials", body)
            assert answer.status_code == 200, answer.content
            ids.append(answer.json()["id"])
            self.say("POST", "/v1/credentials", body)
            self.reject(body)
        lines = [json.dumps(body) for body in self.bodies()]
        for query in ("", "?dry_run=true", "?atomic=true", "?atomic=true&dry_run=true"):
            for more in (
                [],
                [json.dumps({"properties": {"kind": "stripe_key", "secret": [C["rejected"]]}})],
                [lines[0], "{"],
            ):
                raw = "\n".join([*lines, *more]).encode()
                self.say("POST", "/v1/credentials/import" + query, raw, content_type=NDJSON)
        self.say(
            "POST",
            "/v1/credentials/import",
            [*self.bodies(), {"key": C["rejected"]}, C["rejected"]],
        )
        key = {"service": "github", "name": "n", "key": C["posted key"]}
        assert self.say("POST", "/api/credentials", key).status_code == 201
        for wrong in (
            {"service": "nope"},
            {"name": 7},
            {"more": C["rejected"]},
            {"key": [C["rejected"]]},
        ):
            assert self.say("POST", "/api/credentials", {**key, **wrong}).status_code == 400
        return ids

    def reject(self, body: dict[str, Any]) -> None:
        """What is wrong beside the secret, or with it."""
        path = "/v1/credentials"
        for sent in make_invalid_bodies(body):
            assert 400 <= self.say("POST", path, sent).status_code < 500
        self.say("POST", path, json.dumps(body).encode(), content_type="text/plain")
        self.say("POST", path, body, headers={"Content-Encoding": "gzip"})
        self.say("POST", path, body, headers={"Idempotency-Key": ""})
        self.say("POST", path, body, token=None)

    def apps(self) -> str:
        app = {
            "provider": "stripe",
            "name": "n",
            "client_id": "c",
            "client_secret": C["client secret"],
        }
        id = self.say("POST", "/v1/oauth-apps", app).json()["id"]
        assert self.say("POST", "/v1/oauth-apps", app).status_code == 409
        for wrong in (
            {"provider": "nope"},
            {"scopes": C["rejected"]},
            {"config": {"a": C["rejected"]}},
            {"nope": 1},
            {"redirect_uris": [C["rejected"]]},
        ):
            assert self.say("POST", "/v1/oauth-apps", {**app, **wrong}).status_code == 422
        at = f"/v1/oauth-apps/{id}"
        for secret in (C["rotated secret"], C["pem"]):
            assert self.say("PATCH", at, {"client_secret": secret}).status_code == 200
        for wrong in (
            {"client_id": C["rejected"]},
            {"client_secret": [C["rejected"]]},
            {"drop_old_secret": 1},
        ):
            self.say("PATCH", at, {"client_secret": C["rotated secret"], **wrong})
        return str(id)

    def webhooks(self) -> None:
        """The two answers that hand out a secret are not kept; what they handed out is looked for."""
        path, body = "/v1/webhook-endpoints", make_endpoint_body()
        made = ApiClient(self.token).post(path, body).json()
        at = f"{path}/{made['id']}"
        rotated = ApiClient(self.token).post(f"{at}/rotate-secret").json()
        self.handed_out = [made["secret"], rotated["secret"]]
        self.seen |= {(f"POST {path}", 201), (f"POST {at}/rotate-secret", 200)}
        for wrong in (
            {"url": C["rejected"]},
            {"events": [C["rejected"]]},
            {"secret": C["rejected"]},
        ):
            assert self.say("POST", path, {**body, **wrong}).status_code == 422
            assert self.say("PATCH", at, wrong).status_code == 422
        assert self.say("PATCH", at, {"enabled": False}).status_code == 200
        assert self.say("PATCH", at, {"enabled": True}).status_code == 200
        self.say("POST", f"{at}/rotate-secret", {"secret": C["rejected"]})
        self.say("PATCH", f"/v1/oauth-apps/{self.app.id}", {"name": "told"})
        (delivery,) = self.say("GET", f"{at}/deliveries").json()["data"]
        self.say("POST", f"{at}/deliveries/{delivery['id']}/replay")
        self.say("DELETE", f"{path}/01989aa0-0000-7000-8000-000000000000")

    def connect(self, app: str) -> None:
        """The address that a link's creation hands out is looked for in all else."""
        path, key = "/v1/connect-links", {"kind": "stripe_key"}
        made = ApiClient(self.token).post(path, key).json()
        self.handed_out.append(made["url"].rpartition("/")[2])
        self.seen.add((f"POST {path}", 201))
        for wrong in (
            {"kind": C["rejected"]},
            {"return_to": C["rejected"]},
            {"name": [C["rejected"]]},
            {"properties": {"secret": C["rejected"]}},
        ):
            assert self.say("POST", path, {**key, **wrong}).status_code == 422
        self.say("POST", f"{path}/{made['id']}/complete")
        self.say("DELETE", f"{path}/{made['id']}")
        started = {"oauth_app_id": app, "credential_kind": "stripe_oauth2", "redirect_url": "x"}
        self.say("POST", "/v1/credentials/start-auth", {**started, "state": C["rejected"]})
        self.say("PATCH", "/v1/connect-settings", {"return_urls": [C["rejected"]]})
        self.say("PATCH", f"/v1/oauth-apps/{app}/connect-settings", {"completes_itself": False})
        exchange = {"code": C["rejected"], "client_id": app, "client_secret": C["client secret"]}
        self.say("POST", "/link/oauth2/token", exchange, token=None)
        self.say("POST", "/link/oauth2/token", {**exchange, "client_secret": C["rejected"]})

    def alive(self, ids: list[str]) -> None:
        """The answers that reveal are not kept; what else they leave behind is looked through."""
        for id in ids:
            at = f"/v1/credentials/{id}"
            self.say("POST", f"{at}/check")
            self.say("POST", f"{at}/check", {"token": C["rejected"]})
            self.say("POST", f"{at}/report", {"status": 401})
            self.say("POST", f"{at}/refresh")
            self.say("PUT", f"{at}/policy", {"methods": ["GET"], "paths": ["/v1/*"]})
            self.say("PUT", f"{at}/policy", {"methods": [C["rejected"]]})
            self.say("POST", f"{at}/report", {"status": C["rejected"], "body": C["rejected"]})
            for wrong in ({"secret": [C["rejected"]]}, {"nope": C["rejected"]}, C["rejected"], {}):
                self.say("POST", f"{at}/rotate", {"properties": wrong})
            for call, sent in (("reveal", {"reason": "A walk."}), ("token", None)):
                answer = ApiClient(self.token).post(f"{at}/{call}", sent)
                self.seen.add((f"POST {at}/{call}", answer.status_code))
            self.say("POST", f"{at}/reveal", {"reason": [C["rejected"]]})
        key = {"properties": {"kind": "sendgrid_key", "key": C["rejected"]}}
        made = self.say("POST", "/v1/credentials", key).json()["id"]
        rotated = {"properties": {"key": C["rotated secret"]}}
        assert self.say("POST", f"/v1/credentials/{made}/rotate", rotated).status_code == 200

    def break_down(self) -> None:
        """What a database or a bug says of a statement holds the statement's values."""
        codes: dict[type[Exception], int] = {
            IntegrityError: 409,
            OperationalError: 503,
            RuntimeError: 500,
        }
        for error, code in codes.items():
            text = f"DETAIL: Failing row contains ({C['rejected']})"
            with self.monkeypatch.context() as patched:
                patched.setattr(
                    "credentials.imports.upsert.bulk_insert.insert_rows",
                    Mock(side_effect=error(text)),
                )
                sent = {"properties": {"kind": "stripe_key", "secret": C["rejected"]}}
                answer = ApiClient(self.token).post("/v1/credentials", sent)
                self.responses.append(answer.content)
                assert answer.status_code == code

    def read_all(self, ids: list[str], app: str) -> None:
        for route in list_routes():
            if route.method == "GET":
                for id in ids:
                    self.say("GET", route.build_path(credential=id, app=app, endpoint=id, link=id))
        for query in (
            "secret",
            "access_token",
            "metadata",
            "cursor",
            "kind",
            "provider",
            "oauth_app_id",
        ):
            self.say("GET", f"/v1/credentials?{query}={C['rejected']}")
        self.say("GET", "/v1/credentials", headers={"Authorization": f"Bearer {C['rejected']}"})

    def change_all(self, ids: list[str], app: str) -> None:
        for id in ids:
            at = f"/v1/credentials/{id}"
            for sent in (
                {"secret": C["newer key"]},
                {"properties": {"secret": C["newer key"]}},
                {"name": "x"},
            ):
                self.say("PATCH", at, sent)
            self.say("PATCH", at, {"name": "y"}, headers={"If-Match": '"99"'})
        newer = {
            "properties": {"kind": "stripe_key", "secret": C["newer key"]},
            "external_id": "acct",
        }
        self.say("POST", "/v1/credentials", {**newer, "obtained_at": "2026-02-01T00:00:00Z"})
        older = {**newer, "obtained_at": "2026-01-01T00:00:00Z"}
        assert self.say("POST", "/v1/credentials", older).status_code == 409
        for id in ids[:3]:
            self.say("DELETE", f"/v1/credentials/{id}")
        self.say("DELETE", f"/v1/oauth-apps/{self.app.id}")
        self.say("POST", "/api/auth/logout", token=self.session)

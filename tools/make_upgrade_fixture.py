#!/usr/bin/env python3
"""Make the databases that tests/project/test_upgrade.py upgrades: run by hand, once for a commit.

    tools/with-postgres .venv/bin/python tools/make_upgrade_fixture.py CHECKOUT FOLDER

CHECKOUT is a clone of this repository at commit 5835ad5, the last before modules, functions and
published names were renamed, with its packages importable by this Python; the names below are those
of that commit. FOLDER (tests/data/upgrade) gets, for each database, `<vendor>.sql.gz`, which is
plain SQL, and `<vendor>.json`: the keys, the spooled files and the secrets that must come out. All
keys and secrets are made up for this test and protect nothing.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

KEY_1 = f"k1:{base64.b64encode(b'test-only key of the upgrade 1..').decode()}"
KEY_2 = f"k2:{base64.b64encode(b'test-only key of the upgrade 2..').decode()}"
POSTGRESQL_NAME = "latchkey_upgrade_fixture"

# Far enough that the tokens are alive whenever the test runs.
LIFETIME_SECONDS = 9 * 365 * 86_400
EXPIRED = "2026-01-01T00:00:00Z"

FORMER_VERBS = (
    "account.secret_sought",
    "connect.lapsed",
    "connect.dropped",
    "credential.not_revoked",
    "credential.echoed",
)


def main(checkout: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        database = Path(work) / "upgrade.sqlite3"
        _fill_in_process(checkout, Path(work), f"sqlite:///{database}", folder / "sqlite.json")
        connection = sqlite3.connect(database)
        _write_sql(folder / "sqlite.sql.gz", "\n".join(connection.iterdump()))
    import psycopg

    server = os.environ["TEST_DATABASE_URL"]
    url = f"{server.rpartition('/')[0]}/{POSTGRESQL_NAME}"
    with psycopg.connect(server, autocommit=True) as administrator:
        administrator.execute(f"DROP DATABASE IF EXISTS {POSTGRESQL_NAME}")
        administrator.execute(f"CREATE DATABASE {POSTGRESQL_NAME}")
        with tempfile.TemporaryDirectory() as work:
            _fill_in_process(checkout, Path(work), url, folder / "postgresql.json")
        _write_sql(folder / "postgresql.sql.gz", _dump_postgresql(url))
        administrator.execute(f"DROP DATABASE {POSTGRESQL_NAME}")


def _fill_in_process(checkout: Path, work: Path, url: str, manifest: Path) -> None:
    """Fill the database in a process of its own: Django can be set up once in each."""
    environment = {
        **os.environ,
        "TEST_DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": str(checkout),
    }
    command = [sys.executable, __file__, "--fill", str(work), str(manifest.resolve())]
    subprocess.run(command, cwd=checkout, env=environment, check=True)


def _dump_postgresql(url: str) -> str:
    command = ["pg_dump", "--no-owner", "--no-privileges", "--inserts", url]
    dump = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # Newer versions write commands of psql, which no server understands.
    return "\n".join(line for line in dump.splitlines() if not line.startswith("\\"))


def _write_sql(file: Path, text: str) -> None:
    # Without a time in the header, so that the same database makes the same file.
    file.write_bytes(gzip.compress(text.encode(), mtime=0))


def fill(work: Path) -> dict[str, Any]:
    """Fill the database that the settings name, with the code of the checkout. Return the manifest."""
    import django

    django.setup()
    from django.conf import settings
    from django.core.management import call_command
    from django.test.utils import setup_test_environment

    from vault.services import forget_index_key, verify_ring

    setup_test_environment()
    forget_index_key()
    call_command("migrate", verbosity=0)
    settings.VAULT_KEYS, settings.VAULT_SUITE = KEY_1, "1"
    verify_ring()
    manifest = _fill(work, settings)
    spool = Path(settings.SPOOL_DIR)
    return {
        **manifest,
        "vault_keys": settings.VAULT_KEYS,
        "spool": {f.name: base64.b64encode(f.read_bytes()).decode() for f in spool.iterdir()},
        "provider_files": {
            f.name: json.loads(f.read_text()) for f in Path(settings.PROVIDERS_DIR).iterdir()
        },
    }


def _fill(work: Path, settings: Any) -> dict[str, Any]:
    from events.sealing import seal_due
    from tests.api import Api
    from tests.factories import make_account, make_app, make_token
    from tests.fakes import fixtures
    from tests.fakes.provider import FakeProvider
    from tests.webhooks.receivers import Receiver
    from vault.services import verify_ring

    account = make_account("Acme")
    make_token(make_account("Other"))
    token = make_token(account)
    api = Api(token)
    with FakeProvider(lifetime=LIFETIME_SECONDS) as provider, Receiver() as receiver:
        fixtures.use(provider, settings, work, grace_seconds=3600)
        settings.EGRESS_ALLOW += f",{receiver.allowed},127.0.0.1:9"
        app = make_app(account, "fake", redirect_uris=["https://acme.example/connected"])
        _make_endpoints(api, receiver.url)
        expected = _import_credentials(api, app)
        while seal_due(limit=7):
            pass
        # From here on everything is written under a second key and with the other cipher suite.
        settings.VAULT_KEYS, settings.VAULT_SUITE = f"{KEY_2},{KEY_1}", "2"
        verify_ring()
        expected |= _refresh_grants(api, account, app, provider)
        expected |= _change_credentials(api, account)
        _make_staff(account)
        _connect(api, account, app)
        _deliver_some()
        _record_former_verbs(account)
        while seal_due(limit=7):
            pass
        spooled = _spool(api, account, app, provider)
        # The newest events are in no batch yet, as in any database that is in use.
        _send(api, "PATCH", f"/v1/credentials/{next(iter(expected))}", {"name": "Last"})
    return {"token": token, "account": account.slug, "expected": expected, "spooled": spooled}


def _send(api: Any, method: str, path: str, body: Any = None, **more: Any) -> Any:
    response = api.send(method, path, body, **more)
    if response.status_code >= 400:
        raise SystemExit(f"{method} {path}: {response.status_code} {response.content.decode()}")
    return response.json() if response.content else None


def _make_endpoints(api: Any, url: str) -> None:
    """Make an endpoint with a listener and one without, each with an Idempotency-Key."""
    for number, address in enumerate((url, "http://127.0.0.1:9/hook")):
        body = {"url": address, "events": ["credential.updated", "credential.deleted"]}
        headers = {"Idempotency-Key": f"upgrade-{number}"}
        _send(api, "POST", "/v1/webhook-endpoints", body, headers=headers)


def _import_credentials(api: Any, app: Any) -> dict[str, dict[str, str]]:
    """Import a kind of each mechanism; return the secrets by the credential's id."""
    from providers.registry import registry

    expected: dict[str, dict[str, str]] = {}
    kinds = registry().kinds
    for name in ("stripe_key", "twilio_password", "stripe_sequin"):
        expected |= _import(api, {"kind": name, **kinds[name].example}, kinds[name].secret_fields)
    tenant = {"kind": "fake_app", "tenant": "t-1", "access_token": "app-1", "expires_at": EXPIRED}
    return expected | _import(api, tenant, ["access_token"], oauth_app_id=str(app.id))


def _import(
    api: Any, properties: dict[str, Any], secret: Any, **more: Any
) -> dict[str, dict[str, str]]:
    body = {"properties": properties, "metadata": {"from": "upgrade"}, **more}
    row = _send(api, "POST", "/v1/credentials", body)
    return {row["id"]: {name: properties[name] for name in secret if name in properties}}


def _refresh_grants(api: Any, account: Any, app: Any, provider: Any) -> dict[str, dict[str, str]]:
    """Make grants that were refreshed, one of them twice, and one that the provider rejects."""
    from tests.fakes import fixtures

    expected = {}
    for name in ("ann", "ben"):
        row = fixtures.make_grant(account, app, provider, name)
        token = _send(api, "POST", f"/v1/credentials/{row.id}/token")["access_token"]
        if name == "ben":
            _send(api, "POST", f"/v1/credentials/{row.id}/refresh")
            token = _send(api, "POST", f"/v1/credentials/{row.id}/token")["access_token"]
        family = provider.grants.families[name]
        expected[str(row.id)] = {"access_token": token, "refresh_token": family.current}
    rejected = fixtures.make_grant(account, app, provider, "cleo")
    _send(api, "PATCH", f"/v1/credentials/{rejected.id}", {"owner_email": "cleo@acme.example"})
    provider.mode = "invalid_grant"
    api.post(f"/v1/credentials/{rejected.id}/token")
    provider.mode = "ok"
    return expected


def _change_credentials(api: Any, account: Any) -> dict[str, dict[str, str]]:
    """Rotate, reveal, report, restrict and delete, so that every side table has rows."""
    from credentials.custom_providers import custom_provider_create
    from tests.factories import TESTER

    key = "sk_live_made_up_first"
    (id,) = _import(api, {"kind": "stripe_key", "name": "Choam", "secret": key}, [])
    path = f"/v1/credentials/{id}"
    _send(api, "POST", f"{path}/reveal", {"reason": "To look at it before the upgrade."})
    _send(api, "POST", f"{path}/rotate", {"properties": {"secret": "sk_live_made_up_second"}})
    _send(api, "POST", f"{path}/report", {"status": 401})
    rules = {"methods": ["GET"], "rate_limit": {"requests": 100, "seconds": 60}}
    _send(api, "PUT", f"{path}/policy", rules)
    custom = custom_provider_create(
        account_id=account.id, actor=TESTER, name="ledger", base_url="https://example.com"
    )
    custom_key = {"kind": "custom_key", "provider": custom.slug, "key": "made-up-ledger-key"}
    expected = _import(api, custom_key, ["key"])
    (deleted,) = _import(api, {"kind": "stripe_key", "secret": "sk_live_made_up_deleted"}, [])
    _send(api, "DELETE", f"/v1/credentials/{deleted}")
    return expected | {id: {"secret": "sk_live_made_up_second"}}


def _make_staff(account: Any) -> None:
    from django.contrib.auth.models import User

    from accounts.services import session_open
    from credentials.import_page.services import draft_make
    from tests.accounts.factor import make_authenticator, make_recovery_codes
    from tests.factories import TESTER

    user = User.objects.create_superuser("ann", password="only for the upgrade test")
    make_authenticator(user)
    make_recovery_codes(user, "made-up-code-1", "made-up-code-2")
    session_open(user=user, account_id=account.id, actor=TESTER)
    line = b'{"properties": {"kind": "stripe_key", "secret": "sk_live_made_up_draft"}}\n'
    draft_make(
        account_id=account.id, actor=TESTER, filename="x.ndjson", format="ndjson", content=line
    )


def _connect(api: Any, account: Any, app: Any) -> None:
    """Make connect links: open, with a pending grant, completed and cancelled; and an attempt."""
    from credentials.connect.attempts import attempt_prepare
    from credentials.connect.drafts import Draft
    from credentials.connect.links import link_open, link_submit
    from providers.registry import registry
    from tests.factories import TESTER

    for end in ("open", "pending", "completed", "cancelled"):
        body = {"kind": "stripe_key", "external_id": end, "expires_in": 604_800}
        made = _send(api, "POST", "/v1/connect-links", body)
        if end == "open":
            continue
        link = link_open(token=made["url"].rpartition("/")[2], browser="upgrade", actor=TESTER)
        link_submit(link=link, properties={"secret": f"sk_live_made_up_{end}"}, actor=TESTER)
        if end == "completed":
            _send(api, "POST", f"/v1/connect-links/{made['id']}/complete")
        if end == "cancelled":
            _send(api, "DELETE", f"/v1/connect-links/{made['id']}")
    draft = Draft(app=app, kind=registry().kinds["fake_oauth2"], scopes=["read"], external_id="x")
    attempt_prepare(draft=draft, state={"from": "upgrade"}, actor=TESTER)


def _deliver_some() -> None:
    """Deliver one batch and leave the rest pending."""
    from webhooks.delivery import deliver_due

    deliver_due(owner="upgrade", limit=3)


def _record_former_verbs(account: Any) -> None:
    """Record an event of each verb that has another name since."""
    from events.services import record
    from tests.factories import TESTER

    for verb in FORMER_VERBS:
        record(
            actor=TESTER,
            account_id=account.id,
            verb=verb,
            target_type=verb.partition(".")[0],
            target_id=account.id,
        )


def _spool(api: Any, account: Any, app: Any, provider: Any) -> dict[str, str]:
    """Refresh one grant while the database takes no outcome: its tokens are in the spool alone."""
    from django.db import OperationalError

    from credentials.refresh import durable, outcomes
    from tests.fakes import fixtures

    row = fixtures.make_grant(account, app, provider, "dora")
    store, outcomes.store = outcomes.store, _fail(OperationalError("the database is away"))
    margin, durable.MARGIN = durable.MARGIN, 1_000_000
    try:
        response = api.post(f"/v1/credentials/{row.id}/token")
    finally:
        outcomes.store, durable.MARGIN = store, margin
    assert response.status_code == 503, response.content
    return {"id": str(row.id), "refresh_token": provider.grants.families["dora"].current}


def _fail(error: Exception) -> Any:
    def fail(*_arguments: Any, **_options: Any) -> None:
        raise error

    return fail


if __name__ == "__main__":
    if sys.argv[1] == "--fill":
        sys.path[0] = os.getcwd()
        Path(sys.argv[3]).write_text(json.dumps(fill(Path(sys.argv[2])), indent=1) + "\n")
    else:
        main(Path(sys.argv[1]), Path(sys.argv[2]))

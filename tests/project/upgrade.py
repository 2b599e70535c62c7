"""Upgrade the database of a former commit and look at it: a process of its own.

    python -m tests.project.upgrade VENDOR FOLDER

TEST_DATABASE_URL names the database, which holds the SQL of tests/data/upgrade/VENDOR.sql.gz. FOLDER
is for the spool and the provider files. Prints one JSON object with everything that was found.
"""

from __future__ import annotations

import base64
import io
import json
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from events.verbs import FORMER_VERBS
from tests.database import OWN_TRANSACTIONS_SQL

DATA = Path(__file__).parents[1] / "data" / "upgrade"


def upgrade(manifest: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Run the migrations and return the results of the commands and of the API afterwards."""
    import django

    django.setup()
    from django.conf import settings
    from django.test.utils import setup_test_environment

    setup_test_environment()
    spool = _write_files(folder, manifest)
    settings.VAULT_KEYS = manifest["vault_keys"]
    settings.SPOOL_DIR = str(spool)
    settings.PROVIDERS_DIR = str(folder / "providers")
    grants = {"before": _fetch(FORMER_GRANTS)}
    migrated = _migrate()
    grants["after"] = _fetch(GRANTS)
    from tests.api import ApiClient

    api = ApiClient(manifest["token"])
    return {
        "migrate": migrated,
        "grants": grants,
        "verify_keys": _run("verify_keys"),
        "verify_events": _run("verify_events"),
        "covered": _cover_events(),
        "verify_again": _run("verify_events"),
        "secrets": {id: _reveal(api, id) for id in manifest["expected"]},
        "token": api.post(f"/v1/credentials/{manifest['spooled']['id']}/token").status_code,
        "spooled": _reveal(api, manifest["spooled"]["id"]),
        "spool": [file.name for file in spool.iterdir()],
        "statuses": {path: api.get(path).status_code for path in LISTS},
        "events": {verb: _count_events(api, verb) for verb in VERBS},
    }


LISTS = (
    "/v1/credentials",
    "/v1/oauth-apps",
    "/v1/webhook-endpoints",
    "/v1/connect-links",
    "/v1/events",
)
VERBS = (*FORMER_VERBS, *FORMER_VERBS.values())
"""The fixtures have events under the former words, which the filter must find under either word."""


FORMER_GRANTS = """
    SELECT id, account_id, oauth_app_id, generation, refresh_state,
        refresh_unknowns - CASE WHEN lease_until IS NULL THEN 0 ELSE 1 END, refresh_failures,
        refresh_failing_since, refresh_last_at, refresh_next_at, refresh_error, previous IS NULL
    FROM credentials_credential WHERE kind LIKE 'fake%%' ORDER BY id"""
GRANTS = """
    SELECT credential.id, moved.account_id, moved.oauth_app_id, generation, state, unknowns,
        failures, failing_since, last_at, next_at, error, previous IS NULL
    FROM credentials_credential credential
    JOIN credentials_grant moved ON moved.id = credential.grant_id ORDER BY credential.id"""


def _migrate() -> dict[str, Any]:
    """Run the migrations. That which moves the grants is interrupted after its first batch."""
    from django.db import connection

    migrated = _run("migrate", "credentials", "0015_grants", verbosity=0)
    migration = import_module("credentials.migrations.0016_move_grants")
    vars(migration)["BATCH"] = 2
    assert migration.move_batch(connection, migration.FIRST_ID)
    return {"first": migrated, **_run("migrate", verbosity=0)}


def _cover_events() -> int:
    """Write checkpoints over the events that had none, and return the number of these events."""
    from events import hash_chain

    vars(hash_chain)["OLDEST_TRANSACTION_SQL"] = OWN_TRANSACTIONS_SQL
    counts = []
    while count := hash_chain.write_next_checkpoint(limit=7):
        counts.append(count)
    return sum(counts)


def _fetch(sql: str) -> list[list[str]]:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(sql)
        return [[str(value) for value in row] for row in cursor.fetchall()]


def _write_files(folder: Path, manifest: dict[str, Any]) -> Path:
    """Write the spooled files and the provider files; return the spool's folder."""
    (folder / "providers").mkdir()
    for name, document in manifest["provider_files"].items():
        (folder / "providers" / name).write_text(json.dumps(document))
    spool = folder / "spool"
    spool.mkdir(mode=0o700)
    for name, content in manifest["spool"].items():
        (spool / name).write_bytes(base64.b64decode(content))
    return spool


def _run(command: str, *arguments: str, **options: Any) -> dict[str, Any]:
    """Run a management command; return its exit code and what it printed."""
    from django.core.management import call_command

    output, errors = io.StringIO(), io.StringIO()
    code: Any = 0
    try:
        call_command(command, *arguments, stdout=output, stderr=errors, **options)
    except SystemExit as end:
        code = end.code
    return {"code": code, "output": output.getvalue(), "errors": errors.getvalue()}


def _reveal(api: Any, id: str) -> dict[str, Any]:
    response = api.post(f"/v1/credentials/{id}/reveal", {"reason": "The upgrade's test."})
    body: dict[str, Any] = response.json()
    properties: dict[str, Any] = body.get("properties", body)
    return properties


def _count_events(api: Any, verb: str) -> int:
    return len(api.get(f"/v1/events?verb={verb}").json()["data"])


if __name__ == "__main__":
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    manifest = json.loads((DATA / f"{sys.argv[1]}.json").read_text())
    sys.stdout.write(json.dumps(upgrade(manifest, Path(sys.argv[2]))))
